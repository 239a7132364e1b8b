package consent

// Record is the current state of one subject, folded from its events, in a compact form without pointers. A nil Record is that of a
// subject of whom nothing is known. Its methods allocate nothing.
type Record []uint64

// Buffer is where a record is copied when it is read, so that reading one allocates nothing. It is reusable, by one goroutine at a time.
type Buffer [48]uint64

// State is where a consent stands. The numbers are those of the contract. "Expired" is computed, never stored.
type State uint8

// The states, in the words of the W3C Data Privacy Vocabulary.
const (
	StateUnknown     State = 0
	StateRequested   State = 1
	StateGiven       State = 2
	StateRefused     State = 3
	StateWithdrawn   State = 4
	StateInvalidated State = 5
)

// Consent is what is recorded for one permission. Marks are taken into account: a grant that a "no" covers isn't given.
type Consent struct {
	State                State
	Since                Time // given at, asked at, or the time of the "no"
	ConfirmedAt          Time
	LastUsedAt           Time
	ValidFrom, ExpiresAt Time
	NoticeVersion        uint32
	Proven               bool
	Explicit             bool
	OverridesRestriction bool
}

// MarkKind is a kind of event of which a record keeps the latest time for each scope.
type MarkKind uint8

// The kinds of marks.
const (
	MarkWithdrawn MarkKind = iota
	MarkRefused
	MarkInvalidated
	MarkObjectedMarketing
	MarkObjectedProcessing
	MarkLiftedMarketing
	MarkLiftedProcessing
	MarkUndeliverable
	MarkDeliverable
	MarkGrounds
	markKinds
)

// Newest returns when the latest of the record's events occurred, or zero.
func (r Record) Newest() Time {
	if len(r) < headerWords {
		return 0
	}
	return Time(r[0] >> (64 - timeBits))
}

// Index returns the Raft index that the record last changed at.
func (r Record) Index() uint64 {
	if len(r) < headerWords {
		return 0
	}
	return r[1] >> tenantBits
}

// Tenant returns the number of the tenant whose subject it is.
func (r Record) Tenant() uint32 {
	if len(r) < headerWords {
		return 0
	}
	return uint32(r[1] & MaxTenant)
}

// Consent returns what is recorded for a permission of a bound policy. Of several grants that stand it is the one that meets most of
// what the permission demands, in the order of the decision table and apart from time; of equals, the latest.
func (r Record) Consent(p *Permission) (c Consent) {
	r.readConsent(&c, p)
	return c
}

// readConsent fills in what Consent returns. Facts are sorted, so that the first says whether any concerns a consent.
func (r Record) readConsent(c *Consent, p *Permission) {
	facts := r.facts()
	rare := len(facts) > 0 && facts[0] < factKey(factAttributes, 0)
	if rare {
		c.State, c.Since = r.refusal(p.ID, p.PurposeID, p.ChannelID)
		c.LastUsedAt = Time(r.fact(factLastUsed, p.ID))
	}
	if first, end := r.grantsOf(p.ID); first < end {
		i := first
		if end-first > 1 {
			i = r.standing(p, first, end)
		}
		if g := r.grant(i); g.at > c.Since {
			g.fill(c)
			if rare {
				c.ValidFrom, c.ExpiresAt = r.limits(p.ID, i-first)
			}
			return
		}
	}
	if rare && c.Since == 0 {
		if c.Since = Time(r.fact(factRequested, p.ID)); c.Since != 0 {
			c.State = StateRequested
		}
	}
}

// Mark returns the latest time of a kind of mark that covers the permission (over it, its purpose, its channel, or all), or zero.
func (r Record) Mark(kind MarkKind, p *Permission) Time {
	return r.mark(kind, p.ID, p.PurposeID, p.ChannelID)
}

// ErasedAt returns when the subject was last erased, or zero.
func (r Record) ErasedAt() Time { return Time(r.fact(factErased, 0)) }

// SuppressedAt returns since when the subject is suppressed, or zero. An erasure suppresses.
func (r Record) SuppressedAt() Time { return Time(r.fact(factSuppressed, 0)) }

// RestrictedAt returns since when processing is restricted, or zero.
func (r Record) RestrictedAt() Time { return Time(r.fact(factRestricted, 0)) }
