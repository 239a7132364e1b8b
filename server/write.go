package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
)

const (
	maxEvents     = 1000 // of one write
	maxViolations = 100  // told of one request
)

// recordService writes events and reads records.
type recordService struct {
	consentv1.UnimplementedRecordServiceServer
	*core
}

// WriteEvents writes all the events or none. When that is acknowledged, if it is to be later, is the interceptor's business.
func (s *recordService) WriteEvents(ctx context.Context, r *consentv1.WriteEventsRequest) (*consentv1.WriteEventsResponse, error) {
	if n := len(r.GetEvents()); n == 0 || n > maxEvents {
		return nil, invalid("events", "%d events: write 1 to %d at once", n, maxEvents)
	}
	if err := s.checkWaitFor(ctx, r); err != nil {
		return nil, err
	}
	id, err := requestID(r.GetRequestId())
	if err != nil {
		return nil, err
	}
	target, err := s.targetOf(ctx, r.GetTenant())
	if err != nil {
		return nil, err
	}
	var events []consent.SubjectEvent
	err = target.validate(ctx, func(t *consent.Tenant) (err error) {
		events, err = subjectEvents("events", r.GetEvents(), t, consent.TimeOf(s.now()))
		return err
	})
	if err != nil {
		return nil, err
	}
	write := s.records.Write
	if r.GetValidateOnly() {
		write = s.records.Preview
	}
	result, err := write(ctx, consent.Write{Tenant: target.name, RequestID: id, Events: events})
	if err != nil {
		return nil, err
	}
	return &consentv1.WriteEventsResponse{
		Revision:  s.token(result.Revision),
		Effects:   protoEffects(result.Effects),
		Stamp:     timestamp(result.Stamp),
		RequestId: uuid.UUID(id).String(),
	}, nil
}

// requestID returns the id that a caller chose, or a new one.
func requestID(text string) (consent.RequestID, error) {
	if text == "" {
		id, err := uuid.NewV7()
		return consent.RequestID(id), err
	}
	id, err := uuid.Parse(text)
	if err != nil || id.Version() != 7 || id.Variant() != uuid.RFC4122 {
		return consent.RequestID{}, invalid("request_id", "it is no UUIDv7: make one when the write is first tried, or leave it out")
	}
	return consent.RequestID(id), nil
}

// subjectEvents validates events and lets their subjects through the door. All faults are told at once.
func subjectEvents(field string, list []*consentv1.Event, t *consent.Tenant, now consent.Time) ([]consent.SubjectEvent, error) {
	events := make([]consent.SubjectEvent, 0, len(list))
	var bad invalidError
	for i, e := range list {
		event, err := subjectEvent(e, t, now)
		switch {
		case err == nil:
			events = append(events, event)
		case !bad.add(fmt.Sprintf("%s[%d]", field, i), err):
			return nil, err
		}
	}
	if len(bad.violations) > 0 {
		return nil, &bad
	}
	return events, nil
}

// add takes on what is wrong with a part of the request. It returns false for other errors than wrong fields.
func (e *invalidError) add(part string, err error) bool {
	var (
		bad   *invalidError
		event *consent.EventError
	)
	violations := []*errdetails.BadRequest_FieldViolation{}
	switch {
	case errors.As(err, &bad):
		violations = bad.violations
	case errors.As(err, &event):
		violations = append(violations, &errdetails.BadRequest_FieldViolation{Field: event.Field, Description: event.Message})
	default:
		return false
	}
	for _, v := range violations {
		if len(e.violations) < maxViolations {
			e.violations = append(e.violations, &errdetails.BadRequest_FieldViolation{
				Field: part + "." + v.GetField(), Description: v.GetDescription(),
			})
		}
	}
	return true
}

// subjectEvent validates an event and lets its subject through the door. What isn't a "no" is validated at the time that it will get too:
// without one of its own, a grant that has ended already, or a birth to come, would pass.
func subjectEvent(e *consentv1.Event, t *consent.Tenant, now consent.Time) (consent.SubjectEvent, error) {
	event, err := eventOf(e)
	if err == nil && !event.IsNo() {
		err = consent.ValidateEvent(event.Clamped(now))
	}
	if err != nil {
		return consent.SubjectEvent{}, err
	}
	subject, err := subjectOf(e.GetSubject(), t)
	if err != nil {
		return consent.SubjectEvent{}, err
	}
	return consent.SubjectEvent{Subject: subject, Event: event}, checkDeclared(event, t)
}

// checkDeclared refuses a "yes" to a permission that the tenant's policy doesn't declare: nothing could ever rest on it, so the name is
// wrong. A "no" is never refused.
func checkDeclared(e consent.Event, t *consent.Tenant) error {
	switch e.Kind {
	case consent.Granted, consent.Requested, consent.Confirmed, consent.EvidenceAdded, consent.Used:
	default:
		return nil
	}
	if e.IsNo() {
		return nil
	}
	if t == nil {
		return consent.ErrUnknownTenant
	}
	for _, name := range e.Scope.Permissions {
		if permissionOf(t, name) == nil {
			return &unknownPermissionError{name}
		}
	}
	return nil
}

func protoEffects(effects []consent.Effect) []consentv1.Effect {
	list := make([]consentv1.Effect, len(effects))
	for i, e := range effects {
		list[i] = consentv1.Effect(e)
	}
	return list
}
