package consent

// RequestID names a write, so that a repeat isn't a second write. It is a UUIDv7.
type RequestID [16]byte

// SubjectEvent is an event and whose it is.
type SubjectEvent struct {
	Subject string // the id, after it passed the door
	Event   Event
}

// Write is a number of events of one tenant, written together or not at all.
type Write struct {
	Tenant    string
	RequestID RequestID
	Events    []SubjectEvent
}

// WriteResult is what a write came to. A repeat returns the first result.
type WriteResult struct {
	Revision Revision
	Stamp    Time     // the leader's; the time of events that had none
	Effects  []Effect // one for each event
}

// PolicyPut is a document to become the tenant's next policy.
type PolicyPut struct {
	Tenant    string
	RequestID RequestID
	Document  []byte
	ETag      string // not empty: of the version that it must follow, or ETagNone
}

// ETagNone stands for there being no version yet.
const ETagNone = "none"

// PolicyVersion is a policy as it was put.
type PolicyVersion struct {
	Version  int64
	ETag     string
	Document []byte
	PutAt    Time
	Revision Revision
}

// RecordedEvent is an event of a subject's history.
type RecordedEvent struct {
	Event         Event
	Stamp         Time // when it was written
	Index         uint64
	Ordinal       uint32 // within the entry of that index
	RetainedUntil Time   // not zero: left by an erasure as evidence, until then
}

// HistoryPage asks for a part of a subject's history. Events are in the order of OccurredAt, Index and Ordinal.
type HistoryPage struct {
	AfterTime       Time // with AfterIndex and AfterOrdinal: the last event of the page before
	AfterIndex      uint64
	AfterOrdinal    uint32
	Limit           int
	IncludeRetained bool
}
