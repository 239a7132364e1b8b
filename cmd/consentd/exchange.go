package main

import (
	"context"
	"errors"
	"io"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// inFlight is how many chunks may be on their way: enough to keep the server busy while replies travel.
const inFlight = 4

// stream is a call that sends many requests and gets a reply to each, in order.
type stream[Request, Reply any] interface {
	Send(*Request) error
	Recv() (*Reply, error)
	CloseSend() error
}

// exchange sends chunk after chunk and hands each reply over with its chunk. Both directions run at once, because a side that only
// sends until the other has read would wait for ever. Next returns io.EOF after the last chunk. A reply that takes longer than the
// timeout ends the exchange.
func exchange[Chunk, Request, Reply any](
	ctx context.Context, timeout time.Duration, open func(context.Context) (stream[Request, Reply], error),
	next func() (Chunk, *Request, error), take func(Chunk, *Reply) error,
) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// What either side finds wrong ends the other's.
	group, running := errgroup.WithContext(ctx)
	calls, err := open(running)
	if err != nil {
		return err
	}
	chunks := make(chan Chunk, inFlight)
	group.Go(func() error {
		defer close(chunks)
		return send(running, calls, chunks, next)
	})
	group.Go(func() error {
		return receive(calls, chunks, take, func() *time.Timer {
			return time.AfterFunc(timeout, func() { cancel(context.DeadlineExceeded) })
		})
	})
	err = group.Wait()
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return err
}

// send announces each chunk before it is sent, so that its reply is waited for already.
func send[Chunk, Request, Reply any](
	ctx context.Context, calls stream[Request, Reply], chunks chan<- Chunk, next func() (Chunk, *Request, error),
) error {
	for {
		chunk, request, err := next()
		if errors.Is(err, io.EOF) {
			return calls.CloseSend()
		}
		if err != nil {
			return err
		}
		select {
		case chunks <- chunk:
		case <-ctx.Done():
			return nil // the receiver knows why
		}
		if err := calls.Send(request); err != nil {
			return nil //nolint:nilerr // io.EOF: the stream is broken, and receiving tells why
		}
	}
}

func receive[Chunk, Request, Reply any](
	calls stream[Request, Reply], chunks <-chan Chunk, take func(Chunk, *Reply) error, watch func() *time.Timer,
) error {
	for chunk := range chunks {
		timer := watch()
		reply, err := calls.Recv()
		timer.Stop()
		if err != nil {
			return cutShort(err)
		}
		if err := take(chunk, reply); err != nil {
			return err
		}
	}
	defer watch().Stop()
	if _, err := calls.Recv(); !errors.Is(err, io.EOF) {
		return cutShort(err)
	}
	return nil
}

// cutShort makes an error of a stream that ends before its last reply, and of one that goes on after it.
func cutShort(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return status.Error(codes.Unavailable, "the server ended the stream too early or too late")
	}
	return err
}
