package consent

import "strings"

// failures lists every condition that stands against the permission: those asked once, and those of every basis, also where Decide
// doesn't look any more. If a basis allows, only what failed before it is listed: nothing else needs mending.
func failures(p *Permission, r Record, q Question, now Time) []FailedCondition {
	a := asked{p: p, r: r, q: q, now: now}
	a.read()
	var failed []FailedCondition
	for _, w := range onceRows {
		if a.matches(w, BasisNone) {
			failed = append(failed, a.failure(w, BasisNone))
		}
	}
	if len(p.Bases) == 0 {
		return append(failed, a.failure(rowNothing, BasisNone))
	}
	stopped, shut := len(failed) > 0, firstFinal(failed)
	for _, b := range p.Bases {
		w := a.rowOf(b)
		if w.allows() && !stopped {
			break
		}
		of := a.failuresOf(b)
		if b != BasisConsent || a.matches(rowSpecialAds, b) { // a later yes may override what else is final
			mendFirst(of, shut)
		}
		failed = append(failed, of...)
		if w.ends() && shut == nil {
			end := a.failure(w, b)
			shut = &end
		}
		stopped = stopped || w.ends()
	}
	return failed
}

// firstFinal returns the first condition that nothing mends, or nil.
func firstFinal(failed []FailedCondition) *FailedCondition {
	for i := range failed {
		if failed[i].Remedy == RemedyDontContact {
			return &failed[i]
		}
	}
	return nil
}

// mendFirst gives what failed on a basis the remedy of what shuts it: a denial that ended the walk before it, or a "no" that stands
// against it. A remedy of its own would be work that changes nothing.
func mendFirst(of []FailedCondition, shut *FailedCondition) {
	if shut == nil {
		shut = firstFinal(of)
	}
	if shut == nil {
		return
	}
	remedy, advice := shut.Remedy, shut.Advice
	for i := range of {
		of[i].Remedy, of[i].Advice = remedy, advice
	}
}

// failuresOf lists every row that denies a basis, whatever else does.
func (a *asked) failuresOf(b Basis) []FailedCondition {
	var failed []FailedCondition
	if a.closed != rowNone && b != BasisConsent {
		failed = append(failed, a.failure(a.closed, b))
	}
	decided := false
	for _, w := range rowsFor(b) {
		if !a.matches(w, b) {
			continue
		}
		decided = decided || w > rowPhone
		if !w.allows() && !a.saidBefore(w, b) {
			failed = append(failed, a.failure(w, b))
		}
	}
	if !decided {
		failed = append(failed, a.failure(rowNothing, b))
	}
	return failed
}

// saidBefore reports whether a row says what row 7 says already.
func (a *asked) saidBefore(w row, b Basis) bool {
	return w == rowStateWithdrawn && a.standsWithdrawn(b) || w == rowStateRefused && a.standsRefused(b)
}

func (a *asked) failure(w row, b Basis) FailedCondition {
	remedy, advice := a.remedy(w, b)
	return FailedCondition{
		Row: w.number(), Basis: b, Reason: w.reason(), Detail: a.detail(w, b), Remedy: remedy, Advice: advice, Source: rowTexts[w].source,
	}
}

// detail says in words what failed, with what the row looked at.
func (a *asked) detail(w row, b Basis) string {
	says := rowTexts[w].fails
	if w == rowNoCustomer {
		return says + ": " + strings.Join(a.missingOfCustomer(), ", ")
	}
	if facts := a.facts(w, b); len(facts) > 0 {
		return says + " (" + strings.Join(facts, ", ") + ")"
	}
	return says
}

// missingOfCustomer lists the conditions of Sec. 7(3) UWG that aren't met.
func (a *asked) missingOfCustomer() []string {
	var missing []string
	for _, c := range [...]struct {
		met  bool
		name string
	}{
		{a.p.Kind == KindEmail, "e-mail"},
		{a.r.Relationship() == RelationshipCustomer, "customer"},
		{a.r.AddressFromSale(), "address from a sale"},
		{a.q.SimilarGoods, "similar goods"},
		{a.r.OptOutNoticeGiven(), "opt-out notice at collection"},
	} {
		if !c.met {
			missing = append(missing, c.name)
		}
	}
	return missing
}

// remedy returns what would mend a failed condition. Asking for consent is contact itself, so after a "no" it never is.
func (a *asked) remedy(w row, b Basis) (Remedy, string) {
	remedy, advice := a.remedyOf(w, b)
	if remedy == RemedyUseAnotherChannel && a.mustNotAsk() {
		return RemedyDontContact, dontContact
	}
	return remedy, advice
}

func (a *asked) mustNotAsk() bool {
	if a.closed != rowNone {
		return true
	}
	for _, w := range [...]row{rowErased, rowSuppressed, rowRestricted, rowObjectedMarketing, rowWithdrawn, rowRefused, rowObjected} {
		if a.matches(w, BasisConsent) {
			return true
		}
	}
	return false
}

// remedyOf returns the remedy of a row's text, unless basis or facts call for another.
func (a *asked) remedyOf(w row, b Basis) (Remedy, string) {
	switch {
	case (w == rowSpecialCategory || w == rowAutomated) && b == BasisConsent:
		return RemedyUseAnotherChannel, "Ask for an express consent where the subject comes by themselves; never by a message over this channel."
	case (w == rowMinorAds || w == rowMinor) && a.r.BirthDate() == (Date{}):
		return RemedyRecordFacts, "Record the birth date anew: the erasure forgot it."
	case w == rowPhone && b == BasisPresumedConsent, w == rowNothing && b == BasisPresumedConsent && a.canPresume():
		return RemedyRecordFacts, "Record that the subject acts for a business, if so, and ask as one."
	case w == rowUnconfirmed && a.c.ConfirmedAt != 0:
		return RemedyUseAnotherChannel, askLater
	case w == rowOutdated && a.c.NoticeVersion == 0:
		return RemedyAttachProof, "Record the version of the notice that was shown, if it is known; an import or audit takes it for a whole list."
	case w == rowNoCustomer && a.p.Kind != KindEmail:
		return RemedyMendPolicy, "Take the basis off the permission: the exception is for e-mail alone."
	case w == rowNoCustomer && len(a.missingOfCustomer()) == 1 && !a.q.SimilarGoods:
		return RemedyRecordSale, "Nothing has to be recorded: ask with similar goods, if they are similar to what was bought."
	case w == rowNoContract && !a.p.NecessaryForContract:
		return RemedyMendPolicy, "Mark the purpose as necessary for the contract, if it is."
	default:
		return rowTexts[w].remedy, rowTexts[w].advice
	}
}

// canPresume reports whether the policy lets consent to calls be presumed, so that only facts are missing.
func (a *asked) canPresume() bool { return a.p.Kind == KindPhone && a.p.PresumedGrounds != "" }
