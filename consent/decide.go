package consent

import "slices"

// Decide answers one permission from a subject's record, by the rows of docs/decisions.md: those that are asked once, then for each
// basis, in the policy's order, those that concern it. The first row that allows ends the walk, and so does a denial that no other
// basis may repair. If nothing allows, the reason is the first basis's. It allocates nothing.
func Decide(p *Permission, r Record, q Question, now Time) Decision {
	a := asked{p: p, r: r, q: q, now: now, c: r.Consent(p)}
	if w := a.first(onceRows, BasisNone); w != rowNone {
		return a.deny(w, BasisNone)
	}
	if len(p.Bases) == 0 {
		return a.deny(rowNothing, BasisNone)
	}
	why := rowNone
	for _, b := range p.Bases {
		w := a.rowOf(b)
		if w.allows() {
			return a.allow(w, b)
		}
		if why == rowNone {
			why = w
		}
		if w.ends() {
			break
		}
	}
	return a.deny(why, p.Bases[0])
}

// asked is one question while it is walked through the rows.
type asked struct {
	p   *Permission
	r   Record
	q   Question
	now Time
	c   Consent

	closed row  // of rows 4 to 6, the first that a later yes overrides: it denies every basis but consent
	next   Time // the earliest instant at which a row asked so far answers differently
}

// first returns the first of the rows that matches, or rowNone.
func (a *asked) first(rows []row, b Basis) row {
	for _, w := range rows {
		if a.matches(w, b) {
			return w
		}
	}
	return rowNone
}

// rowOf returns the row that decides a basis.
func (a *asked) rowOf(b Basis) row {
	if a.closed != rowNone && b != BasisConsent {
		return a.closed
	}
	if w := a.first(rowsFor(b), b); w != rowNone {
		return w
	}
	return rowNothing
}

func (a *asked) allow(w row, b Basis) Decision {
	return Decision{Allowed: true, Reason: w.reason(), Basis: b, Obligations: a.obligations(b), NextChange: a.next}
}

func (a *asked) deny(w row, b Basis) Decision {
	return Decision{Reason: w.reason(), Basis: b, NextChange: a.next}
}

// obligations returns what an ALLOW asks in return. Calls are logged (Sec. 7a UWG), and so is every use that keeps a consent awake.
func (a *asked) obligations(b Basis) Obligations {
	var o Obligations
	if a.p.Kind == KindPhone || a.p.DormantAfter > 0 {
		o |= LogUse
	}
	if b == BasisExistingCustomer {
		o |= ShowOptOut
	}
	return o
}

// before reports whether t is still to come, and notes that time alone changes the answer then.
func (a *asked) before(t Time) bool {
	if t <= a.now {
		return false
	}
	if a.next == 0 || t < a.next {
		a.next = t
	}
	return true
}

func (a *asked) listsConsent() bool { return slices.Contains(a.p.Bases, BasisConsent) }
