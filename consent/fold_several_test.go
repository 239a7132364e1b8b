package consent

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const severalPolicy = `
format: 1
purposes:
  newsletter:
    direct_marketing: true
    channels:
      email: {bases: [consent, existing_customer], double_opt_in: true, confirm_within: 2d}
      post: {bases: [consent, legitimate_interest], assessment: a, notice_at_collection: true, expires_after: 10d}
`

// TestUnprovenGrantsPushNoDenialOut starts from a proven consent whose denial ends the walk. What is imported over it without proof must
// not lead to the next basis.
func TestUnprovenGrantsPushNoDenialOut(t *testing.T) {
	w := newWorld(t, severalPolicy)
	limited := func(e *Event) { e.Terms.ExpiresAt = onDay(100) }
	starting := func(e *Event) { e.Terms.ValidFrom = onDay(15) }
	for _, start := range []struct {
		permission string
		want       Reason
	}{{"newsletter/post", ReasonExpired}, {"newsletter/email", ReasonUnconfirmed}} {
		name := start.permission
		for imported, grants := range map[string][]Event{
			"none":                   nil,
			"one with an end":        {yes(2, name, noProof, limited)},
			"one with a start":       {yes(2, name, noProof, starting)},
			"one at the same time":   {yes(1, name, bareOf(12))},
			"four of falling notice": {yes(2, name, bareOf(8)), yes(3, name, bareOf(7)), yes(4, name, bareOf(6)), yes(5, name, bareOf(5))},
			"and one with an end": {yes(2, name, bareOf(8)), yes(3, name, bareOf(7)), yes(4, name, bareOf(6)), yes(5, name, bareOf(5)),
				yes(6, name, noProof, limited)},
		} {
			t.Run(name+"/"+imported, func(t *testing.T) {
				proven := yes(1, name, func(e *Event) { e.Evidence.NoticeVersion = 9 })
				r := FoldHistory(append([]Event{set(0, customer), proven}, grants...), w.c)
				d := Decide(w.permission(t, name), r, Question{SimilarGoods: true}, onDay(20))
				if d.Allowed || d.Reason != start.want {
					t.Errorf("%v, want %v", d, start.want)
				}
			})
		}
	}
}

// TestEvidenceForAGrantPassedOver adds the proof of a grant that was left out for a proven one. It proves no other grant, whether it
// names its grant or not.
func TestEvidenceForAGrantPassedOver(t *testing.T) {
	full := make([]Event, maxGrants)
	for i := range full {
		full[i] = granted(Time(10 + i))
		full[i].Evidence.NoticeVersion = uint32(20 - i)
	}
	tests := []struct {
		name    string
		history []Event
		left    Event
		counts  Time // the grant that counts afterwards, for a permission that has to be proven
		want    Effect
	}{
		{"a fifth", full, granted(30, bareOf(2)), 13, Superseded},
		{"a fifth at the instant of the fourth", full, granted(13, bareOf(2), explicit), 13, Superseded},
		{"a fifth that limits the others", full, granted(30, bareOf(2), until(90)), 13, Applied},
	}
	for _, tt := range tests {
		for _, grantAt := range []Time{0, tt.left.OccurredAt} {
			t.Run(tt.name, func(t *testing.T) {
				l := testLedger{c: foldContext(t)}
				for _, e := range tt.history {
					l.write(e)
				}
				p := bound(l.c.Names, email)
				p.ProofRequired = true
				before := l.record.Consent(p)
				if got := l.write(tt.left); got != tt.want {
					t.Errorf("the grant: effect %d, want %d", got, tt.want)
				}
				before.ExpiresAt = tt.left.Terms.ExpiresAt
				if got := l.write(evidence(40, grantAt, proof)); got != Superseded {
					t.Errorf("its evidence: effect %d, want %d", got, Superseded)
				}
				if diff := cmp.Diff(before, l.record.Consent(p)); diff != "" || before.Since != tt.counts {
					t.Errorf("consent of %d (-before +after):\n%s", before.Since, diff)
				}
				l.write(granted(50, func(e *Event) { e.Evidence.NoticeVersion = 0 }))
				if got := l.write(evidence(60, 0, proof)); got != Applied || l.record.Consent(p).Since != 50 {
					t.Errorf("evidence for the grant after it: effect %d, %+v", got, l.record.Consent(p))
				}
				l.write(at(70, Withdrawn))
				if want := FoldHistory([]Event{at(70, Withdrawn)}, l.c); !sameFacts(want, l.record) || len(want) != len(l.record) {
					t.Errorf("a withdrawal leaves %x, want %x", l.record, want)
				}
			})
		}
	}
}

