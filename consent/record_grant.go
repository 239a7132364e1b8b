package consent

const (
	maxGrants    = 4 // of one permission that a record keeps
	grantDemands = 5 // of a permission on a grant

	permissionShift = timeBits + flagBits
)

// grantFlags are what a grant is known to have.
type grantFlags uint8

const (
	grantExplicit grantFlags = 1 << iota
	grantOverridesRestriction
	grantMethod    // a known and lawful one
	grantSource    // as evidence
	grantReference // to the proof, or the hash of the notice

	grantProof = grantMethod | grantSource | grantReference
)

// grant is a consent given, as its two words hold it.
type grant struct {
	permission  NameID
	at          Time
	confirmedAt Time // of the first confirmation after it, or zero
	notice      uint32
	flags       grantFlags
}

// A confirmation is kept as the time since the grant, plus one, so that zero is none: in milliseconds if that fits 31 bits, which is
// 24 days, and else in seconds, rounded up. A policy's deadline is in whole seconds, so that rounding never moves one over it.
const (
	inSeconds     = 1 << 31
	maxMillis     = inSeconds - 2
	maxSeconds    = inSeconds - 1
	millisPerSec  = 1000
	roundingError = Time(millisPerSec)
)

func confirmationCode(delay Time) uint32 {
	if delay <= maxMillis {
		return uint32(delay) + 1
	}
	if seconds := (delay + millisPerSec - 1) / millisPerSec; seconds <= maxSeconds {
		return inSeconds | uint32(seconds)
	}
	return 0 // after 68 years it confirms nothing
}

func confirmationDelay(code uint32) Time {
	if code&inSeconds != 0 {
		return Time(code&^inSeconds) * millisPerSec
	}
	return Time(code) - 1
}

func grantOf(first, second uint64) grant {
	g := grant{
		permission: NameID(first >> permissionShift),
		at:         Time(first>>flagBits) & MaxTime,
		flags:      grantFlags(first & (1<<flagBits - 1)),
		notice:     uint32(second >> 32),
	}
	if code := uint32(second); code != 0 {
		g.confirmedAt = g.at + confirmationDelay(code)
	}
	return g
}

func (g grant) words() (first, second uint64) {
	first = uint64(g.permission)<<permissionShift | uint64(g.at)<<flagBits | uint64(g.flags)
	second = uint64(g.notice) << 32
	if g.confirmedAt != 0 {
		second |= uint64(confirmationCode(g.confirmedAt - g.at))
	}
	return first, second
}

// confirmed returns the grant with a confirmation, as exact as a record keeps it.
func (g grant) confirmed(at Time) grant {
	g.confirmedAt = at
	return grantOf(g.words())
}

// proven reports whether the proof is complete. Art. 7(1) GDPR.
func (g grant) proven() bool { return g.flags&grantProof == grantProof }

// strength is how much a grant is worth keeping when there are too many.
func (g grant) strength() int {
	switch {
	case !g.proven():
		return 0
	case g.confirmedAt == 0:
		return 1
	default:
		return 2
	}
}

// dominates reports whether an earlier grant says nothing that g doesn't, so that wherever the earlier one allows, g does too.
func (g grant) dominates(earlier grant) bool {
	return earlier.flags&^g.flags == 0 && g.notice >= earlier.notice &&
		(earlier.confirmedAt == 0 || g.confirmedAt != 0 && g.confirmedAt-g.at <= earlier.confirmedAt-earlier.at)
}

// reach returns how many of a permission's demands on a grant are met before the first that isn't, in the order of the decision table:
// restriction (row 5), explicit (8, 9), proof (20), confirmation (21), notice (25). Demands of time aren't among them.
func (g grant) reach(p *Permission, restricted Time) int {
	switch {
	case restricted != 0 && p.RestrictionExemption == "" && (g.flags&grantOverridesRestriction == 0 || g.at <= restricted):
		return 0
	case g.flags&grantExplicit == 0 && (p.SignificantDecision || p.SpecialCategory):
		return 1
	case p.ProofRequired && !g.proven():
		return 2
	case p.DoubleOptIn && (g.confirmedAt == 0 || p.ConfirmWithin != 0 && int64(g.confirmedAt-g.at) > p.ConfirmWithin):
		return 3
	case g.notice < p.NoticeMin:
		return 4
	default:
		return grantDemands
	}
}

// fill fills in what is recorded of a grant that stands.
func (g grant) fill(c *Consent) {
	c.State, c.Since = StateGiven, g.at
	c.ConfirmedAt = g.confirmedAt
	c.NoticeVersion = g.notice
	c.Proven = g.proven()
	c.Explicit = g.flags&grantExplicit != 0
	c.OverridesRestriction = g.flags&grantOverridesRestriction != 0
}

func (r Record) grant(i int) grant {
	at := headerWords + grantWords*i
	return grantOf(r[at], r[at+1])
}

// grantsOf returns the range of a permission's grants.
func (r Record) grantsOf(permission NameID) (first, end int) {
	n := r.grantCount()
	if n == 0 {
		return 0, 0
	}
	words := r[headerWords : headerWords+grantWords*n]
	for end = n; first < end; {
		if middle := (first + end) >> 1; words[grantWords*middle] < uint64(permission)<<permissionShift {
			first = middle + 1
		} else {
			end = middle
		}
	}
	for end < n && words[grantWords*end]>>permissionShift == uint64(permission) {
		end++
	}
	return first, end
}

// limits returns between which times a permission's grant at a position counts: from the one on, before the other, zero for no limit.
func (r Record) limits(permission NameID, position int) (validFrom, expiresAt Time) {
	k := factKind(position)
	return Time(r.fact(factValidFrom+k, permission)), Time(r.fact(factExpiresAt+k, permission))
}

// standing returns the place of the grant that counts for a permission: the one that meets most of what it demands, and of equals the
// latest.
func (r Record) standing(p *Permission, first, end int) int {
	restricted := r.RestrictedAt()
	best, furthest := end-1, -1
	for i := end - 1; i >= first; i-- {
		if reach := r.grant(i).reach(p, restricted); reach > furthest {
			best, furthest = i, reach
		}
	}
	return best
}
