package server

import (
	"context"
	"fmt"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// driftParts is what part of the staleness bound is waited for beyond it: clocks may run apart by 1 %.
const driftParts = 100

// shortDeadlineError is a write that is to be acknowledged everywhere, by a caller who won't wait for that long.
type shortDeadlineError struct{ left, takes time.Duration }

func (e *shortDeadlineError) Error() string {
	return fmt.Sprintf("the deadline is in %s, and it takes %s after a write until it is in effect everywhere: nothing was written, allow "+
		"more time", max(e.left, 0).Round(time.Millisecond), e.takes)
}

// status tells how long the wait takes, for callers that set their deadline by it.
func (e *shortDeadlineError) status() *status.Status {
	return infoStatus(codes.InvalidArgument, e.Error(), &errdetails.ErrorInfo{
		Domain: Domain, Reason: "DEADLINE_TOO_SHORT", Metadata: map[string]string{"takes": e.takes.String()},
	})
}

// waitsEverywhere reports whether a write is acknowledged only when it is in effect everywhere. One that is only tried waits for nothing.
func waitsEverywhere(r *consentv1.WriteEventsRequest) bool {
	return r.GetWaitFor() == consentv1.WaitFor_WAIT_FOR_EVERYWHERE && !r.GetValidateOnly()
}

// checkWaitFor refuses a write, before it is one, whose acknowledgement the caller won't wait for.
func (c *core) checkWaitFor(ctx context.Context, r *consentv1.WriteEventsRequest) error {
	if _, known := consentv1.WaitFor_name[int32(r.GetWaitFor())]; !known {
		return invalid("wait_for", "%d is unknown here: say COMMITTED or EVERYWHERE", r.GetWaitFor())
	}
	if !waitsEverywhere(r) {
		return nil
	}
	takes, err := c.untilEverywhere()
	if err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= takes {
		return &shortDeadlineError{time.Until(deadline), takes}
	}
	return nil
}

// untilEverywhere returns how long after its commit a write is in effect everywhere: no decision rests on a proof older than the bound, and
// every proof begun after the commit covers it. So nobody has to know who is out there. It takes the cluster's bound: this process's own
// may be lower than another's.
func (c *core) untilEverywhere() (time.Duration, error) {
	bound := c.records.ClusterBound()
	if bound <= 0 {
		return 0, consent.ErrNotReady
	}
	return bound + bound/driftParts, nil
}

// waitFor returns once a request that was done may be acknowledged, or with the context's error. It comes after the call has left its place
// and was counted: waiting is no load, and not slow.
func (c *core) waitFor(ctx context.Context, request any) error {
	write, ok := request.(*consentv1.WriteEventsRequest)
	if !ok || c.records == nil || !waitsEverywhere(write) { // without records of its own, this process has passed it on
		return nil
	}
	takes, err := c.untilEverywhere()
	if err != nil { // and the write is done: that it wasn't would be a lie
		return fmt.Errorf("%w (%w)", consent.ErrOutcomeUnknown, err)
	}
	timer := time.NewTimer(takes)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
