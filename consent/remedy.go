package consent

// Remedy is what could turn a failed condition. None is a message that the decision table denies. The numbers are those of the contract.
type Remedy uint8

// The remedies.
const (
	RemedyNone               Remedy = 0
	RemedyDontContact        Remedy = 1 // nothing may be done: the subject said no, or the law does
	RemedyAttachProof        Remedy = 2 // of the consent, if there is one (EvidenceAdded)
	RemedyRecordSale         Remedy = 3 // the facts of an existing customer, if true (AttributesSet)
	RemedyUseAnotherChannel  Remedy = 4 // one that is allowed, or when the subject next visits; never this one
	RemedyRecordConfirmation Remedy = 5 // if it came in time (Confirmed)
	RemedyMendPolicy         Remedy = 6 // document the interest, name the statute or ground
	RemedyRecordFacts        Remedy = 7 // the missing fact, if true: relationship, contract, guardian, birth date, business
	RemedyWait               Remedy = 8 // until NextChange
	RemedyLift               Remedy = 9 // what no longer holds: a restriction, an undeliverable address
)

var remedyNames = [...]string{
	"UNSPECIFIED", "DONT_CONTACT", "ATTACH_PROOF", "RECORD_SALE", "USE_ANOTHER_CHANNEL", "RECORD_CONFIRMATION", "MEND_POLICY",
	"RECORD_FACTS", "WAIT", "LIFT",
}

// String returns the remedy's name in the contract, without its prefix.
func (r Remedy) String() string {
	if int(r) < len(remedyNames) {
		return remedyNames[r]
	}
	return remedyNames[RemedyNone]
}
