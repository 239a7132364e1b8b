package consent

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var proof = Evidence{NoticeVersion: 3, Method: MethodWebForm, Source: "checkout", Reference: "forms/8812"}

const email, phone = "newsletter/email", "newsletter/phone"

// at returns an event about newsletter/email.
func at(t Time, kind EventKind) Event {
	return Event{Kind: kind, OccurredAt: t, Scope: Scope{Permissions: []string{email}}}
}

// all returns an event about everything.
func all(t Time, kind EventKind) Event { return Event{Kind: kind, OccurredAt: t} }

func granted(t Time, change ...func(*Event)) Event {
	e := at(t, Granted)
	e.Evidence = proof
	for _, f := range change {
		f(&e)
	}
	return e
}

func unproven(e *Event)  { e.Evidence = Evidence{} }
func preTicked(e *Event) { e.Evidence.Method = MethodPreTicked }
func explicit(e *Event)  { e.Terms.Explicit = true }
func until(t Time) func(*Event) {
	return func(e *Event) { e.Terms.ExpiresAt = t }
}

func startingAt(t Time) func(*Event) {
	return func(e *Event) { e.Terms.ValidFrom = t }
}

func over(e Event, s Scope) Event {
	e.Scope = s
	return e
}

func evidence(t, grantAt Time, v Evidence) Event {
	e := at(t, EvidenceAdded)
	e.Evidence, e.GrantAt = v, grantAt
	return e
}

func given(t Time, change ...func(*Consent)) Consent {
	c := Consent{State: StateGiven, Since: t, NoticeVersion: 3, Proven: true}
	for _, f := range change {
		f(&c)
	}
	return c
}

func confirmed(t Time) func(*Consent) { return func(c *Consent) { c.ConfirmedAt = t } }

