package consent

// EventKind is what happened: a closed list. The numbers are those of the contract.
type EventKind uint8

// The kinds of event.
const (
	Granted         EventKind = 1
	Requested       EventKind = 2
	Confirmed       EventKind = 3
	Refused         EventKind = 4
	Withdrawn       EventKind = 5
	Objected        EventKind = 6
	ObjectionLifted EventKind = 7
	Invalidated     EventKind = 8
	EvidenceAdded   EventKind = 9
	Used            EventKind = 10
	Suppressed      EventKind = 11
	Unsuppressed    EventKind = 12
	Undeliverable   EventKind = 13
	Deliverable     EventKind = 14
	Restricted      EventKind = 15
	Unrestricted    EventKind = 16
	AttributesSet   EventKind = 17
	GroundsRecorded EventKind = 18
	Erased          EventKind = 19
)

// Method is how a consent was obtained. The numbers are those of the contract.
type Method uint8

// The methods. MethodUnknown proves nothing; grants by PreTicked, Implied or BoughtList are invalidated (Art. 4(11) GDPR, Planet49).
const (
	MethodUnknown    Method = 0
	MethodWebForm    Method = 1
	MethodApp        Method = 2
	MethodEmail      Method = 3
	MethodSMS        Method = 4
	MethodPhone      Method = 5
	MethodPaper      Method = 6
	MethodInPerson   Method = 7
	MethodBanner     Method = 8
	MethodPreTicked  Method = 20
	MethodImplied    Method = 21
	MethodBoughtList Method = 22
)

// Evidence proves an event, by references and hashes only.
type Evidence struct {
	NoticeVersion uint32 // 0: unknown
	NoticeHash    string // 32 bytes of SHA-256, or empty
	Method        Method
	Source        string
	Reference     string
}

// Scope is what an event covers: everything listed. Empty means all.
type Scope struct {
	Permissions []string
	Purposes    []string
	Channels    []string
}

// Terms are what a grant says beside what it covers.
type Terms struct {
	Explicit             bool // Art. 9(2)(a), 22(2)(c) GDPR
	OverridesRestriction bool // Art. 18(2) GDPR
	ValidFrom, ExpiresAt Time // zero for none
}

// ObjectionKind is what an objection is to. The zero value means both. The numbers are those of the contract.
type ObjectionKind uint8

// The kinds of objection.
const (
	ObjectionUnclear    ObjectionKind = 0 // both
	ObjectionMarketing  ObjectionKind = 1 // Art. 21(2) GDPR
	ObjectionProcessing ObjectionKind = 2 // Art. 21(1) GDPR
)

// Relationship is that between subject and tenant. The numbers are those of the contract; zero means unknown, and is decided as none.
type Relationship uint8

// The relationships.
const (
	RelationshipUnknown        Relationship = 0
	RelationshipNone           Relationship = 1
	RelationshipCustomer       Relationship = 2
	RelationshipFormerCustomer Relationship = 3
)

// Attributes are facts about a subject. Fields without a value leave what is recorded.
type Attributes struct {
	BirthDate          *Date   // the zero Date forgets it
	Country            *string // ISO 3166-1 alpha-2; "" forgets it
	GuardianAuthorised *bool
	Relationship       Relationship
	AddressFromSale    *bool
	OptOutNoticeGiven  *bool
	ContractActive     *bool
	Business           *bool // acts for a business: Sec. 7(2) no. 1 UWG
}

// Date is a day of the calendar, as a birth date: year, month and day. The zero Date is none.
type Date struct {
	Year       uint16
	Month, Day uint8
}

// Event is something that happened to a subject.
type Event struct {
	Kind       EventKind
	OccurredAt Time // zero until the leader stamps it
	Scope      Scope
	Evidence   Evidence
	Terms      Terms         // of Granted
	Objection  ObjectionKind // of Objected and ObjectionLifted
	GrantAt    Time          // of EvidenceAdded: when the grant was given that it proves; zero for the last one before
	Attributes Attributes    // of AttributesSet
}

// Effect is what an event did to the record. The numbers are those of the contract.
type Effect uint8

// The effects.
const (
	Applied    Effect = 1 // the record changed
	Unchanged  Effect = 2 // the record said so already
	Superseded Effect = 3 // something that counts more stands against it
)
