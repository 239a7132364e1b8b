package main

import (
	"context"
	"time"

	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The waits between attempts.
const (
	firstWait   = 50 * time.Millisecond
	longestWait = 2 * time.Second
)

// transient says whether the same call may succeed a moment later. All calls that are repeated change nothing the second time.
func transient(err error) bool {
	s, ok := status.FromError(err)
	return ok && isTransient(s.Proto())
}

func isTransient(s *statuspb.Status) bool {
	return s.GetCode() == int32(codes.Unavailable) || reasonOf(s) == "OVERLOADED"
}

// backoff waits ever longer between attempts.
type backoff struct{ next time.Duration }

// after returns a channel that is ready when it is time for the next attempt.
func (b *backoff) after() <-chan time.Time {
	b.next = min(max(2*b.next, firstWait), longestWait)
	return time.After(b.next)
}

// wait returns false if the context ended first.
func (b *backoff) wait(ctx context.Context) bool {
	select {
	case <-b.after():
		return true
	case <-ctx.Done():
		return false
	}
}

// retry repeats a call while its failure is transient, until the context ends.
func retry(ctx context.Context, call func(context.Context) error) error {
	var pause backoff
	for {
		err := call(ctx)
		if err == nil || !transient(err) || !pause.wait(ctx) {
			return err
		}
	}
}
