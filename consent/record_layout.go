package consent

// The layout of a record's words, of which there are no others:
//
//	word 0      newest 43 | number of grants 14 | unused 3 | format 4
//	word 1      index 42 | tenant 22
//	2 a grant   permission 16 | given at 43 | flags 5, then notice version 32 | confirmation 32; by permission and time
//	1 a fact    kind 5 | name 16 | value 43; by kind and name, one for each
//
// A subject with four grants takes ten words. Everything rare is a fact, and costs those alone who have it.
const (
	// MaxTenant is the highest number of a tenant that a record can hold.
	MaxTenant = 1<<tenantBits - 1
	// MaxRecordWords is the most that a record takes. Folding widens what would go beyond it.
	MaxRecordWords = recordRoom + int(factKinds)

	formatVersion = 2
	headerWords   = 2
	grantWords    = 2
	recordRoom    = 16_000 // for grants and facts under a name; what is over everything fits beside

	timeBits   = 43
	tenantBits = 22
	formatBits = 4
	countShift = 7
	countBits  = 14
	nameBits   = 16
	flagBits   = 5
)

// factKind is what a fact says. The marks come first, with their own numbers.
type factKind uint8

const (
	factSuppressed factKind = factKind(markKinds) + iota
	factRestricted
	factErased
	factRequested
	factLastUsed
	factValidFrom // and the kinds up to factExpiresAt: what limits the permission's first grant, its second, and so on
)

const (
	factExpiresAt  = factValidFrom + maxGrants // and the kinds up to factAttributes, likewise
	factAttributes = factExpiresAt + maxGrants
	factPassedOver = factAttributes + 1 // when the permission's last grant was given, if folding left it out in favour of what is proven
	factKinds      = factPassedOver + 1
)

// isTerm reports whether a fact is one of what limits a grant.
func (k factKind) isTerm() bool { return k >= factValidFrom && k < factAttributes }

// perPermission reports whether a fact is one about a permission, and never over everything.
func (k factKind) perPermission() bool {
	return k == factRequested || k == factLastUsed || k.isTerm() || k == factPassedOver
}

// perSubject reports whether a fact is one about the subject, and has no scope.
func (k factKind) perSubject() bool {
	return k >= factSuppressed && k <= factErased || k == factAttributes
}

// factKey returns a fact's word with the value zero, by which facts are sorted.
func factKey(kind factKind, id NameID) uint64 {
	return uint64(kind)<<(nameBits+timeBits) | uint64(id)<<timeBits
}

func factOf(word uint64) (kind factKind, id NameID, value uint64) {
	return factKind(word >> (nameBits + timeBits)), NameID(word >> timeBits), word & uint64(MaxTime)
}

func (r Record) grantCount() int {
	if len(r) < headerWords {
		return 0
	}
	return int(r[0] >> countShift & (1<<countBits - 1))
}

// facts returns the facts' words.
func (r Record) facts() []uint64 {
	if len(r) < headerWords {
		return nil
	}
	return r[headerWords+grantWords*r.grantCount():]
}

// deciding returns the words that decisions are made from: all but the header and what was passed over.
func (r Record) deciding() []uint64 {
	facts := r.facts()
	end, _ := findFact(facts, factPassedOver, 0)
	return r[min(len(r), headerWords) : len(r)-len(facts)+end]
}

// RecordFormat tells how a record's words are laid out. Records of one format are read by another version only if it knows the same.
const RecordFormat = formatVersion

// ForDecisions returns what decisions are made from, and no more, in space as far as that reaches: a record that decides the same, and from
// which nothing can be folded on.
func (r Record) ForDecisions(space []uint64) Record {
	if len(r) < headerWords {
		return nil
	}
	return append(append(space[:0], r[:headerWords]...), r.deciding()...)
}

// findFact returns where in facts a fact is or belongs.
func findFact(facts []uint64, kind factKind, id NameID) (at int, found bool) {
	key := factKey(kind, id)
	end := len(facts)
	for at < end {
		if middle := (at + end) / 2; facts[middle] < key {
			at = middle + 1
		} else {
			end = middle
		}
	}
	return at, at < len(facts) && facts[at]&^uint64(MaxTime) == key
}

// fact returns a fact's value, or zero.
func (r Record) fact(kind factKind, id NameID) uint64 {
	facts := r.facts()
	if at, found := findFact(facts, kind, id); found {
		return facts[at] & uint64(MaxTime)
	}
	return 0
}

// mark returns the latest time of a mark over a permission, its purpose, its channel, or all.
func (r Record) mark(kind MarkKind, permission, purpose, channel NameID) Time {
	facts := r.facts()
	at, all := findFact(facts, factKind(kind), 0)
	facts = facts[at:]
	if len(facts) == 0 || facts[0] >= factKey(factKind(kind)+1, 0) {
		return 0
	}
	var latest uint64
	if all {
		latest = facts[0] & uint64(MaxTime)
	}
	for _, id := range [...]NameID{permission, purpose, channel} {
		if at, found := findFact(facts, factKind(kind), id); found {
			latest = max(latest, facts[at]&uint64(MaxTime))
		}
	}
	return Time(latest)
}

// refusal returns the state of the latest withdrawal, refusal or invalidation that covers a permission, and its time; at equal times
// the first of these.
func (r Record) refusal(permission, purpose, channel NameID) (State, Time) {
	state, latest := StateUnknown, Time(0)
	if facts := r.facts(); len(facts) == 0 || facts[0] >= factKey(factKind(MarkInvalidated)+1, 0) {
		return state, latest
	}
	for kind, of := range [...]State{MarkWithdrawn: StateWithdrawn, MarkRefused: StateRefused, MarkInvalidated: StateInvalidated} {
		if at := r.mark(MarkKind(kind), permission, purpose, channel); at > latest {
			state, latest = of, at
		}
	}
	return state, latest
}