// TestGrantAtTheInstantOfOnePassedOver is the last one then, and evidence for the last is for it.
func TestGrantAtTheInstantOfOnePassedOver(t *testing.T) {
	l := testLedger{c: foldContext(t)}
	for i := range maxGrants {
		l.write(granted(Time(10+i), func(e *Event) { e.Evidence.NoticeVersion = uint32(20 - i) }))
	}
	l.write(granted(30, bareOf(2)))
	if got := l.write(granted(30, explicit, func(e *Event) { e.Evidence.NoticeVersion = 0 })); got != Applied {
		t.Fatalf("a proven grant had effect %d", got)
	}
	told := proof
	told.NoticeVersion = 9
	if got := l.write(evidence(40, 0, told)); got != Applied || l.record.Consent(bound(l.c.Names, email)).NoticeVersion != 9 {
		t.Errorf("evidence of its notice had effect %d: %+v", got, l.record.Consent(bound(l.c.Names, email)))
	}
}

// bareOf leaves a grant without proof, under a notice.
func bareOf(notice uint32) func(*Event) {
	return func(e *Event) { e.Evidence = Evidence{NoticeVersion: notice} }
}

// TestTermsLimitEarlierGrants starts from a proven yes without end. A later one, until day 10, limits it from the moment it is written,
// proven or not, and its proof may come late; only a yes after it lifts the limit.
func TestTermsLimitEarlierGrants(t *testing.T) {
	const name = "newsletter/post"
	w := newWorld(t, `
format: 1
purposes: {newsletter: {direct_marketing: true, channels: {post: {bases: [consent, legal_obligation], statute: a}}}}
`)
	limited := func(e *Event) { e.Terms.ExpiresAt = onDay(10) }
	starting := func(e *Event) { e.Terms.ValidFrom = onDay(10) }
	late := about(EvidenceAdded, 6, name)
	late.Evidence, late.GrantAt = proof, onDay(3)
	first := yes(1, name)
	for _, tt := range []struct {
		name          string
		grants        []Event
		before, after Reason // day 10
	}{
		{"one with proof", []Event{yes(3, name, limited)}, ReasonConsent, ReasonExpired},
		{"one whose proof comes late", []Event{yes(3, name, noProof, limited), late}, ReasonConsent, ReasonExpired},
		{"one without proof", []Event{yes(3, name, noProof, limited)}, ReasonConsent, ReasonExpired},
		{"one with less to say, at the same instant", []Event{yes(1, name, noProof, limited)}, ReasonConsent, ReasonExpired},
		{"one without proof that starts", []Event{yes(3, name, noProof, starting)}, ReasonNotYetValid, ReasonConsent},
		{"one without proof, and a proven one after it", []Event{yes(3, name, noProof, limited), yes(5, name)}, ReasonConsent, ReasonConsent},
		{"one without proof, and another after it", []Event{yes(3, name, noProof, limited), yes(5, name, noProof)}, ReasonConsent, ReasonExpired},
		{"one that was pushed out", []Event{yes(3, name, bareOf(2), limited), yes(4, name, bareOf(1)), yes(5, name, bareOf(0), explicit),
			yes(6, name, bareOf(0), func(e *Event) { e.Evidence.Source = "shop" })}, ReasonConsent, ReasonExpired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := FoldHistory(append([]Event{first}, tt.grants...), w.c)
			if err := r.Validate(); err != nil {
				t.Error(err)
			}
			for now, want := range map[Time]Reason{onDay(10) - 1: tt.before, onDay(10): tt.after} {
				if d := Decide(w.permission(t, name), r, Question{}, now); d.Reason != want {
					t.Errorf("at %v %v, want %v", now, d, want)
				}
			}
		})
	}
}

