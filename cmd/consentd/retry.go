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

// wait returns false if the context ended first.
func (b *backoff) wait(ctx context.Context) bool {
	b.next = min(max(2*b.next, firstWait), longestWait)
	timer := time.NewTimer(b.next)
	defer timer.Stop()
	select {
	case <-timer.C:
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
