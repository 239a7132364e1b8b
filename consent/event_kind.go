package consent

var eventNames = [...]string{
	Granted: "granted", Requested: "requested", Confirmed: "confirmed", Refused: "refused", Withdrawn: "withdrawn", Objected: "objected",
	ObjectionLifted: "objection_lifted", Invalidated: "invalidated", EvidenceAdded: "evidence_added", Used: "used",
	Suppressed: "suppressed", Unsuppressed: "unsuppressed", Undeliverable: "undeliverable", Deliverable: "deliverable",
	Restricted: "restricted", Unrestricted: "unrestricted", AttributesSet: "attributes_set", GroundsRecorded: "grounds_recorded",
	Erased: "erased",
}

// String returns the kind's name in lower case, as documents spell it.
func (k EventKind) String() string {
	if int(k) < len(eventNames) && k != 0 {
		return eventNames[k]
	}
	return "unknown"
}

// scopeRule is what kinds of events may and must name.
type scopeRule uint8

const (
	scopeAny         scopeRule = iota // permissions, purposes, channels, or nothing for all
	scopePermissions                  // permissions, and at least one
	scopeSubject                      // nothing: the event is about the whole subject
)

func (k EventKind) scope() scopeRule {
	switch k {
	case Granted, Requested, Confirmed, EvidenceAdded, Used:
		return scopePermissions
	case Suppressed, Unsuppressed, Restricted, Unrestricted, AttributesSet, Erased:
		return scopeSubject
	default:
		return scopeAny
	}
}

// IsNo reports whether the event is a "no": one that only ever takes permissions away. A grant by a method that can't give consent is
// one too.
func (e Event) IsNo() bool {
	switch e.Kind {
	case Refused, Withdrawn, Objected, Invalidated, Suppressed, Undeliverable, Restricted, Erased:
		return true
	case Granted:
		return e.Evidence.Method.void()
	default:
		return false
	}
}

// outlivesErasure reports whether the event counts in folding although the subject was erased after it: a "no", or what took a "no"
// back, because a "no" that was lifted mustn't come back.
func (e Event) outlivesErasure() bool {
	switch e.Kind {
	case ObjectionLifted, Unsuppressed, Deliverable, Unrestricted:
		return true
	default:
		return e.IsNo()
	}
}

// void reports whether a grant by the method is none. Art. 4(11) GDPR, CJEU C-673/17 (Planet49).
func (m Method) void() bool {
	return m == MethodPreTicked || m == MethodImplied || m == MethodBoughtList
}

func (m Method) known() bool { return m <= MethodBanner || m.void() }
