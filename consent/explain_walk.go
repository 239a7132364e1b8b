package consent

// Explain asks the rows one by one, where Decide asks them in straight code. Both look at the same facts, and a test holds them together.

// onceRows are asked before any basis.
var onceRows = []row{rowMinorAds, rowSpecialAds, rowErased, rowSuppressed, rowRestricted, rowObjectedMarketing, rowUndeliverable}

// basisRows are the rows asked for each basis, in order. What can't concern a basis isn't among its rows.
var basisRows = [...][]row{
	BasisConsent: {
		rowWithdrawn, rowRefused, rowObjected, rowSpecialCategory, rowAutomated, rowUnderAge, rowUnknown, rowRequested, rowStateRefused,
		rowStateWithdrawn, rowInvalidated, rowUnproven, rowUnconfirmed, rowNotYetValid, rowExpired, rowDormant, rowOutdated, rowConsent,
	},
	BasisExistingCustomer: {
		rowWithdrawn, rowRefused, rowObjected, rowSpecialCategory, rowAutomated, rowTerminal, rowMinor, rowPhone, rowCustomer, rowNoCustomer,
	},
	BasisLegitimateInterest: {
		rowWithdrawn, rowRefused, rowObjected, rowSpecialCategory, rowAutomated, rowTerminal, rowMinor, rowChannel, rowPhone,
		rowUndocumented, rowNoRelationship, rowInterest,
	},
	BasisPresumedConsent: {
		rowWithdrawn, rowRefused, rowObjected, rowSpecialCategory, rowAutomated, rowTerminal, rowChannel, rowPhone, rowPresumed,
	},
	BasisContract:        {rowSpecialCategory, rowTerminal, rowChannel, rowPhone, rowContract, rowNoContract},
	BasisLegalObligation: {rowSpecialCategory, rowTerminal, rowChannel, rowPhone, rowStatute},
	BasisVitalInterest:   {rowSpecialCategory, rowAutomated, rowTerminal, rowChannel, rowPhone, rowVitalInterest},
	BasisPublicTask: {
		rowWithdrawn, rowRefused, rowObjected, rowSpecialCategory, rowAutomated, rowTerminal, rowChannel, rowPhone, rowPublicTask,
	},
}

func rowsFor(b Basis) []row {
	if int(b) < len(basisRows) {
		return basisRows[b]
	}
	return nil
}

// matches reports whether a row's condition holds. The basis is that of rows 7 to 35.
func (a *asked) matches(w row, b Basis) bool {
	switch w {
	case rowMinorAds:
		return a.p.ProfiledAdsOnline && a.isMinor()
	case rowSpecialAds:
		return a.p.ProfiledAdsOnline && a.p.SpecialCategory
	case rowErased:
		return a.isErased() && !a.outlivesErasure()
	case rowSuppressed:
		return a.isSuppressed()
	case rowRestricted:
		return a.isRestricted()
	case rowObjectedMarketing:
		return a.hasObjectedToMarketing()
	case rowUndeliverable:
		return a.isUndeliverable()
	case rowWithdrawn:
		return a.standsWithdrawn(b)
	case rowRefused:
		return a.standsRefused(b)
	case rowObjected:
		return a.standsObjected(b)
	case rowSpecialCategory:
		return a.p.SpecialCategory && !a.meetsArticle9(b)
	case rowAutomated:
		return a.p.SignificantDecision && !a.mayDecideAlone(b)
	case rowTerminal:
		return a.p.TerminalEquipment && !a.p.StrictlyNecessary
	case rowMinor:
		return a.isForMarketing() && a.isMinor()
	case rowChannel:
		return a.p.DirectMarketing && a.isElectronicMail()
	case rowPhone:
		return a.p.DirectMarketing && a.p.Kind == KindPhone && !a.mayCall(b)
	default:
		return a.matchesOwn(w)
	}
}

// matchesOwn is for the rows of one basis alone.
func (a *asked) matchesOwn(w row) bool {
	switch w {
	case rowUnderAge:
		return a.isUnderAge()
	case rowUnknown:
		return a.c.State == StateUnknown
	case rowRequested:
		return a.c.State == StateRequested
	case rowStateRefused:
		return a.c.State == StateRefused
	case rowStateWithdrawn:
		return a.c.State == StateWithdrawn
	case rowInvalidated:
		return a.c.State == StateInvalidated
	case rowUnproven, rowUnconfirmed, rowNotYetValid, rowExpired, rowDormant, rowOutdated, rowConsent:
		return a.isGiven() && a.matchesGiven(w)
	case rowCustomer:
		return a.meetsCustomerConditions()
	case rowNoCustomer:
		return !a.meetsCustomerConditions()
	case rowUndocumented:
		return a.p.Assessment == "" || !a.p.NoticeAtCollect
	case rowNoRelationship:
		return !a.isRelated()
	case rowContract:
		return a.isContractual()
	case rowNoContract:
		return !a.isContractual()
	case rowStatute:
		return a.p.Statute != ""
	case rowPresumed:
		return a.mayPresume()
	case rowInterest, rowVitalInterest, rowPublicTask:
		return true
	default:
		return false
	}
}

// matchesGiven is for the rows on a consent that was given.
func (a *asked) matchesGiven(w row) bool {
	switch w {
	case rowUnproven:
		return !a.isProven()
	case rowUnconfirmed:
		return !a.isConfirmed()
	case rowNotYetValid:
		return a.before(a.c.ValidFrom)
	case rowExpired:
		return a.isExpired()
	case rowDormant:
		return a.isDormant()
	case rowOutdated:
		return a.c.NoticeVersion < a.p.NoticeMin
	default:
		return w == rowConsent
	}
}
