package consent

// row is one row of the decision table. A row with several reasons is several rows here, in the order of the table's reasons.
type row uint8

const (
	rowNone row = iota
	rowMinorAds
	rowSpecialAds
	rowErased
	rowSuppressed
	rowRestricted
	rowObjectedMarketing
	rowUndeliverable
	rowWithdrawn
	rowRefused
	rowObjected
	rowSpecialCategory
	rowAutomated
	rowTerminal
	rowUnderAge
	rowMinor
	rowChannel
	rowPhone
	rowUnknown
	rowRequested
	rowStateRefused
	rowStateWithdrawn
	rowInvalidated
	rowUnproven
	rowUnconfirmed
	rowNotYetValid
	rowExpired
	rowDormant
	rowOutdated
	rowConsent
	rowCustomer
	rowNoCustomer
	rowUndocumented
	rowNoRelationship
	rowInterest
	rowContract
	rowNoContract
	rowStatute
	rowVitalInterest
	rowPublicTask
	rowPresumed
	rowNothing
	rowCount
)

var rowReasons = [rowCount]Reason{
	rowMinorAds: ReasonMinorProtected, rowSpecialAds: ReasonSpecialCategory, rowErased: ReasonErased, rowSuppressed: ReasonSuppressed,
	rowRestricted: ReasonRestricted, rowObjectedMarketing: ReasonObjectedMarketing, rowUndeliverable: ReasonUndeliverable,
	rowWithdrawn: ReasonWithdrawn, rowRefused: ReasonRefused, rowObjected: ReasonObjected, rowSpecialCategory: ReasonSpecialCategory,
	rowAutomated: ReasonAutomatedDecision, rowTerminal: ReasonTerminalConsentRequired, rowUnderAge: ReasonMinorNoGuardian,
	rowMinor: ReasonMinorProtected, rowChannel: ReasonChannelConsentRequired, rowPhone: ReasonChannelConsentRequired,
	rowUnknown: ReasonNoConsent, rowRequested: ReasonPending, rowStateRefused: ReasonRefused, rowStateWithdrawn: ReasonWithdrawn,
	rowInvalidated: ReasonInvalidated, rowUnproven: ReasonUnproven, rowUnconfirmed: ReasonUnconfirmed, rowNotYetValid: ReasonNotYetValid,
	rowExpired: ReasonExpired, rowDormant: ReasonDormant, rowOutdated: ReasonNoticeOutdated, rowConsent: ReasonConsent,
	rowCustomer: ReasonExistingCustomer, rowNoCustomer: ReasonExistingCustomerConditions, rowUndocumented: ReasonInterestUndocumented,
	rowNoRelationship: ReasonNoRelationship, rowInterest: ReasonLegitimateInterest, rowContract: ReasonContract,
	rowNoContract: ReasonNoContract, rowStatute: ReasonLegalObligation, rowVitalInterest: ReasonVitalInterest,
	rowPublicTask: ReasonPublicTask, rowPresumed: ReasonPresumedConsent, rowNothing: ReasonNoBasis,
}

func (w row) reason() Reason { return rowReasons[w] }

func (w row) allows() bool { return rowReasons[w].Allows() }

// ends reports whether a denial by this row ends the walk: rows 7, 11, 16 to 19 and 21 to 25.
func (w row) ends() bool {
	switch w {
	case rowWithdrawn, rowRefused, rowObjected, rowUnderAge, rowRequested, rowStateRefused, rowStateWithdrawn, rowInvalidated,
		rowUnconfirmed, rowNotYetValid, rowExpired, rowDormant, rowOutdated:
		return true
	default:
		return false
	}
}

// stateRows are those of a consent that isn't given. The last is for a state of a later version.
var stateRows = [...]row{
	StateUnknown: rowUnknown, StateRequested: rowRequested, StateGiven: rowNothing, StateRefused: rowStateRefused,
	StateWithdrawn: rowStateWithdrawn, StateInvalidated: rowInvalidated, StateInvalidated + 1: rowNothing,
}
