package consent

import "slices"

// Decide answers one permission from a subject's record, by the rows of docs/decisions.md: those that are asked once, then for each
// basis, in the policy's order, those that concern it. The first row that allows ends the walk, and so does a denial that no other
// basis may repair. If nothing allows, the reason is the first basis's. It allocates nothing.
func Decide(p *Permission, r Record, q Question, now Time) Decision {
	a := asked{p: p, r: r, q: q, now: now}
	a.read()
	if w := a.onceRow(); w != rowNone {
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

	quiet  bool // nothing is recorded that rows 3 to 7 look for
	no     refusals
	closed row  // of rows 4 to 6, the first that a later yes overrides: it denies every basis but consent
	next   Time // the earliest instant at which a row asked so far answers differently
}

// read reads from the record what every question looks at. It is a method, so that what it reads isn't copied.
func (a *asked) read() {
	a.r.readConsent(&a.c, a.p)
	if a.quiet = a.r.isQuiet(); !a.quiet {
		a.no = refusalsOf(a.r, a.p)
	}
}

// onceRow returns the first of the rows asked once that matches, or rowNone.
func (a *asked) onceRow() row {
	switch p := a.p; {
	case p.ProfiledAdsOnline && a.isMinor():
		return rowMinorAds
	case p.ProfiledAdsOnline && p.SpecialCategory:
		return rowSpecialAds
	case a.quiet:
		return rowNone
	case a.isErased() && !a.outlivesErasure():
		return rowErased
	case a.isSuppressed():
		return rowSuppressed
	case a.isRestricted():
		return rowRestricted
	case a.hasObjectedToMarketing():
		return rowObjectedMarketing
	case a.isUndeliverable():
		return rowUndeliverable
	default:
		return rowNone
	}
}

// rowOf returns the row that decides a basis.
func (a *asked) rowOf(b Basis) row {
	switch {
	case a.closed != rowNone && b != BasisConsent:
		return a.closed
	case b == BasisNone || b > BasisPublicTask: // of a later version
		return rowNothing
	}
	if w := a.noRow(b); w != rowNone {
		return w
	}
	if w := a.limitRow(b); w != rowNone {
		return w
	}
	return a.ownRow(b)
}

// noRow returns row 7 for the first "no" on the permission itself that stands against the basis, or rowNone. What a contract or a
// statute demands, or somebody's life, doesn't wait for a yes.
func (a *asked) noRow(b Basis) row {
	switch {
	case a.quiet || b == BasisContract || b == BasisLegalObligation || b == BasisVitalInterest:
		return rowNone
	case a.standsWithdrawn(b):
		return rowWithdrawn
	case a.standsRefused(b):
		return rowRefused
	case a.standsObjected(b):
		return rowObjected
	default:
		return rowNone
	}
}

// limitRow returns the first of rows 8 to 14 that matches, or rowNone: what the law wants of a basis for such data, decisions, devices,
// subjects and channels.
func (a *asked) limitRow(b Basis) row {
	switch p := a.p; {
	case p.SpecialCategory && !a.meetsArticle9(b):
		return rowSpecialCategory
	case p.SignificantDecision && !a.mayDecideAlone(b):
		return rowAutomated
	case p.TerminalEquipment && !p.StrictlyNecessary && b != BasisConsent:
		return rowTerminal
	case b == BasisConsent && a.isUnderAge():
		return rowUnderAge
	case (b == BasisLegitimateInterest || b == BasisExistingCustomer) && a.isForMarketing() && a.isMinor():
		return rowMinor
	case p.DirectMarketing && b != BasisConsent && b != BasisExistingCustomer && a.isElectronicMail():
		return rowChannel
	case p.DirectMarketing && p.Kind == KindPhone && !a.mayCall(b):
		return rowPhone
	default:
		return rowNone
	}
}

// ownRow returns the first of rows 15 to 36 that matches: those of the basis itself.
func (a *asked) ownRow(b Basis) row {
	switch {
	case b == BasisConsent && a.isGiven():
		return a.givenRow()
	case b == BasisConsent:
		return stateRows[min(int(a.c.State), len(stateRows)-1)]
	case b == BasisExistingCustomer && a.meetsCustomerConditions():
		return rowCustomer
	case b == BasisExistingCustomer:
		return rowNoCustomer
	case b == BasisLegitimateInterest:
		return a.interestRow()
	case b == BasisContract && a.isContractual():
		return rowContract
	case b == BasisContract:
		return rowNoContract
	case b == BasisLegalObligation && a.p.Statute != "":
		return rowStatute
	case b == BasisVitalInterest:
		return rowVitalInterest
	case b == BasisPublicTask:
		return rowPublicTask
	case b == BasisPresumedConsent && a.mayPresume():
		return rowPresumed
	default:
		return rowNothing
	}
}

// givenRow returns the first of rows 20 to 26 that matches.
func (a *asked) givenRow() row {
	switch {
	case !a.isProven():
		return rowUnproven
	case !a.isConfirmed():
		return rowUnconfirmed
	case a.before(a.c.ValidFrom):
		return rowNotYetValid
	case a.isExpired():
		return rowExpired
	case a.isDormant():
		return rowDormant
	case a.c.NoticeVersion < a.p.NoticeMin:
		return rowOutdated
	default:
		return rowConsent
	}
}

// interestRow returns the first of rows 29 to 31 that matches.
func (a *asked) interestRow() row {
	switch {
	case a.p.Assessment == "" || !a.p.NoticeAtCollect:
		return rowUndocumented
	case !a.isRelated():
		return rowNoRelationship
	default:
		return rowInterest
	}
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
