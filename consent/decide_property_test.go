package consent

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// How much is drawn in one check: what the law forbids hides in rare combinations.
const (
	asksPerHistory    = 5
	historiesPerCheck = 6
)

// TestProperty01 adds a "no", dated last: it never turns DENY into ALLOW.
func TestProperty01(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t)
		no := Event{OccurredAt: s.last(), Kind: rapid.SampledFrom([]EventKind{
			Withdrawn, Refused, Objected, Restricted, Erased, Suppressed,
		}).Draw(t, "no")}
		switch no.Kind {
		case Withdrawn, Refused, Objected:
			no.Scope = drawScope(t, s.p)
		}
		if no.Kind == Objected {
			no.Objection = ObjectionKind(rapid.IntRange(0, 2).Draw(t, "objection"))
		}
		before, after := s.decide(), s.with(no).decide()
		if !before.Allowed && after.Allowed {
			t.Fatalf("%+v turned %v into %v", no, before, after)
		}
	})
}

// TestProperty02 removes proof or confirmation: that never turns DENY into ALLOW. One thing is left to row 20: without proof nothing
// shows that consent was asked for, so another basis may allow; but only where one does if consent was never asked for or answered.
// And where proof or confirmation say which grants are kept, what they had left out may allow (mayHaveLeftOut).
func TestProperty02(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t)
		before := s.decide()
		if before.Allowed {
			return
		}
		unconfirmed, unproven, unasked := s, s, s
		unconfirmed.history = slices.DeleteFunc(slices.Clone(s.history), func(e Event) bool { return e.Kind == Confirmed })
		if after := unconfirmed.decide(); after.Allowed && !mayHaveLeftOut(s, after) {
			t.Fatalf("without confirmation %v became %v", before, after)
		}
		unproven.history, unasked.history = withoutProof(s.history), withoutAsking(s.history, s.p)
		checkWithoutOne(t, s, before, unasked.decide())
		after := unproven.decide()
		if after.Allowed && !mayHaveLeftOut(s, after) && (after.Basis == BasisConsent || !unasked.decide().Allowed) {
			t.Fatalf("without proof %v became %v, without asking %v", before, after, unasked.decide())
		}
	})
}

// checkWithoutOne takes proof or confirmation away from one event alone.
func checkWithoutOne(t *rapid.T, s scenario, before, unasked Decision) {
	if len(s.history) == 0 {
		return
	}
	i := rapid.IntRange(0, len(s.history)-1).Draw(t, "without")
	less := s
	switch s.history[i].Kind {
	case Confirmed:
		less.history = slices.Delete(slices.Clone(s.history), i, i+1)
	case EvidenceAdded, Granted:
		less.history = slices.Concat(s.history[:i], withoutProof(s.history[i:i+1]), s.history[i+1:])
	default:
		return
	}
	after := less.decide()
	if after.Allowed && !mayHaveLeftOut(s, after) && (after.Basis == BasisConsent || !unasked.Allowed) {
		t.Fatalf("without proof or confirmation of %+v %v became %v, without asking %v", s.history[i], before, after, unasked)
	}
}

// mayHaveLeftOut reports whether the answer may come from a grant that proof or confirmation of another had left out: consent itself, or
// what rows 8 and 9 pass on to where that grant isn't express. There were more than a record keeps, or evidence found another.
func mayHaveLeftOut(s scenario, after Decision) bool {
	grants := 0
	for _, e := range s.history {
		if e.Kind == Granted && slices.Contains(e.Scope.Permissions, s.p.Name) {
			grants++
		}
	}
	return (grants > maxGrants || mayProveAnother(s)) && (after.Basis == BasisConsent || s.p.SpecialCategory || s.p.SignificantDecision)
}

// mayProveAnother reports whether evidence finds another grant, or none, if one has less to say: it names one that had been dropped by
// then, since a later one had all that it had; or it is for an instant with two.
func mayProveAnother(s scenario) bool {
	return slices.ContainsFunc(s.history, func(e Event) bool {
		if e.Kind != EvidenceAdded {
			return false
		}
		then := slices.DeleteFunc(slices.Clone(s.history), func(other Event) bool { return other.OccurredAt > e.OccurredAt })
		list, times := FoldHistory(then, genContext).held(nil, s.p.ID), grantTimes(then)
		if len(list) == 0 {
			return false
		}
		meant := e.GrantAt
		if meant == 0 {
			meant = slices.Max(times)
		}
		first := slices.Index(times, meant)
		return first >= 0 && (slices.Contains(times[first+1:], meant) ||
			!slices.ContainsFunc(list, func(h held) bool { return h.at == meant }))
	})
}