func TestConsentAfterEvents(t *testing.T) {
	bare := func(c *Consent) { c.Proven, c.NoticeVersion = false, 0 }
	tests := []struct {
		name    string
		events  []Event
		effects []Effect // in the order of the events
		want    Consent
	}{
		{"nothing", []Event{all(5, Deliverable)}, []Effect{Applied}, Consent{}},
		{"given", []Event{granted(10)}, []Effect{Applied}, given(10)},
		{"given, unproven", []Event{granted(10, unproven)}, []Effect{Applied}, given(10, bare)},
		{"given until", []Event{granted(10, until(90))}, []Effect{Applied}, given(10, func(c *Consent) { c.ExpiresAt = 90 })},
		{"requested", []Event{at(10, Requested), at(20, Requested)}, []Effect{Applied, Applied}, Consent{State: StateRequested, Since: 20}},
		{"requested after the grant", []Event{granted(10), at(20, Requested)}, []Effect{Applied, Superseded}, given(10)},
		{"requested after a withdrawal", []Event{at(10, Withdrawn), at(20, Requested)}, []Effect{Applied, Superseded},
			Consent{State: StateWithdrawn, Since: 10}},
		{"withdrawn", []Event{granted(10), at(20, Withdrawn)}, []Effect{Applied, Applied}, Consent{State: StateWithdrawn, Since: 20}},
		{"withdrawn at the same time", []Event{at(10, Withdrawn), granted(10)}, []Effect{Applied, Superseded},
			Consent{State: StateWithdrawn, Since: 10}},
		{"withdrawn before", []Event{at(5, Withdrawn), granted(10)}, []Effect{Applied, Applied}, given(10)},
		{"a grant from before the withdrawal", []Event{at(20, Withdrawn), granted(10)}, []Effect{Applied, Superseded},
			Consent{State: StateWithdrawn, Since: 20}},
		{"everything withdrawn", []Event{granted(10), all(20, Withdrawn)}, []Effect{Applied, Applied}, Consent{State: StateWithdrawn, Since: 20}},
		{"the purpose refused", []Event{granted(10), over(all(20, Refused), Scope{Purposes: []string{"newsletter"}})},
			[]Effect{Applied, Applied}, Consent{State: StateRefused, Since: 20}},
		{"the channel withdrawn", []Event{granted(10), over(all(20, Withdrawn), Scope{Channels: []string{"email"}})},
			[]Effect{Applied, Applied}, Consent{State: StateWithdrawn, Since: 20}},
		{"another channel withdrawn", []Event{granted(10), over(all(20, Withdrawn), Scope{Channels: []string{"phone"}})},
			[]Effect{Applied, Applied}, given(10)},
		{"withdrawn before refused at the same time", []Event{at(20, Refused), at(20, Withdrawn)}, []Effect{Applied, Applied},
			Consent{State: StateWithdrawn, Since: 20}},
		{"objected", []Event{granted(10), at(20, Objected)}, []Effect{Applied, Applied}, given(10)},
		{"pre-ticked", []Event{granted(10, preTicked)}, []Effect{Applied}, Consent{State: StateInvalidated, Since: 10}},
		{"pre-ticked after a proven grant", []Event{granted(10), granted(20, preTicked)}, []Effect{Applied, Applied},
			Consent{State: StateInvalidated, Since: 20}},
		{"proven after pre-ticked", []Event{granted(10, preTicked), granted(20)}, []Effect{Applied, Applied}, given(20)},
		{"confirmed", []Event{granted(10), at(20, Confirmed), at(30, Confirmed)}, []Effect{Applied, Applied, Unchanged},
			given(10, confirmed(20))},
		{"confirmed at once", []Event{granted(10), at(10, Confirmed)}, []Effect{Applied, Applied}, given(10, confirmed(10))},
		{"the confirmation arrives first", []Event{at(20, Confirmed), granted(10)}, []Effect{Unchanged, Applied}, given(10, confirmed(20))},
		{"confirmed before the grant", []Event{at(5, Confirmed), granted(10)}, []Effect{Unchanged, Applied}, given(10)},
		{"a withdrawal between", []Event{granted(10), at(15, Withdrawn), at(20, Confirmed)}, []Effect{Applied, Applied, Superseded},
			Consent{State: StateWithdrawn, Since: 15}},
		{"a withdrawal before grant and confirmation of another", []Event{granted(10), at(12, Confirmed), at(15, Withdrawn), granted(20)},
			[]Effect{Applied, Applied, Applied, Applied}, given(20)},
		{"evidence for the last", []Event{granted(10, unproven), evidence(20, 0, proof)}, []Effect{Applied, Applied}, given(10)},
		{"evidence in parts", []Event{granted(10, unproven), evidence(20, 10, Evidence{Method: MethodPaper}),
			evidence(30, 10, Evidence{Source: "archive", NoticeHash: "12345678901234567890123456789012"})},
			[]Effect{Applied, Applied, Applied}, given(10, func(c *Consent) { c.NoticeVersion = 0 })},
		{"evidence changes no known notice", []Event{granted(10), evidence(20, 10, Evidence{NoticeVersion: 9})},
			[]Effect{Applied, Unchanged}, given(10)},
		{"evidence for another grant", []Event{granted(10, unproven), evidence(20, 9, proof)}, []Effect{Applied, Superseded}, given(10, bare)},
		{"evidence for nothing", []Event{evidence(20, 9, proof)}, []Effect{Unchanged}, Consent{}},
		{"evidence after a withdrawal", []Event{granted(5, unproven), at(10, Withdrawn), evidence(20, 5, proof)},
			[]Effect{Applied, Applied, Superseded}, Consent{State: StateWithdrawn, Since: 10}},
		{"used", []Event{granted(10), at(40, Used), at(30, Used)}, []Effect{Applied, Applied, Superseded},
			given(10, func(c *Consent) { c.LastUsedAt = 40 })},
		{"the same again", []Event{granted(10), granted(10)}, []Effect{Applied, Unchanged}, given(10)},
		{"a weaker one at the same time", []Event{granted(10), granted(10, unproven)}, []Effect{Applied, Unchanged}, given(10)},
		{"a stronger one at the same time", []Event{granted(10, unproven), granted(10)}, []Effect{Applied, Applied}, given(10)},
		{"one until March at the same time", []Event{granted(10), granted(10, until(90))}, []Effect{Applied, Applied},
			given(10, func(c *Consent) { c.ExpiresAt = 90 })},
		{"one until March at the same time, written first", []Event{granted(10, until(90)), granted(10, explicit)}, []Effect{Applied, Applied},
			given(10, func(c *Consent) { c.ExpiresAt, c.Explicit = 90, true })},
		{"one until later at the same time", []Event{granted(10, until(50)), granted(10, until(90))}, []Effect{Applied, Applied},
			given(10, func(c *Consent) { c.ExpiresAt = 90 })},
		{"one until earlier at the same time", []Event{granted(10, until(90)), granted(10, until(50))}, []Effect{Applied, Applied},
			given(10, func(c *Consent) { c.ExpiresAt = 50 })},
		{"erased", []Event{granted(10), all(20, Erased)}, []Effect{Applied, Applied}, Consent{}},
		{"a grant from before the erasure", []Event{all(20, Erased), granted(10)}, []Effect{Applied, Superseded}, Consent{}},
		{"a withdrawal from before the erasure", []Event{all(20, Erased), at(10, Withdrawn)}, []Effect{Applied, Applied},
			Consent{State: StateWithdrawn, Since: 10}},
		{"an erasure that comes late", []Event{granted(10), granted(30, unproven), all(20, Erased)}, []Effect{Applied, Applied, Applied},
			given(30, bare)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := testLedger{c: foldContext(t)}
			for i, e := range tt.events {
				if err := ValidateEvent(e); err != nil {
					t.Fatal(err)
				}
				if got := l.write(e); got != tt.effects[i] {
					t.Errorf("effect of %v at %d: %d, want %d", e.Kind, e.OccurredAt, got, tt.effects[i])
				}
			}
			if diff := cmp.Diff(tt.want, l.record.Consent(bound(l.c.Names, email))); diff != "" {
				t.Errorf("consent (-want +got):\n%s", diff)
			}
		})
	}
}