// TestGrantsOfOneInstant keeps two grants of which none says all that the other does. Evidence for the instant is that of the last.
func TestGrantsOfOneInstant(t *testing.T) {
	c := foldContext(t)
	p := bound(c.Names, email)
	p.SpecialCategory = true
	r := FoldHistory([]Event{granted(10), granted(10, unproven, explicit)}, c)
	if err := r.Validate(); err != nil || r.grantCount() != 2 {
		t.Fatalf("%d grants, %v", r.grantCount(), err)
	}
	if got := r.Consent(p); got.Proven || !got.Explicit {
		t.Errorf("the express one doesn't count: %+v", got)
	}
	r, effect := Fold(r, evidence(20, 10, proof), c)
	if got := r.Consent(p); effect != Applied || !got.Proven || !got.Explicit || r.grantCount() != 1 {
		t.Errorf("its evidence had effect %d, and %d grants are left: %+v", effect, r.grantCount(), got)
	}
}

// TestUnprovenGrantsGoFirst fills a record up, and looks at which grants are left.
func TestUnprovenGrantsGoFirst(t *testing.T) {
	falling := func(n int, change func(i int, e *Event)) []Event {
		var events []Event
		for i := range n {
			e := granted(Time(10 + i))
			change(i, &e)
			e.Evidence.NoticeVersion = uint32(100 - i)
			events = append(events, e)
		}
		return events
	}
	all := func(int, *Event) {}
	for _, tt := range []struct {
		name   string
		events []Event
		want   []Time
	}{
		{"the oldest unproven", falling(5, func(i int, e *Event) {
			if i == 1 || i == 3 {
				unproven(e)
			}
		}), []Time{10, 12, 13, 14}},
		{"the last, if it alone is unproven", falling(5, func(i int, e *Event) {
			if i == 4 {
				unproven(e)
			}
		}), []Time{10, 11, 12, 13}},
		{"the oldest, if all are proven", falling(6, all), []Time{12, 13, 14, 15}},
		{"the oldest that isn't confirmed", append(falling(1, all), append([]Event{at(10, Confirmed)}, falling(5, all)[1:]...)...),
			[]Time{10, 12, 13, 14}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []Time
			r := FoldHistory(tt.events, foldContext(t))
			for i := range r.grantCount() {
				got = append(got, r.grant(i).at)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("grants left (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNoOverAPurposeWrittenAsPermission withdraws "newsletter" as if it were a permission: that is meant for every channel.
func TestNoOverAPurposeWrittenAsPermission(t *testing.T) {
	w := newWorld(t, severalPolicy)
	for _, no := range []Event{
		about(Withdrawn, 3, "newsletter"), about(Refused, 3, "newsletter"), about(Invalidated, 3, "newsletter"),
		objection(3, ObjectionUnclear, "newsletter"), about(Undeliverable, 3, "newsletter"),
		yes(3, "newsletter", func(e *Event) { e.Evidence.Method = MethodPreTicked }),
	} {
		c := w.c
		names, err := c.Names.AddScope(no.Scope)
		if err != nil {
			t.Fatal(err)
		}
		c.Names = names
		post := yes(1, "newsletter/post")
		if d := Decide(w.permission(t, "newsletter/post"), FoldHistory([]Event{post, no}, c), Question{}, onDay(4)); d.Allowed {
			t.Errorf("%v over the purpose as a permission: %v", no.Kind, d)
		}
	}
}
