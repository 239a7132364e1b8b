package server

import (
	"context"
	"errors"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/consentd/consentd/proto/wire"
)

// errNotNow is returned for a check that can't be answered at once. No caller sees it.
var errNotNow = errors.New("the answer isn't here yet")

// checkNow fills in the reply to a check for a goroutine that others wait for. It returns errNotNow where check might take longer than a moment:
// for newer state than is here, and for a record or a tenant that has to be asked for. It looks once at what is here and answers from that, so
// nothing that is lost meanwhile lets it wait.
func (s *permissionService) checkNow(ctx context.Context, q *wire.Question, reply *wire.Reply) error {
	law, err := lawOf(q)
	if err != nil {
		return err
	}
	view, err := s.viewNow(ctx, q.Consistency)
	if err != nil {
		return err
	}
	view, tenant, err := s.lookIn(view, q.Tenant)
	if s.isElsewhere(err) {
		return errNotNow
	}
	if err != nil {
		return err
	}
	subject, err := subjectOf(q.Subject, tenant)
	if err != nil {
		return err
	}
	buf := s.borrow()
	defer s.giveBack(buf)
	view, record, err := s.recordNow(ctx, view, tenant, subject, buf)
	if err != nil {
		return err
	}
	return s.decide(q, law, view, tenant, record, reply)
}

// viewNow returns the state that is here, if it meets what is demanded.
func (c *core) viewNow(ctx context.Context, demand *consentv1.Consistency) (consent.View, error) {
	consistency, err := consistencyOf(demand)
	if err != nil {
		return consent.View{}, err
	}
	if consistency.Full {
		return consent.View{}, errNotNow
	}
	view, err := c.viewAt(ctx, consent.Consistency{})
	at := consistency.AtLeast
	if at != (consent.Revision{}) && (err != nil || view.Revision.Epoch != at.Epoch || view.Revision.Index < at.Index) {
		return consent.View{}, errNotNow
	}
	return view, err
}

// recordNow is recordOf for a record that is here, and of the tenant as it is. The subject has passed the door.
func (c *core) recordNow(
	ctx context.Context, view consent.View, t *consent.Tenant, subject string, buf *consent.Buffer,
) (consent.View, consent.Record, error) {
	if c.near == nil {
		record, err := c.state.Record(ctx, t, subject, buf)
		return view, record, err
	}
	exact, record, here := c.held(t, subject)
	if !here {
		return view, nil, errNotNow
	}
	return exact, record, nil
}
