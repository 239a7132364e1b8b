package consent

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestValidateEvent(t *testing.T) {
	country := func(code string) *string { return &code }
	set := func(a Attributes) Event {
		return Event{Kind: AttributesSet, OccurredAt: 1_700_000_000_000, Attributes: a}
	}
	born := func(year uint16, month, day uint8) Event { return set(Attributes{BirthDate: &Date{year, month, day}}) }
	with := func(e Event, change func(*Event)) Event {
		change(&e)
		return e
	}
	tests := []struct {
		name  string
		event Event
		field string // empty if the event is valid
	}{
		{"no kind", Event{}, "kind"},
		{"an unknown kind", Event{Kind: 20}, "kind"},
		{"a grant", granted(10), ""},
		{"a grant without a time", granted(0), ""},
		{"a grant before 1970", granted(-1), "occurred_at"},
		{"a grant after 2248", granted(MaxTime + 1), "occurred_at"},
		{"a no before 1970", all(-1, Withdrawn), ""},
		{"a no after 2248", all(MaxTime+1, Erased), ""},
		{"a void grant at any time", granted(-1, preTicked), ""},

		{"a grant of nothing", all(10, Granted), "scope.permissions"},
		{"a use of nothing", all(10, Used), "scope.permissions"},
		{"a grant of a purpose", with(granted(10), func(e *Event) { e.Scope.Purposes = []string{"ads"} }), "scope.purposes"},
		{"a grant of a channel", with(granted(10), func(e *Event) { e.Scope.Channels = []string{"post"} }), "scope.channels"},
		{"a refusal of everything", all(10, Refused), ""},
		{"a refusal of a purpose", over(all(10, Refused), Scope{Purposes: []string{"ads"}}), ""},
		{"a bounce", over(all(10, Undeliverable), Scope{Channels: []string{"email"}}), ""},
		{"a bad permission", over(all(10, Withdrawn), Scope{Permissions: []string{"a/b/c"}}), "scope.permissions"},
		{"a bad purpose", over(all(10, Withdrawn), Scope{Purposes: []string{"Ads"}}), "scope.purposes"},
		{"a bad channel", over(all(10, Withdrawn), Scope{Channels: []string{""}}), "scope.channels"},
		{"64 names", over(all(10, Withdrawn), Scope{Purposes: strings.Fields(strings.Repeat("a ", 64))}), ""},
		{"65 names", over(all(10, Withdrawn), Scope{Purposes: strings.Fields(strings.Repeat("a ", 65))}), "scope.purposes"},
		{"an erasure of a purpose", over(all(10, Erased), Scope{Purposes: []string{"ads"}}), "scope.purposes"},
		{"a restriction of a permission", at(10, Restricted), "scope.permissions"},

		{"half a hash", with(granted(10), func(e *Event) { e.Evidence.NoticeHash = "half" }), "evidence.notice_hash"},
		{"an unknown method", with(granted(10), func(e *Event) { e.Evidence.Method = 9 }), "evidence.method"},
		{"a long source", with(granted(10), func(e *Event) { e.Evidence.Source = strings.Repeat("s", 257) }), "evidence.source"},
		{"a source of other bytes", with(granted(10), func(e *Event) { e.Evidence.Source = "\xff" }), "evidence.source"},
		{"a long reference", with(granted(10), func(e *Event) { e.Evidence.Reference = strings.Repeat("r", 513) }), "evidence.reference"},
		{"evidence of nothing", at(10, EvidenceAdded), "evidence"},
		{"evidence of there being none", evidence(10, 0, Evidence{Method: MethodImplied}), "evidence.method"},
		{"evidence", evidence(10, 10, proof), ""},
		{"evidence before its grant", evidence(10, 11, proof), "grant_at"},
		{"evidence for a grant before 1970", evidence(10, -1, proof), "grant_at"},
		{"a withdrawal of a grant", with(at(10, Withdrawn), func(e *Event) { e.GrantAt = 5 }), "grant_at"},

		{"terms", with(granted(10), func(e *Event) { e.Terms = Terms{ValidFrom: 20, ExpiresAt: 21} }), ""},
		{"terms of no length", with(granted(10), func(e *Event) { e.Terms = Terms{ValidFrom: 20, ExpiresAt: 20} }), "terms.expires_at"},
		{"an end before the grant", granted(10, until(9)), "terms.expires_at"},
		{"an end at the grant", granted(10, until(10)), "terms.expires_at"},
		{"an end after the grant", granted(10, until(11)), ""},
		{"a start before 1970", with(granted(10), func(e *Event) { e.Terms.ValidFrom = -1 }), "terms.valid_from"},
		{"an end after 2248", granted(10, until(MaxTime+1)), "terms.expires_at"},
		{"terms of a use", with(at(10, Used), func(e *Event) { e.Terms.Explicit = true }), "terms"},
		{"an unknown objection", with(all(10, Objected), func(e *Event) { e.Objection = 3 }), "objection"},
		{"an objection that is none", with(all(10, Withdrawn), func(e *Event) { e.Objection = ObjectionMarketing }), "objection"},

		{"attributes", set(Attributes{Country: country("DE"), Relationship: RelationshipCustomer}), ""},
		{"no attributes", set(Attributes{}), "attributes"},
		{"attributes of a grant", with(granted(10), func(e *Event) { e.Attributes.Country = country("DE") }), "attributes"},
		{"attributes of a permission", with(at(10, AttributesSet), func(e *Event) { e.Attributes.Country = country("DE") }),
			"scope.permissions"},
		{"an unknown relationship", set(Attributes{Relationship: 4}), "attributes.relationship"},
		{"no country", set(Attributes{Country: country("")}), ""},
		{"a small country", set(Attributes{Country: country("de")}), "attributes.country"},
		{"a long country", set(Attributes{Country: country("DEU")}), "attributes.country"},
		{"no birth date", born(0, 0, 0), ""},
		{"a leap day", born(2020, 2, 29), ""},
		{"no leap day", born(2021, 2, 29), "attributes.birth_date"},
		{"a month too many", born(2000, 13, 1), "attributes.birth_date"},
		{"born too long ago", born(1899, 12, 31), "attributes.birth_date"},
		{"born after the event", born(2023, 11, 16), "attributes.birth_date"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := ValidateEvent(tt.event)
			var fault *EventError
			if errors.As(err, &fault); err == nil {
				fault = &EventError{}
			}
			if fault.Field != tt.field {
				t.Errorf("got %v, want a fault of %q", err, tt.field)
			}
		})
	}
}

func TestEveryKindHasAName(t *testing.T) {
	for kind := Granted; kind <= Erased; kind++ {
		if kind.String() == "" || kind.String() == "unknown" {
			t.Errorf("kind %d is called %q", kind, kind)
		}
	}
	for _, kind := range []EventKind{0, Erased + 1, 255} {
		if kind.String() != "unknown" {
			t.Errorf("kind %d is called %q", kind, kind)
		}
	}
}

func TestDrawnEventsAreValid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		if err := ValidateEvent(drawEvent(t, Time(rapid.Int64Range(1, 1000).Draw(t, "at")))); err != nil {
			t.Error(err)
		}
	})
}

func TestClamped(t *testing.T) {
	for _, tt := range []struct{ at, want Time }{{0, 100}, {99, 99}, {100, 100}, {101, 100}, {-5, 100}, {MaxTime + 1, 100}} {
		if got := (Event{OccurredAt: tt.at}).Clamped(100).OccurredAt; got != tt.want {
			t.Errorf("%d is clamped to %d, want %d", tt.at, got, tt.want)
		}
	}
}
