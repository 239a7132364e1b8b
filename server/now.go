package server

import (
	"context"
	"errors"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// errNotNow is returned for a check that can't be answered at once. No caller sees it.
var errNotNow = errors.New("the answer isn't here yet")

// checkNow is Check for a goroutine that others wait for. It returns errNotNow where Check might take longer than a moment: for newer state
// than is here, and for a record or a tenant that has to be asked for. It looks once at what is here and answers from that, so nothing that is
// lost meanwhile lets it wait.
func (s *permissionService) checkNow(ctx context.Context, r *consentv1.CheckRequest) (*consentv1.CheckResponse, error) {
	question, err := questionIn(r)
	if err != nil {
		return nil, err
	}
	view, err := s.viewNow(ctx, r.GetConsistency())
	if err != nil {
		return nil, err
	}
	view, tenant, err := s.lookIn(view, r.GetTenant())
	if s.isElsewhere(err) {
		return nil, errNotNow
	}
	if err != nil {
		return nil, err
	}
	subject, err := subjectOf(r.GetSubject(), tenant)
	if err != nil {
		return nil, err
	}
	buf := s.borrow()
	defer s.giveBack(buf)
	view, record, err := s.recordNow(ctx, view, tenant, subject, buf)
	if err != nil {
		return nil, err
	}
	return s.decide(r, question, view, tenant, record)
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