// TestUnprovenGrantsOpenNothing adds grants without proof, dated last, to a consent that has to be proven and is: DENY stays DENY, on
// every basis.
func TestUnprovenGrantsOpenNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t)
		s.p.ProofRequired = true
		before := s.decide()
		if !s.record().Consent(s.p).Proven || before.Allowed {
			return
		}
		for range rapid.IntRange(1, maxGrants+2).Draw(t, "unproven grants") {
			g := Event{Kind: Granted, OccurredAt: s.last(), Scope: Scope{Permissions: []string{s.p.Name}}}
			g.Evidence, g.Terms = drawProof(t), drawGrantTerms(t, g.OccurredAt)
			g.Evidence.Method, g.Evidence.Reference = MethodUnknown, ""
			s = s.with(g)
			if after := s.decide(); after.Allowed {
				t.Fatalf("an unproven grant turned %v into %v", before, after)
			}
		}
	})
}

func withoutProof(history []Event) []Event {
	history = slices.DeleteFunc(slices.Clone(history), func(e Event) bool { return e.Kind == EvidenceAdded })
	for i := range history {
		if e := &history[i]; e.Kind == Granted && !refVoid(e.Evidence.Method) {
			e.Evidence.Method, e.Evidence.Source, e.Evidence.Reference = MethodUnknown, "", ""
		}
	}
	return history
}

// withoutAsking returns a history in which consent to the permission was neither asked for nor answered.
func withoutAsking(history []Event, p *Permission) []Event {
	return slices.DeleteFunc(slices.Clone(history), func(e Event) bool {
		switch e.Kind {
		case Requested, Granted, Refused, Withdrawn, Invalidated:
			return refCovers(e, p)
		default:
			return false
		}
	})
}

// TestProperty03 lets time pass without a write: DENY turns into ALLOW only at a valid_from or at the 18th birthday.
func TestProperty03(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t)
		r := s.record()
		for range asksPerHistory {
			sooner, later := drawNow(t), drawNow(t)
			if sooner > later {
				sooner, later = later, sooner
			}
			before, after := Decide(s.p, r, s.q, sooner), Decide(s.p, r, s.q, later)
			if !before.Allowed && after.Allowed && !comesOfAge(r, sooner, later) && !becomesValid(s.history, sooner, later) {
				t.Fatalf("from %v to %v: %v became %v", sooner, later, before, after)
			}
		}
	})
}

func comesOfAge(r Record, from, to Time) bool {
	born := r.BirthDate()
	return born != (Date{}) && from < refBirthday(born, 18) && refBirthday(born, 18) <= to
}

func becomesValid(history []Event, from, to Time) bool {
	return slices.ContainsFunc(history, func(e Event) bool { return from < e.Terms.ValidFrom && e.Terms.ValidFrom <= to })
}

// TestProperty04 looks at what an ALLOW rests on: a listed basis, whose reason it gives, and a record with its revision. The version
// of the policy is that of the bound policy asked, which Decide doesn't choose.
func TestProperty04(t *testing.T) {
	of := map[Basis]Reason{
		BasisConsent: ReasonConsent, BasisExistingCustomer: ReasonExistingCustomer, BasisLegitimateInterest: ReasonLegitimateInterest,
		BasisPresumedConsent: ReasonPresumedConsent, BasisContract: ReasonContract, BasisLegalObligation: ReasonLegalObligation,
		BasisVitalInterest: ReasonVitalInterest, BasisPublicTask: ReasonPublicTask,
	}
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t)
		r, d := s.record(), s.decide()
		switch {
		case d.Allowed != d.Reason.Allows():
			t.Fatalf("allowed %t for %v", d.Allowed, d.Reason)
		case d.Allowed && (!slices.Contains(s.p.Bases, d.Basis) || d.Reason != of[d.Basis]):
			t.Fatalf("%v on %v of %v", d.Reason, d.Basis, s.p.Bases)
		case len(s.history) > 0 && r.Index() != genContext.Index:
			t.Fatalf("the record's index is %d, want %d", r.Index(), genContext.Index)
		case !d.Allowed && d.Obligations != 0:
			t.Fatalf("a denial with obligations %b", d.Obligations)
		}
	})
}

