package bench

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

func scope() *consentv1.Scope { return &consentv1.Scope{Permissions: []string{permission}} }

func granted(subject string, at time.Time) *consentv1.Event {
	return &consentv1.Event{
		Subject: subject, Kind: consentv1.EventKind_EVENT_KIND_GRANTED, OccurredAt: timestamppb.New(at), Scope: scope(),
		Evidence: &consentv1.Evidence{NoticeVersion: 1, Method: consentv1.Method_METHOD_WEB_FORM, Source: "bench", Reference: "forms/1"},
	}
}

// confirmed is a grant and its confirmation.
func confirmed(subject string, at time.Time) []*consentv1.Event {
	return []*consentv1.Event{granted(subject, at), {
		Subject: subject, Kind: consentv1.EventKind_EVENT_KIND_CONFIRMED, OccurredAt: timestamppb.New(at.Add(time.Minute)), Scope: scope(),
	}}
}

func withdrawn(subject string, at time.Time) *consentv1.Event {
	return &consentv1.Event{
		Subject: subject, Kind: consentv1.EventKind_EVENT_KIND_WITHDRAWN, OccurredAt: timestamppb.New(at), Scope: scope(),
	}
}

// history is what has happened to the n-th subject.
func (d dataset) history(n uint64, at time.Time) []*consentv1.Event {
	events := confirmed(d.subject(n), at)
	if !d.allows(n) {
		events = append(events, withdrawn(d.subject(n), at.Add(2*time.Minute)))
	}
	return events
}

// rows are the histories of subjects, as an import takes them.
func (d dataset) rows(from, to uint64, at time.Time) (rows []*consentv1.ImportRow) {
	for n := from; n < to; n++ {
		rows = append(rows, &consentv1.ImportRow{Row: n + 1, Events: d.history(n, at)})
	}
	return rows
}
