package consent

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var (
	foldPermissions = []string{"newsletter/email", "newsletter/phone", "ads/email", "crm_storage"}
	foldPurposes    = []string{"newsletter", "ads", "crm_storage"}
	foldChannels    = []string{"email", "phone"}
)

// foldContext returns a context whose names are those that the generated events use.
func foldContext(tb testing.TB) FoldContext {
	tb.Helper()
	return FoldContext{Tenant: 7, Names: namesOf(tb, foldPermissions, foldPurposes, foldChannels), Index: 100}
}

func namesOf(tb testing.TB, permissions, purposes, channels []string) *Names {
	tb.Helper()
	names, err := (*Names)(nil).AddScope(Scope{Permissions: permissions, Purposes: purposes, Channels: channels})
	if err != nil {
		tb.Fatal(err)
	}
	return names
}

// bound returns a permission that demands nothing, with its numbers.
func bound(n *Names, name string) *Permission {
	p := &Permission{Name: name, ID: n.ID(PermissionName, name)}
	p.PurposeID, p.ChannelID = n.Parts(p.ID)
	return p
}

// testLedger applies events as the store does: in the order in which they arrive.
type testLedger struct {
	record  Record
	history []Event
	c       FoldContext
}

func (l *testLedger) write(e Event) Effect {
	var effect Effect
	keep := true
	if e.OccurredAt > l.record.Newest() {
		l.record, effect = Fold(l.record, e, l.c)
	} else {
		l.record, effect, keep = FoldLate(l.record, l.history, e, l.c)
	}
	if keep {
		l.history = append(l.history, e)
	}
	if keep && e.Kind == Erased {
		kept := l.history[:0:0]
		for i, fate := range FatesOf(l.history, e, nil) {
			if fate.Folded {
				kept = append(kept, l.history[i])
			}
		}
		l.history = kept
	}
	return effect
}

// drawEvent draws a valid event.
func drawEvent(t *rapid.T, at Time) Event {
	e := Event{Kind: EventKind(rapid.IntRange(int(Granted), int(Erased)).Draw(t, "kind")), OccurredAt: at}
	if rapid.IntRange(0, 2).Draw(t, "grant more often") == 0 {
		e.Kind = rapid.SampledFrom([]EventKind{Granted, Confirmed, EvidenceAdded}).Draw(t, "kind")
	}
	switch e.Kind.scope() {
	case scopePermissions:
		e.Scope.Permissions = drawNames(t, 1, foldPermissions)
	case scopeAny:
		e.Scope.Permissions = drawNames(t, 0, foldPermissions)
		e.Scope.Purposes = drawNames(t, 0, foldPurposes)
		e.Scope.Channels = drawNames(t, 0, foldChannels)
	}
	switch e.Kind {
	case Granted:
		e.Evidence, e.Terms = drawEvidence(t), drawTerms(t, at)
		if rapid.IntRange(0, 9).Draw(t, "void") == 0 {
			e.Evidence.Method = MethodPreTicked
		}
	case EvidenceAdded:
		e.Evidence = drawEvidence(t)
		e.Evidence.Source = "audit"
		if rapid.Bool().Draw(t, "names its grant") {
			e.GrantAt = Time(rapid.Int64Range(1, int64(at)).Draw(t, "grant at"))
		}
	case Objected, ObjectionLifted:
		e.Objection = ObjectionKind(rapid.IntRange(0, 2).Draw(t, "objection"))
	case AttributesSet:
		e.Attributes = drawAttributes(t)
	}
	return e
}

func drawNames(t *rapid.T, least int, names []string) []string {
	drawn := rapid.SliceOfNDistinct(rapid.SampledFrom(names), least, max(least, 2), rapid.ID[string]).Draw(t, "names")
	if len(drawn) == 0 {
		return nil
	}
	return drawn
}

func drawEvidence(t *rapid.T) Evidence {
	return Evidence{
		NoticeVersion: rapid.SampledFrom([]uint32{0, 1, 2, 3, 2024050101}).Draw(t, "notice"),
		Method:        rapid.SampledFrom([]Method{MethodUnknown, MethodWebForm}).Draw(t, "method"),
		Source:        rapid.SampledFrom([]string{"", "checkout"}).Draw(t, "source"),
		Reference:     rapid.SampledFrom([]string{"", "forms/8812"}).Draw(t, "reference"),
	}
}

func drawTerms(t *rapid.T, at Time) Terms {
	terms := Terms{
		Explicit:             rapid.Bool().Draw(t, "explicit"),
		OverridesRestriction: rapid.Bool().Draw(t, "overrides"),
	}
	if rapid.IntRange(0, 3).Draw(t, "terms") == 0 {
		terms.ExpiresAt = at + Time(rapid.Int64Range(1, 50).Draw(t, "expires"))
	}
	if rapid.IntRange(0, 9).Draw(t, "starts") == 0 {
		terms.ValidFrom = at
	}
	return terms
}