// TestProperty05 asks several permissions of one record: each answer is that of the question asked alone, and the record stays as it is.
func TestProperty05(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t)
		batch := []*Permission{s.p, drawPermission(t), drawPermission(t)}
		shared := s.record()
		for _, p := range append(batch, batch...) {
			alone := Decide(p, s.record(), s.q, s.now)
			if together := Decide(p, shared, s.q, s.now); together != alone {
				t.Fatalf("%s: %v in a batch, %v alone", p.Name, together, alone)
			}
		}
		if !slices.Equal(shared, s.record()) {
			t.Fatal("asking changed the record")
		}
	})
}

// genEnds are the rows that end the walk.
var genEnds = []string{"7", "11", "16", "17", "18", "19", "21", "22", "23", "24", "25"}

// TestProperty06 replaces the bases after one that ended the walk: nothing changes, and none of them is among the steps.
func TestProperty06(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t)
		e := Explain(s.p, s.record(), s.q, s.now)
		last := e.Steps[len(e.Steps)-1]
		for _, step := range e.Steps[:len(e.Steps)-1] {
			if step.Matched && (slices.Contains(genEnds, step.Row) || step.Basis == BasisNone) {
				t.Fatalf("row %s matched for %v, and %s was asked after it", step.Row, step.Basis, last.Row)
			}
		}
		i := slices.Index(s.p.Bases, last.Basis)
		if i < 0 || !slices.Contains(genEnds, last.Row) || s.record().ErasedAt() != 0 { // row 3 looks at every basis
			return
		}
		other := *s.p
		other.Bases = append(slices.Clone(s.p.Bases[:i+1]), BasisVitalInterest)
		if slices.Contains(s.p.Bases[:i+1], BasisVitalInterest) {
			return
		}
		if d := Decide(&other, s.record(), s.q, s.now); d != e.Decision {
			t.Fatalf("another basis after %v made %v of %v", last.Basis, d, e.Decision)
		}
	})
}

// TestProperty07 asks again before next_change: decision and reason are the same at every instant that any deadline could make.
func TestProperty07(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t)
		r, d := s.record(), s.decide()
		if d.NextChange != 0 && d.NextChange <= s.now {
			t.Fatalf("the next change at %v isn't later than now, %v", d.NextChange, s.now)
		}
		for _, at := range s.instants(r) {
			if at <= s.now || d.NextChange != 0 && at >= d.NextChange {
				continue
			}
			if then := Decide(s.p, r, s.q, at); then.Allowed != d.Allowed || then.Reason != d.Reason {
				t.Fatalf("%v at %v, %v already at %v", d, s.now, then, at)
			}
		}
	})
}

// instants returns every time at which anything could change, with those a millisecond before and after.
func (s scenario) instants(r Record) []Time {
	deadlines := []Time{0, Time(s.p.ExpiresAfter), Time(s.p.DormantAfter), Time(s.p.ConfirmWithin)}
	var times []Time
	for _, e := range s.history {
		for _, d := range deadlines {
			times = append(times, e.OccurredAt+d)
		}
		times = append(times, e.Terms.ValidFrom, e.Terms.ExpiresAt)
	}
	for age := range 20 {
		times = append(times, refBirthday(r.BirthDate(), age))
	}
	times = append(times, s.now+1, s.now+genDay, MaxTime)
	for _, at := range slices.Clone(times) {
		times = append(times, at-1, at+1)
	}
	return times
}

// TestProperty08 lets events with distinct times arrive in another order, one by one as the store folds them: the decision is the same.
func TestProperty08(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t)
		seen := map[Time]bool{}
		s.history = slices.DeleteFunc(s.history, func(e Event) bool {
			twice := seen[e.OccurredAt]
			seen[e.OccurredAt] = true
			return twice
		})
		want := s.decide()
		for range 2 {
			l := testLedger{c: genContext}
			for _, e := range rapid.Permutation(s.history).Draw(t, "arrival") {
				l.write(e)
			}
			if got := Decide(s.p, l.record, s.q, s.now); got != want {
				t.Fatalf("%v in this order, %v all at once", got, want)
			}
		}
	})
}

// TestProperty09 asks the reference, which follows the table literally.
func TestProperty09(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for range historiesPerCheck {
			compareWithReference(t, drawScenario(t))
		}
	})
}

func compareWithReference(t *rapid.T, s scenario) {
	t.Helper()
	r := s.record()
	for range asksPerHistory {
		s.q, s.now = drawQuestion(t), drawNow(t)
		got, want := inReferenceWords(Decide(s.p, r, s.q, s.now)), refDecide(s.p, s.history, s.q, s.now)
		if got != want {
			t.Fatalf("Decide says %+v, the reference %+v", got, want)
		}
	}
}

