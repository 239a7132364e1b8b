package consent

// isQuiet reports whether none of the facts is recorded that stand first: marks, suppression, restriction and erasure. Most subjects'
// records have none, so that most questions skip the rows that look for them.
func (r Record) isQuiet() bool {
	facts := r.facts()
	return len(facts) == 0 || facts[0] >= factKey(factRequested, 0)
}

// isErased reports whether the subject was erased and nothing is recorded since that a basis of this permission rests on. Art. 17 GDPR.
func (a *asked) isErased() bool {
	if a.r.ErasedAt() == 0 {
		return false
	}
	for _, b := range a.p.Bases {
		if a.restsOnRecord(b) {
			return false
		}
	}
	return true
}

// restsOnRecord reports whether something is recorded that the basis rests on. What was before an erasure isn't there any more. A grant
// that has to be proven and isn't is nothing to rest on, or else the import of an old list would undo erasures for other bases.
func (a *asked) restsOnRecord(b Basis) bool {
	switch b {
	case BasisConsent:
		return a.isGiven() && a.isProven()
	case BasisExistingCustomer:
		return a.r.Relationship() == RelationshipCustomer || a.r.AddressFromSale() || a.r.OptOutNoticeGiven()
	case BasisLegitimateInterest:
		rel := a.r.Relationship()
		return rel > RelationshipNone && a.p.Relationships&(1<<rel) != 0
	case BasisPresumedConsent:
		return a.r.Business()
	case BasisContract:
		return a.r.ContractActive()
	default:
		return false
	}
}

// outlivesErasure reports whether the policy exempts the permission from erasure. One that lists consent never is: what the erasure
// forgets may be a denial that no other basis may repair, such as a request left unanswered.
func (a *asked) outlivesErasure() bool { return a.p.ErasureExemption != "" && !a.listsConsent() }

func (a *asked) isSuppressed() bool {
	if !a.p.DirectMarketing {
		return false
	}
	at := a.r.SuppressedAt()
	return at != 0 && !a.leavesConsent(rowSuppressed, a.isLaterYes(at))
}

// isRestricted reports whether processing is restricted. Only a consent that says that it is given all the same overrides that.
func (a *asked) isRestricted() bool {
	at := a.r.RestrictedAt()
	return at != 0 && a.p.RestrictionExemption == "" &&
		!a.leavesConsent(rowRestricted, a.isGiven() && a.c.Since > at && a.c.OverridesRestriction)
}

func (a *asked) hasObjectedToMarketing() bool {
	if !a.isForMarketing() {
		return false
	}
	at := a.r.Mark(MarkObjectedMarketing, a.p)
	return at != 0 && at >= a.r.Mark(MarkLiftedMarketing, a.p) && !a.leavesConsent(rowObjectedMarketing, a.isLaterYes(at))
}

// leavesConsent reports whether a row asked once is overridden. It then still denies every basis but consent.
func (a *asked) leavesConsent(w row, overridden bool) bool {
	if !overridden || !a.listsConsent() {
		return false
	}
	if a.closed == rowNone {
		a.closed = w
	}
	return true
}

func (a *asked) isUndeliverable() bool {
	if a.p.Kind == KindNone {
		return false
	}
	at := a.r.Mark(MarkUndeliverable, a.p)
	return at != 0 && at >= a.r.Mark(MarkDeliverable, a.p)
}

// refusals are the latest "no"s on the permission itself, zero for none: what row 7 asks of every basis.
type refusals struct {
	withdrawn, refused, objected Time
}

func refusalsOf(r Record, p *Permission) refusals {
	n := refusals{r.Mark(MarkWithdrawn, p), r.Mark(MarkRefused, p), r.Mark(MarkObjectedProcessing, p)}
	if n.objected < r.Mark(MarkLiftedProcessing, p) {
		n.objected = 0
	}
	return n
}

// standsWithdrawn reports whether a withdrawal stands against the basis. For consent alone any later grant takes its place, and given is
// only what is later: whether that grant is proven and confirmed is for rows 20 and 21.
func (a *asked) standsWithdrawn(b Basis) bool {
	if b == BasisConsent {
		return a.no.withdrawn != 0 && !a.isGiven()
	}
	return a.stands(a.no.withdrawn, b)
}

func (a *asked) standsRefused(b Basis) bool { return a.stands(a.no.refused, b) }

func (a *asked) standsObjected(b Basis) bool { return a.stands(a.no.objected, b) }

func (a *asked) stands(no Time, b Basis) bool { return no != 0 && !a.isOverridden(no, b) }

// isOverridden reports whether something newer overrides a "no" on the permission itself: a later yes, or for legitimate interest and
// public task overriding grounds that the policy names and the record holds (Art. 21(1) GDPR).
func (a *asked) isOverridden(no Time, b Basis) bool {
	switch b {
	case BasisConsent:
		return a.isLaterYes(no)
	case BasisLegitimateInterest, BasisPublicTask:
		return a.p.OverridingGround != "" && a.r.Mark(MarkGrounds, a.p) > no
	default:
		return false
	}
}

// isLaterYes reports whether a consent was given after a "no", with proof, whether or not the policy asks for it elsewhere, and with
// confirmation if it does.
func (a *asked) isLaterYes(no Time) bool {
	return a.isGiven() && a.c.Since > no && a.c.Proven && a.isConfirmed()
}
