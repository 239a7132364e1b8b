package server

import (
	"context"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/google/uuid"
)

const maxUses = 10_000 // of one call

// RecordUses writes one use for each id that can be used, and names the others.
func (s *recordService) RecordUses(ctx context.Context, r *consentv1.RecordUsesRequest) (*consentv1.RecordUsesResponse, error) {
	ids, err := idsOf("subjects", r.GetSubjects(), maxUses)
	if err != nil {
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
	var use consent.Event
	err = target.validate(ctx, func(t *consent.Tenant) (err error) {
		use, err = useOf(r, t)
		return err
	})
	if err != nil {
		return nil, err
	}
	events, unusable := usesOf(ids, use, target.tenant.KeepsCase())
	reply := &consentv1.RecordUsesResponse{Unusable: unusable, RequestId: uuid.UUID(id).String()}
	if len(events) == 0 {
		return nil, invalid("subjects", "none of the %d ids can be used: give 1 to %d bytes of UTF-8 each", len(unusable), consent.MaxSubjectBytes)
	}
	result, err := s.records.Write(ctx, consent.Write{Tenant: target.name, RequestID: id, Events: events})
	if err != nil {
		return nil, err
	}
	reply.Revision = s.token(result.Revision)
	countEffects(reply, result.Effects)
	return reply, nil
}

// useOf returns the event that is written for every subject.
func useOf(r *consentv1.RecordUsesRequest, t *consent.Tenant) (consent.Event, error) {
	use := consent.Event{
		Kind:       consent.Used,
		OccurredAt: timeOf(r.GetUsedAt()),
		Scope:      consent.Scope{Permissions: []string{r.GetPermission()}},
		Evidence:   consent.Evidence{Source: r.GetSource()},
	}
	if t == nil {
		return use, consent.ErrUnknownTenant
	}
	if permissionOf(t, r.GetPermission()) == nil {
		return use, &unknownPermissionError{r.GetPermission()}
	}
	return use, renamed(consent.ValidateEvent(use), map[string]string{"occurred_at": "used_at", "evidence.source": "source"})
}

func usesOf(ids idList, use consent.Event, keepCase bool) (events []consent.SubjectEvent, unusable []uint32) {
	n := ids.len()
	events = make([]consent.SubjectEvent, 0, n)
	for i := range n {
		subject, usable := consent.Door(ids.next(i), keepCase)
		if !usable {
			unusable = append(unusable, uint32(i))
			continue
		}
		events = append(events, consent.SubjectEvent{Subject: subject, Event: use})
	}
	return events, unusable
}

func countEffects(reply *consentv1.RecordUsesResponse, effects []consent.Effect) {
	for _, e := range effects {
		switch e {
		case consent.Applied:
			reply.Applied++
		case consent.Unchanged:
			reply.Unchanged++
		case consent.Superseded:
			reply.Superseded++
		}
	}
}