func inReferenceWords(d Decision) refAnswer {
	var o []string
	if d.Obligations&LogUse != 0 {
		o = append(o, "LOG_USE")
	}
	if d.Obligations&ShowOptOut != 0 {
		o = append(o, "SHOW_OPT_OUT")
	}
	return refAnswer{d.Allowed, d.Reason.String(), d.Basis.String(), strings.Join(o, " ")}
}

// TestProperty10 says "no" to a permission, dated last: consent, existing_customer, presumed_consent, and legitimate_interest and
// public_task without recorded grounds deny it.
func TestProperty10(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t)
		no := Event{OccurredAt: s.last(), Scope: Scope{Permissions: []string{s.p.Name}}}
		no.Kind = rapid.SampledFrom([]EventKind{Withdrawn, Refused, Objected}).Draw(t, "no")
		no.Objection = rapid.SampledFrom([]ObjectionKind{ObjectionUnclear, ObjectionProcessing}).Draw(t, "objection")
		s = s.with(no)
		d := s.decide()
		denied := []Basis{BasisConsent, BasisExistingCustomer, BasisPresumedConsent, BasisLegitimateInterest, BasisPublicTask}
		if d.Allowed && slices.Contains(denied, d.Basis) {
			t.Fatalf("after %v %v", no.Kind, d)
		}
	})
}

// TestExplainAgrees reads the decision from the steps of the walk: it is that of Decide. A denial's reason is among what failed, and
// after a "no" nothing that failed is to be mended by asking.
func TestExplainAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t)
		d, e := s.decide(), Explain(s.p, s.record(), s.q, s.now)
		allowed, reason, basis := walked(e.Steps)
		if e.Decision != d || allowed != d.Allowed || reason != d.Reason || basis != d.Basis {
			t.Fatalf("Decide says %v, Explain %v, and its steps %v for %v", d, e.Decision, reason, basis)
		}
		ofReason := func(f FailedCondition) bool { return f.Reason == d.Reason && f.Basis == d.Basis }
		if !d.Allowed && !slices.ContainsFunc(e.Failed, ofReason) {
			t.Fatalf("%v of %v isn't among what failed: %+v", d.Reason, d.Basis, e.Failed)
		}
		checkFailed(t, e, s)
	})
}

// walked returns the decision that the matched steps amount to.
func walked(steps []Step) (allowed bool, reason Reason, basis Basis) {
	for _, step := range steps {
		switch {
		case !step.Matched:
		case step.Allows:
			return true, step.Reason, step.Basis
		case reason == 0:
			reason, basis = step.Reason, step.Basis
		}
	}
	return false, reason, basis
}

func checkFailed(t *rapid.T, e Explanation, s scenario) {
	no := []Reason{
		ReasonErased, ReasonSuppressed, ReasonRestricted, ReasonObjectedMarketing, ReasonWithdrawn, ReasonRefused, ReasonObjected,
	}
	saidNo := slices.ContainsFunc(e.Failed, func(f FailedCondition) bool {
		return slices.Contains(no, f.Reason) && (f.Basis == BasisNone || f.Basis == BasisConsent)
	})
	first := slices.IndexFunc(e.Failed, func(f FailedCondition) bool { return f.Basis == BasisConsent })
	ended := first >= 0 && s.p.Bases[0] == BasisConsent && slices.Contains(genEnds, e.Failed[first].Row)
	for _, f := range e.Failed {
		switch {
		case ended && f.Basis != BasisConsent && f.Remedy == RemedyRecordSale && e.Failed[first].Remedy != f.Remedy:
			t.Fatalf("mends nothing, since row %s ended the walk: %+v", e.Failed[first].Row, f)
		case f.Reason.Allows() || f.Row == "" || f.Detail == "" || f.Advice == "" || f.Remedy == RemedyNone || f.Source == "":
			t.Fatalf("incomplete: %+v", f)
		case f.Remedy == RemedyUseAnotherChannel && saidNo:
			t.Fatalf("asks although the subject said no: %+v", f)
		case f.Remedy == RemedyWait && (e.Decision.NextChange == 0 && Decide(s.p, s.record(), s.q, s.now).Reason == f.Reason):
			t.Fatalf("waits for nothing: %+v", f)
		}
	}
}