// A form is sent again, or an old list imported, after a grant that is proven and confirmed.
func TestConsentOfSeveralGrants(t *testing.T) {
	strict := Permission{ProofRequired: true, DoubleOptIn: true, NoticeMin: 2}
	tests := []struct {
		name    string
		demands Permission
		events  []Event
		want    Consent
	}{
		{"a form sent twice", strict, []Event{granted(10), at(11, Confirmed), granted(20)}, given(10, confirmed(11))},
		{"and confirmed again", strict, []Event{granted(10), at(11, Confirmed), granted(20), at(25, Confirmed)}, given(20, confirmed(25))},
		{"an old list", strict, []Event{granted(10), at(11, Confirmed), granted(20, unproven)}, given(10, confirmed(11))},
		{"nothing demanded", Permission{}, []Event{granted(10), at(11, Confirmed), granted(20)}, given(20)},
		{"confirmed too late", Permission{DoubleOptIn: true, ConfirmWithin: 5}, []Event{granted(10), at(12, Confirmed), granted(20),
			at(26, Confirmed)}, given(10, confirmed(12))},
		{"neither is enough, and the first is nearer", strict, []Event{granted(10), granted(20, unproven)}, given(10)},
		{"neither is enough, nor nearer", strict, []Event{granted(10, explicit), granted(20)}, given(20)},
		{"the first was express", Permission{SpecialCategory: true}, []Event{granted(10, explicit), granted(20)},
			given(10, func(c *Consent) { c.Explicit = true })},
		{"the later has terms, and isn't confirmed", strict, []Event{granted(10), at(11, Confirmed), granted(20, until(90))},
			given(10, func(c *Consent) { c.ConfirmedAt, c.ExpiresAt = 11, 90 })},
		{"each has terms", strict, []Event{granted(10, until(95), startingAt(15)), at(11, Confirmed), granted(20, until(90), startingAt(12))},
			given(10, func(c *Consent) { c.ConfirmedAt, c.ValidFrom, c.ExpiresAt = 11, 15, 90 })},
		{"the first had terms", strict, []Event{granted(10, until(90)), at(11, Confirmed), granted(20)},
			given(10, func(c *Consent) { c.ConfirmedAt, c.ExpiresAt = 11, 90 })},
		{"terms end with their grant", strict, []Event{granted(10, until(90)), granted(20), at(21, Confirmed)}, given(20, confirmed(21))},
		{"a withdrawal ends both", strict, []Event{granted(10), at(11, Confirmed), granted(20), at(30, Withdrawn)},
			Consent{State: StateWithdrawn, Since: 30}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := foldContext(t)
			p := tt.demands
			b := bound(c.Names, email)
			p.ID, p.PurposeID, p.ChannelID = b.ID, b.PurposeID, b.ChannelID
			if diff := cmp.Diff(tt.want, FoldHistory(tt.events, c).Consent(&p)); diff != "" {
				t.Errorf("consent (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGrantsAreBounded(t *testing.T) {
	c := foldContext(t)
	var events []Event
	for i := range Time(3 * maxGrants) {
		// Each is confirmed quicker than the one before, and shows an older notice, so that none says all that another does.
		e := granted(1000 * (i + 1))
		e.Evidence.NoticeVersion = 100 - uint32(i)
		events = append(events, e, at(e.OccurredAt+100-i, Confirmed))
	}
	r := FoldHistory(events, c)
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	if got := r.grantCount(); got != maxGrants {
		t.Errorf("%d grants are kept, want %d", got, maxGrants)
	}
	if got, want := r.Consent(bound(c.Names, email)).Since, Time(3*maxGrants*1000); got != want {
		t.Errorf("the grant of %d counts, want that of %d", got, want)
	}
}

func TestCarelessImportsPushNothingOut(t *testing.T) {
	c := foldContext(t)
	events := []Event{granted(10), at(11, Confirmed)}
	for i := range Time(2 * maxGrants) {
		e := granted(20+i, unproven)
		e.Evidence.NoticeVersion = uint32(2*maxGrants - i)
		events = append(events, e)
	}
	p := bound(c.Names, email)
	p.ProofRequired, p.DoubleOptIn = true, true
	r := FoldHistory(events, c)
	if diff := cmp.Diff(given(10, confirmed(11)), r.Consent(p)); diff != "" || r.grantCount() != maxGrants {
		t.Errorf("%d grants, consent (-want +got):\n%s", r.grantCount(), diff)
	}
}

func TestRepeatedGrantsTakeNoRoom(t *testing.T) {
	c := foldContext(t)
	for _, events := range [][]Event{
		{granted(10), granted(20)},
		{granted(10, unproven), granted(20), at(21, Confirmed)},
		{granted(10), at(15, Confirmed), granted(20), at(21, Confirmed)},
		{granted(10), granted(20, unproven), evidence(30, 20, proof)},
	} {
		if got := FoldHistory(events, c).grantCount(); got != 1 {
			t.Errorf("%d grants are kept, of which the last has all that the others have", got)
		}
	}
}

func TestMarks(t *testing.T) {
	c := foldContext(t)
	marketing := func(e Event) Event { e.Objection = ObjectionMarketing; return e }
	processing := func(e Event) Event { e.Objection = ObjectionProcessing; return e }
	p := bound(c.Names, email)
	tests := []struct {
		name   string
		events []Event
		want   map[MarkKind]Time
	}{
		{"unclear", []Event{all(10, Objected)}, map[MarkKind]Time{MarkObjectedMarketing: 10, MarkObjectedProcessing: 10}},
		{"to marketing", []Event{marketing(all(10, Objected))}, map[MarkKind]Time{MarkObjectedMarketing: 10}},
		{"to processing", []Event{processing(at(10, Objected))}, map[MarkKind]Time{MarkObjectedProcessing: 10}},
		{"lifted", []Event{all(10, Objected), processing(all(20, ObjectionLifted))},
			map[MarkKind]Time{MarkObjectedMarketing: 10, MarkObjectedProcessing: 10, MarkLiftedProcessing: 20}},
		{"the latest of all that cover", []Event{all(10, Withdrawn), over(all(30, Withdrawn), Scope{Channels: []string{"email"}}),
			over(all(20, Withdrawn), Scope{Purposes: []string{"newsletter"}})}, map[MarkKind]Time{MarkWithdrawn: 30}},
		{"a scope is a union", []Event{over(all(10, Withdrawn), Scope{Permissions: []string{phone}, Channels: []string{"email"}})},
			map[MarkKind]Time{MarkWithdrawn: 10}},
		{"bounces", []Event{over(all(10, Undeliverable), Scope{Channels: []string{"email"}}), all(20, Deliverable)},
			map[MarkKind]Time{MarkUndeliverable: 10, MarkDeliverable: 20}},
		{"grounds", []Event{at(10, GroundsRecorded)}, map[MarkKind]Time{MarkGrounds: 10}},
		{"erasure keeps a no and what lifted it", []Event{all(10, Objected), all(12, ObjectionLifted), at(15, GroundsRecorded),
			at(16, Undeliverable), all(20, Erased)}, map[MarkKind]Time{MarkObjectedMarketing: 10, MarkObjectedProcessing: 10,
			MarkLiftedMarketing: 12, MarkLiftedProcessing: 12, MarkUndeliverable: 16}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := FoldHistory(tt.events, c)
			for kind := range markKinds {
				if got := r.Mark(kind, p); got != tt.want[kind] {
					t.Errorf("mark %d is %d, want %d", kind, got, tt.want[kind])
				}
			}
		})
	}
}

func TestSubjectWideEvents(t *testing.T) {
	type times struct{ erased, suppressed, restricted Time }
	tests := []struct {
		name   string
		events []Event
		want   times
	}{
		{"suppressed", []Event{all(10, Suppressed)}, times{suppressed: 10}},
		{"taken off the list", []Event{all(10, Suppressed), all(20, Unsuppressed)}, times{}},
		{"at the same time", []Event{all(10, Suppressed), all(10, Unsuppressed)}, times{suppressed: 10}},
		{"taken off before", []Event{all(20, Suppressed), all(10, Unsuppressed)}, times{suppressed: 20}},
		{"an erasure suppresses", []Event{all(10, Erased)}, times{erased: 10, suppressed: 10}},
		{"taken off before the erasure", []Event{all(10, Erased), all(5, Unsuppressed)}, times{erased: 10, suppressed: 10}},
		{"taken off at the same time as the erasure", []Event{all(10, Erased), all(10, Unsuppressed)}, times{erased: 10, suppressed: 10}},
		{"taken off after it", []Event{all(10, Erased), all(15, Unsuppressed)}, times{erased: 10}},
		{"suppressed after it", []Event{all(10, Erased), all(15, Suppressed)}, times{erased: 10, suppressed: 15}},
		{"restricted", []Event{all(10, Restricted)}, times{restricted: 10}},
		{"unrestricted", []Event{all(10, Restricted), all(20, Unrestricted)}, times{}},
		{"a restriction outlives the erasure", []Event{all(10, Restricted), all(20, Erased)}, times{20, 20, 10}},
		{"one that was lifted doesn't come back", []Event{all(10, Restricted), all(12, Unrestricted), all(20, Erased)}, times{20, 20, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := testLedger{c: foldContext(t)}
			for _, e := range tt.events {
				l.write(e)
			}
			got := times{l.record.ErasedAt(), l.record.SuppressedAt(), l.record.RestrictedAt()}
			if got != tt.want {
				t.Errorf("erased, suppressed, restricted at %v, want %v", got, tt.want)
			}
		})
	}
}

func TestFoldLateKeepsNoTraceFromBeforeAnErasure(t *testing.T) {
	c := foldContext(t)
	history := []Event{all(20, Erased)}
	r := FoldHistory(history, c)
	for _, tt := range []struct {
		name string
		e    Event
		keep bool
	}{
		{"a fact", granted(10), false},
		{"a fact of the same time", granted(20), false},
		{"attributes", Event{Kind: AttributesSet, OccurredAt: 10, Attributes: Attributes{Relationship: RelationshipCustomer}}, false},
		{"a no", at(10, Withdrawn), true},
		{"a void grant", granted(10, preTicked), true},
		{"what lifts a no", all(10, ObjectionLifted), true},
		{"the erasure again", all(20, Erased), false},
		{"an earlier erasure", all(15, Erased), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, _, keep := FoldLate(r, history, tt.e, c); keep != tt.keep {
				t.Errorf("keep is %v, want %v", keep, tt.keep)
			}
		})
	}
}

func TestFates(t *testing.T) {
	day := func(date string) Time {
		d, err := time.Parse(time.DateOnly, date)
		if err != nil {
			t.Fatal(err)
		}
		return TimeOf(d)
	}
	call := func(date string, kind EventKind) Event {
		return over(at(day(date), kind), Scope{Permissions: []string{email, phone}})
	}
	history := []Event{
		call("2020-02-29", Granted),
		call("2021-05-01", Used),
		call("2023-05-01", Used),
		call("2020-03-01", Requested),
		at(day("2020-02-29"), Granted),
		call("2022-01-01", Withdrawn),
		call("2024-06-01", Granted),
		call("2024-07-01", Used),
		over(at(day("2023-01-01"), Used), Scope{Permissions: []string{"dropped/phone", "dropped/email"}}),
		over(at(day("2023-01-01"), Used), Scope{Permissions: []string{"dropped/email"}}),
	}
	erasure := all(day("2024-01-01"), Erased)
	policy := &Policy{
		Permissions: []Permission{{Name: phone, Kind: KindPhone, DirectMarketing: true}, {Name: email, Kind: KindEmail, DirectMarketing: true}},
		byName:      map[string]int{phone: 0, email: 1},
	}
	want := []Fate{
		{RetainedUntil: day("2028-05-01")}, {RetainedUntil: day("2026-05-01")}, {RetainedUntil: day("2028-05-01")},
		{}, {}, {Folded: true}, {Folded: true}, {Folded: true}, {RetainedUntil: day("2028-01-01")}, {},
	}
	if diff := cmp.Diff(want, FatesOf(history, erasure, policy)); diff != "" {
		t.Errorf("fates (-want +got):\n%s", diff)
	}
	for i, fate := range FatesOf(history, erasure, nil) {
		if fate.RetainedUntil != 0 {
			t.Errorf("event %d is retained without a policy", i)
		}
	}
}

// Of answers given at the same instant, no counts, in whatever order they were written.
func TestAnswersAtTheSameTime(t *testing.T) {
	c := foldContext(t)
	yes, no := true, false
	says := func(answer *bool) Event {
		e := all(10, AttributesSet)
		e.Attributes = Attributes{ContractActive: answer}
		return e
	}
	for _, history := range [][]Event{{says(&yes), says(&no)}, {says(&no), says(&yes)}} {
		if FoldHistory(history, c).ContractActive() {
			t.Error("yes counts beside a no of the same instant")
		}
	}
}

// A full record denies more than it was told, and never less.
func TestFullRecord(t *testing.T) {
	names := make([]string, recordRoom+10)
	for i := range names {
		names[i] = "p" + string(rune('a'+i%26)) + "-" + time.Duration(i).String()
	}
	c := FoldContext{Names: namesOf(t, append([]string{email, phone}, names...), nil, nil)}
	r := FoldHistory([]Event{granted(1)}, c)
	for i, batch := range slices.Collect(slices.Chunk(names, maxNames)) {
		r, _ = Fold(r, over(at(Time(10+i), Used), Scope{Permissions: batch}), c)
	}
	if len(r) > recordRoom {
		t.Fatalf("the record has %d words, more than %d", len(r), recordRoom)
	}
	if _, effect := Fold(r, over(granted(10_000), Scope{Permissions: []string{phone}}), c); effect != Superseded {
		t.Errorf("a grant had effect %d on a full record", effect)
	}
	limited, effect := Fold(r, granted(10_000, until(20_000)), c)
	if got := limited.Consent(bound(c.Names, email)); effect != Applied || got.State != StateWithdrawn || limited.Validate() != nil {
		t.Errorf("a grant with terms had effect %d on a full record, and leaves one without: %+v", effect, got)
	}
	proof := at(10_000, EvidenceAdded)
	proof.Evidence = Evidence{NoticeVersion: 9, Method: MethodWebForm, Source: "shop", Reference: "form"}
	if proven, effect := Fold(r, over(proof, Scope{Permissions: []string{email}}), c); effect != Superseded ||
		proven.Consent(bound(c.Names, email)) != r.Consent(bound(c.Names, email)) {
		t.Errorf("evidence for the last grant had effect %d, though the last may have found no room", effect)
	}
	r, effect = Fold(r, over(at(10_001, Withdrawn), Scope{Permissions: []string{phone}}), c)
	if effect != Applied || r.Consent(bound(c.Names, phone)).State != StateWithdrawn {
		t.Errorf("a withdrawal had effect %d on a full record", effect)
	}
	if err := r.Validate(); err != nil {
		t.Error(err)
	}
}

// A grant counts as fitting only if its terms do too, and those that it sets for the grants before it.
func TestNoRoomForTerms(t *testing.T) {
	const left = grantWords + 1
	c := foldContext(t)
	names := make([]string, recordRoom-headerWords-left)
	for i := range names {
		names[i] = fmt.Sprint("p", i)
	}
	c.Names = namesOf(t, append([]string{email}, names...), nil, nil)
	var r Record
	for i, batch := range slices.Collect(slices.Chunk(names, maxNames)) {
		r, _ = Fold(r, over(at(Time(10+i), Used), Scope{Permissions: batch}), c)
	}
	if len(r) != recordRoom-left {
		t.Fatalf("the record has %d words, want room for %d", len(r), left)
	}
	next, effect := Fold(r, granted(10_000, startingAt(10_000), until(20_000)), c)
	if effect != Superseded || len(next) != len(r) {
		t.Errorf("a grant with terms had effect %d, and the record has %d words", effect, len(next))
	}
}

func TestNamesWithoutNumbers(t *testing.T) {
	c := foldContext(t)
	r := FoldHistory([]Event{granted(10)}, c)
	unnumbered := Scope{Permissions: []string{"unheard/of"}}
	for _, kind := range []EventKind{Granted, Used, ObjectionLifted, GroundsRecorded} {
		if _, effect := Fold(r, over(at(20, kind), unnumbered), c); effect != Superseded {
			t.Errorf("effect of %v is %d, want superseded", kind, effect)
		}
	}
	r, _ = Fold(r, over(at(20, Withdrawn), unnumbered), c)
	if got := r.Consent(bound(c.Names, email)).State; got != StateWithdrawn {
		t.Errorf("the state is %d: a withdrawal over a name without a number must cover everything", got)
	}
}

func TestFoldAllocatesOnlyTheRecord(t *testing.T) {
	c := foldContext(t)
	r := FoldHistory([]Event{
		granted(10), granted(12, bareOf(2)), granted(14, bareOf(1)), over(granted(10), Scope{Permissions: foldPermissions[1:]}), all(20, Objected),
	}, c)
	for _, e := range []Event{
		granted(30, until(90)), granted(30, bareOf(0), until(90), startingAt(40)), at(30, Confirmed), evidence(30, 0, proof), at(30, Used), at(30, Requested), all(30, Withdrawn),
		all(30, Objected), all(30, Erased), all(30, Suppressed), all(30, Unsuppressed),
		{Kind: AttributesSet, OccurredAt: 30, Attributes: Attributes{Relationship: RelationshipCustomer}},
	} {
		if n := testing.AllocsPerRun(100, func() { Fold(r, e, c) }); n > 1 {
			t.Errorf("folding %v allocates %v times, want once", e.Kind, n)
		}
	}
}

func BenchmarkFold(b *testing.B) {
	c := foldContext(b)
	r := FoldHistory([]Event{over(granted(10), Scope{Permissions: foldPermissions})}, c)
	e := at(20, Used)
	b.ReportAllocs()
	for b.Loop() {
		Fold(r, e, c)
	}
}