func drawAttributes(t *rapid.T) Attributes {
	answer := func(label string) *bool {
		return rapid.Ptr(rapid.Bool(), true).Draw(t, label)
	}
	return Attributes{
		BirthDate:          rapid.Ptr(rapid.SampledFrom([]Date{{}, {1960, 2, 29}, {1965, 12, 31}}), true).Draw(t, "birth date"),
		Country:            rapid.Ptr(rapid.SampledFrom([]string{"", "DE", "AT", "ZZ"}), true).Draw(t, "country"),
		Relationship:       Relationship(rapid.IntRange(0, 3).Draw(t, "relationship")),
		GuardianAuthorised: answer("guardian"),
		AddressFromSale:    answer("sale"),
		OptOutNoticeGiven:  answer("opt-out"),
		ContractActive:     answer("contract"),
		Business:           rapid.Ptr(rapid.Bool(), false).Draw(t, "business"),
	}
}

// drawHistory draws events in the order of their distinct times.
func drawHistory(t *rapid.T) []Event {
	n := rapid.IntRange(1, 25).Draw(t, "events")
	events, at := make([]Event, n), Time(0)
	for i := range events {
		at += Time(rapid.Int64Range(1, 20).Draw(t, "gap"))
		events[i] = drawEvent(t, at)
	}
	return events
}

// Property 8: folding doesn't depend on arrival order, for events with distinct occurred_at.
func TestArrivalOrderNeverMatters(t *testing.T) {
	c := foldContext(t)
	rapid.Check(t, func(t *rapid.T) {
		events := drawHistory(t)
		want := FoldHistory(events, c)
		if err := want.Validate(); err != nil {
			t.Fatal(err)
		}
		l := testLedger{c: c}
		for _, e := range rapid.Permutation(events).Draw(t, "arrival") {
			before := slices.Clone(l.record)
			effect := l.write(e)
			if changed := !sameFacts(before, l.record); changed != (effect == Applied) {
				t.Fatalf("%v at %d: effect %d, and changed is %v", e.Kind, e.OccurredAt, effect, changed)
			}
			if err := l.record.Validate(); err != nil {
				t.Fatal(err)
			}
		}
		if !sameFacts(l.record, want) || l.record.Newest() != want.Newest() {
			t.Fatalf("in the order of arrival, the other record (-want +got):\n%s", cmp.Diff(want.Expand(c.Names), l.record.Expand(c.Names)))
		}
		if again := FoldHistory(l.history, c); !sameFacts(again, want) {
			t.Fatalf("what is left of the history makes another record (-want +got):\n%s",
				cmp.Diff(want.Expand(c.Names), again.Expand(c.Names)))
		}
	})
}

func TestFoldingInOrderIsFoldingTheHistory(t *testing.T) {
	c := foldContext(t)
	rapid.Check(t, func(t *rapid.T) {
		events := drawHistory(t)
		var r Record
		for _, e := range events {
			before := slices.Clone(r)
			next, _ := Fold(r, e, c)
			if !slices.Equal(before, r) {
				t.Fatalf("%v wrote the record passed in", e.Kind)
			}
			r = next
		}
		want := FoldHistory(rapid.Permutation(events).Draw(t, "order"), c)
		if !sameFacts(r, want) || r.Newest() != want.Newest() {
			t.Fatalf("another record (-history +in order):\n%s", cmp.Diff(want.Expand(c.Names), r.Expand(c.Names)))
		}
	})
}

// The same events again change nothing, whatever became of them.
func TestRepeatsChangeNothing(t *testing.T) {
	c := foldContext(t)
	rapid.Check(t, func(t *rapid.T) {
		events := drawHistory(t)
		l := testLedger{c: c}
		for _, e := range events {
			l.write(e)
		}
		record, history := slices.Clone(l.record), len(l.history)
		for _, e := range rapid.Permutation(events).Draw(t, "again") {
			if effect := l.write(e); effect == Applied {
				t.Fatalf("%v at %d applied again", e.Kind, e.OccurredAt)
			}
		}
		if !slices.Equal(record, l.record) || len(l.history) != history {
			t.Fatal("a repeat changed record or history")
		}
	})
}

// With events of the same time, the record is still what the history makes, and no grant outlives a "no" of its time.
func TestTiesDeny(t *testing.T) {
	c := foldContext(t)
	rapid.Check(t, func(t *rapid.T) {
		l := testLedger{c: c}
		for range rapid.IntRange(1, 20).Draw(t, "events") {
			l.write(drawEvent(t, Time(rapid.Int64Range(1, 4).Draw(t, "at"))))
			if again := FoldHistory(l.history, c); !sameFacts(again, l.record) {
				t.Fatalf("the history makes another record (-want +got):\n%s", cmp.Diff(l.record.Expand(c.Names), again.Expand(c.Names)))
			}
		}
		for i := range l.record.grantCount() {
			g := l.record.grant(i)
			purpose, channel := c.Names.Parts(g.permission)
			if _, no := l.record.refusal(g.permission, purpose, channel); no >= g.at {
				t.Fatalf("a grant of %d outlives a no of %d", g.at, no)
			}
		}
	})
}
