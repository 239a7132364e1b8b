package consent

import "testing"

// asking is a question of which the cost is measured.
type asking struct {
	name string
	p    *Permission
	r    Record
	q    Question
	now  Time
	want Reason
}

// askings are an ALLOW, a DENY, and the most that a question can cost: every mark is there, consent passes on, and the last basis of
// many decides.
func askings(tb testing.TB) []asking {
	tb.Helper()
	w := newWorld(tb, rowsPolicy)
	email, worst := w.permission(tb, "newsletter/email"), *w.permission(tb, "newsletter/post")
	worst.Bases = []Basis{
		BasisConsent, BasisExistingCustomer, BasisLegitimateInterest, BasisPresumedConsent, BasisContract, BasisLegalObligation,
		BasisVitalInterest,
	}
	worst.ProofRequired, worst.OverridingGround, worst.TerminalEquipment, worst.StrictlyNecessary = true, "fraud", true, true
	usual := FoldHistory([]Event{
		set(1, customer), yes(2, "newsletter/email"), about(Confirmed, 3, "newsletter/email"), yes(4, "newsletter/phone"),
		yes(5, "offers/email"), yes(6, "ads"),
	}, w.c)
	loaded := FoldHistory([]Event{
		about(Erased, 1), about(Unsuppressed, 2), objection(3, ObjectionUnclear), lift(5), about(Undeliverable, 6), about(Deliverable, 7),
		about(GroundsRecorded, 10), yes(11, "newsletter/post", noProof), yes(12, "newsletter/email"), yes(13, "offers/email"),
		about(Withdrawn, 14, "ads"), about(Refused, 15, "health"), about(Invalidated, 16, "mixed"),
		set(17, born(1980, 1, 1)), set(18, contract),
	}, w.c)
	return []asking{
		{"allow", email, usual, Question{}, onDay(30), ReasonConsent},
		{"deny", w.permission(tb, "mixed"), usual, Question{}, onDay(30), ReasonNoConsent},
		{"unknown", email, nil, Question{}, onDay(30), ReasonNoConsent},
		{"worst", &worst, loaded, business, onDay(30), ReasonVitalInterest},
	}
}

// TestDecideAllocatesNothing guards the hot path.
func TestDecideAllocatesNothing(t *testing.T) {
	for _, a := range askings(t) {
		if d := Decide(a.p, a.r, a.q, a.now); d.Reason != a.want {
			t.Errorf("%s: %v, want %v", a.name, d, a.want)
		}
		if n := testing.AllocsPerRun(100, func() { Decide(a.p, a.r, a.q, a.now) }); n != 0 {
			t.Errorf("%s: %v allocations", a.name, n)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	for _, a := range askings(b) {
		b.Run(a.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Decide(a.p, a.r, a.q, a.now)
			}
		})
	}
}
