package server

import (
	"context"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

const (
	defaultPage = 100
	maxPage     = 1000
)

// GetRecord returns what is known of a subject.
func (s *recordService) GetRecord(ctx context.Context, r *consentv1.GetRecordRequest) (*consentv1.GetRecordResponse, error) {
	view, tenant, err := s.look(ctx, r.GetTenant(), r.GetConsistency())
	if err != nil {
		return nil, err
	}
	subject, err := subjectOf(r.GetSubject(), tenant)
	if err != nil {
		return nil, err
	}
	buf := s.borrow()
	defer s.giveBack(buf)
	record, err := s.state.Record(ctx, tenant, subject, buf)
	if err != nil {
		return nil, err
	}
	age, fresh := view.Age(s.now())
	if !fresh {
		return nil, consent.ErrStale
	}
	reply := &consentv1.GetRecordResponse{Revision: s.token(view.Revision), Age: durationpb.New(age)}
	if record != nil {
		reply.Record, err = s.spellOut(ctx, tenant, record, view.Revision.Epoch)
	}
	return reply, err
}

// spellOut returns a record for people to read. It may name what was numbered after the view: then the newest names are asked for.
func (s *recordService) spellOut(
	ctx context.Context, t *consent.Tenant, r consent.Record, epoch uint64,
) (*consentv1.SubjectRecord, error) {
	newest, err := s.view(ctx, nil)
	if err != nil {
		return nil, err
	}
	if now := newest.Tenants[t.Name]; now != nil {
		t = now
	}
	return protoRecord(r.Expand(t.Names), epoch), nil
}

func protoRecord(d consent.Details, epoch uint64) *consentv1.SubjectRecord {
	record := &consentv1.SubjectRecord{
		Attributes:    protoAttributes(&d.Attributes),
		ErasedAt:      timestamp(d.ErasedAt),
		SuppressedAt:  timestamp(d.SuppressedAt),
		RestrictedAt:  timestamp(d.RestrictedAt),
		NewestEventAt: timestamp(d.Newest),
		Revision:      consent.Revision{Epoch: epoch, Index: d.Index}.String(),
	}
	for _, p := range d.Permissions {
		record.Permissions = append(record.Permissions, &consentv1.PermissionRecord{
			Permission:    p.Permission,
			State:         consentv1.PermissionState(p.State),
			Since:         timestamp(p.Since),
			NoticeVersion: p.NoticeVersion,
			Proven:        p.Proven,
			Explicit:      p.Explicit,
			ConfirmedAt:   timestamp(p.ConfirmedAt),
			LastUsedAt:    timestamp(p.LastUsedAt),
			ValidFrom:     timestamp(p.ValidFrom),
			ExpiresAt:     timestamp(p.ExpiresAt),
		})
	}
	for _, m := range d.Marks {
		record.Marks = append(record.Marks, protoMark(m))
	}
	return record
}

// markKinds are the events that leave each kind of mark.
var markKinds = [...]struct {
	kind      consentv1.EventKind
	objection consentv1.ObjectionKind
}{
	consent.MarkWithdrawn:          {kind: consentv1.EventKind_EVENT_KIND_WITHDRAWN},
	consent.MarkRefused:            {kind: consentv1.EventKind_EVENT_KIND_REFUSED},
	consent.MarkInvalidated:        {kind: consentv1.EventKind_EVENT_KIND_INVALIDATED},
	consent.MarkObjectedMarketing:  {consentv1.EventKind_EVENT_KIND_OBJECTED, consentv1.ObjectionKind_OBJECTION_KIND_MARKETING},
	consent.MarkObjectedProcessing: {consentv1.EventKind_EVENT_KIND_OBJECTED, consentv1.ObjectionKind_OBJECTION_KIND_PROCESSING},
	consent.MarkLiftedMarketing:    {consentv1.EventKind_EVENT_KIND_OBJECTION_LIFTED, consentv1.ObjectionKind_OBJECTION_KIND_MARKETING},
	consent.MarkLiftedProcessing:   {consentv1.EventKind_EVENT_KIND_OBJECTION_LIFTED, consentv1.ObjectionKind_OBJECTION_KIND_PROCESSING},
	consent.MarkUndeliverable:      {kind: consentv1.EventKind_EVENT_KIND_UNDELIVERABLE},
	consent.MarkDeliverable:        {kind: consentv1.EventKind_EVENT_KIND_DELIVERABLE},
	consent.MarkGrounds:            {kind: consentv1.EventKind_EVENT_KIND_GROUNDS_RECORDED},
}

func protoMark(m consent.MarkDetails) *consentv1.Mark {
	mark := &consentv1.Mark{At: timestamp(m.At)}
	if int(m.Kind) < len(markKinds) {
		mark.Kind, mark.Objection = markKinds[m.Kind].kind, markKinds[m.Kind].objection
	}
	switch m.Over {
	case consent.PermissionName:
		mark.Scope = &consentv1.Scope{Permissions: []string{m.Name}}
	case consent.PurposeName:
		mark.Scope = &consentv1.Scope{Purposes: []string{m.Name}}
	case consent.ChannelName:
		mark.Scope = &consentv1.Scope{Channels: []string{m.Name}}
	}
	return mark
}

// ListEvents returns a page of a subject's history.
func (s *recordService) ListEvents(ctx context.Context, r *consentv1.ListEventsRequest) (*consentv1.ListEventsResponse, error) {
	limit, err := pageSize(r.GetPageSize())
	if err != nil {
		return nil, err
	}
	after, err := historyPlace(r.GetPageToken())
	if err != nil {
		return nil, err
	}
	view, tenant, err := s.look(ctx, r.GetTenant(), r.GetConsistency())
	if err != nil {
		return nil, err
	}
	if _, fresh := view.Age(s.now()); !fresh {
		return nil, consent.ErrStale
	}
	subject, err := subjectOf(r.GetSubject(), tenant)
	if err != nil {
		return nil, err
	}
	after.Limit, after.IncludeRetained = limit, r.GetIncludeRetained()
	events, more, err := s.records.History(ctx, tenant, subject, after)
	if err != nil {
		return nil, err
	}
	reply := &consentv1.ListEventsResponse{Revision: s.token(view.Revision)}
	for i := range events {
		reply.Events = append(reply.Events, protoRecordedEvent(&events[i], view.Revision.Epoch))
	}
	if more && len(events) > 0 {
		reply.NextPageToken = historyToken(events[len(events)-1])
	}
	return reply, nil
}

func protoRecordedEvent(e *consent.RecordedEvent, epoch uint64) *consentv1.RecordedEvent {
	return &consentv1.RecordedEvent{
		Event:         protoEvent(&e.Event),
		Stamp:         timestamp(e.Stamp),
		Revision:      consent.Revision{Epoch: epoch, Index: e.Index}.String(),
		RetainedUntil: timestamp(e.RetainedUntil),
	}
}
