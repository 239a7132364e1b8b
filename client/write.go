package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"
)

// WriteError is why a write isn't known to have happened. If it is a consent.ErrOutcomeUnknown, it may have: a repeat with the same request id
// writes nothing twice.
type WriteError struct {
	RequestID string
	Unknown   bool // the write may have happened
	Err       error
}

func (e *WriteError) Error() string {
	if e.Unknown && !errors.Is(e.Err, consent.ErrOutcomeUnknown) {
		return fmt.Sprintf("request %s: %v (%v)", e.RequestID, consent.ErrOutcomeUnknown, e.Err)
	}
	return fmt.Sprintf("request %s: %v", e.RequestID, e.Err)
}

// Unwrap returns what went wrong, and consent.ErrOutcomeUnknown before it if the write may have happened.
func (e *WriteError) Unwrap() []error {
	if e.Unknown {
		return []error{consent.ErrOutcomeUnknown, e.Err}
	}
	return []error{e.Err}
}

// Write writes 1 to 1,000 events of one tenant, all of them or none, and returns once they can't be lost any more; or, if the request waits
// for EVERYWHERE, once no replica, sidecar or near cache answers from before them. The request's tenant is the client's, if it names none.
// What this client asks afterwards is answered from data that includes the write.
//
// A write without a request id gets one, and until the deadline it is repeated with the same id while it isn't known to have happened. An
// error is a *WriteError. Its causes are those of docs/errors.md.
func (c *Client) Write(ctx context.Context, r *consentv1.WriteEventsRequest) (*consentv1.WriteEventsResponse, error) {
	request, err := c.prepare(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := c.limit(ctx)
	defer cancel()
	failed, began := WriteError{RequestID: request.GetRequestId()}, c.written.revision().Epoch
	var tries pauses
	for {
		reply, unknown, err := c.writeOnce(ctx, request)
		if err == nil {
			return reply, c.noteWrite(request, reply, began)
		}
		if c.lanes.ctx.Err() != nil {
			err = ErrClosed
		}
		failed.Unknown, failed.Err = failed.Unknown || unknown, err
		if !mayWriteAgain(err) || wait(ctx, tries.next(err)) != nil {
			return nil, &failed
		}
	}
}

// prepare returns the request as it is sent. The caller's own stays as it is.
func (c *Client) prepare(r *consentv1.WriteEventsRequest) (*consentv1.WriteEventsRequest, error) {
	request := proto.CloneOf(r)
	if request.GetTenant() == "" {
		request.Tenant = c.tenant
	}
	if request.GetRequestId() == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("making a request id: %w", err)
		}
		request.RequestId = id.String()
	}
	return request, nil
}

// writeOnce also reports, of an error, whether the write may have happened: the library names the other end of a call as soon as there is one to
// send it to.
func (c *Client) writeOnce(ctx context.Context, r *consentv1.WriteEventsRequest) (reply *consentv1.WriteEventsResponse, unknown bool, err error) {
	var other peer.Peer
	reply, err = c.records.WriteEvents(ctx, r, grpc.Peer(&other))
	err = errorOf(err)
	sent := other.Addr != nil || other.AuthInfo != nil
	return reply, sent && mayHaveHappened(err), err
}

// mayHaveHappened reports whether an error leaves it open what became of a write that was sent. Consentd says of most that nothing was written.
func mayHaveHappened(err error) bool {
	var told *Error
	if errors.As(err, &told) && told.Reason != "" {
		return isAny(err, consent.ErrOutcomeUnknown, context.DeadlineExceeded, context.Canceled, ErrInternal)
	}
	return err != nil
}

// noteWrite remembers where a write stands that began in an epoch, for the questions to come.
func (c *Client) noteWrite(request *consentv1.WriteEventsRequest, reply *consentv1.WriteEventsResponse, began uint64) error {
	if request.GetValidateOnly() {
		return nil
	}
	r, err := consent.ParseRevision(reply.GetRevision())
	if err != nil {
		return fmt.Errorf("it is written, but the reply says at no revision: %w", err)
	}
	c.written.note(r, began)
	return nil
}
