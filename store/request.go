package store

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/consentd/consentd/consent"
)

const (
	requestWindow = 10 * 60 * 1000 // milliseconds of stamped time that a request id is remembered, and may lie ahead
	maxRequests   = 1_000_000      // remembered at most
	second        = 1000           // milliseconds; ids are forgotten by the second
	purgeSeconds  = 60             // what is forgotten leaves the ledger by the minute
)

// payloadHash tells what a request id was used for.
type payloadHash [16]byte

func hashPayload(payload []byte) payloadHash {
	sum := sha256.Sum256(payload)
	return payloadHash(sum[:])
}

// requestTime returns the milliseconds since 1970 in a UUIDv7 (RFC 9562, 5.7), and whether id is one.
func requestTime(id consent.RequestID) (at consent.Time, ok bool) {
	at = consent.Time(binary.BigEndian.Uint64(id[:]) >> 16)
	return at, id[6]>>4 == 7 && id[8]>>6 == 2
}

func requestSecond(id consent.RequestID) uint64 {
	at, _ := requestTime(id)
	return uint64(at) / second
}

// requests are the ids of the commands that were executed and aren't forgotten yet. What each came to is in the ledger: only a repeat
// asks for it.
//
// An id is forgotten by its own time, not by when it came: what is forgotten is then all that isn't newer than one horizon, an id beyond
// it that isn't here was never executed, and nothing is ever executed twice.
type requests struct {
	bySecond map[uint64]map[consent.RequestID]struct{}
	count    int
}

func newRequests() *requests { return &requests{bySecond: map[uint64]map[consent.RequestID]struct{}{}} }

func (r *requests) has(id consent.RequestID) bool {
	_, found := r.bySecond[requestSecond(id)][id]
	return found
}

func (r *requests) add(id consent.RequestID) {
	at := requestSecond(id)
	if r.bySecond[at] == nil {
		r.bySecond[at] = map[consent.RequestID]struct{}{}
	}
	r.bySecond[at][id] = struct{}{}
	r.count++
}

// forget drops the ids that aren't newer than the horizon.
func (r *requests) forget(horizon uint64) {
	for at, ids := range r.bySecond {
		if at <= horizon {
			r.count -= len(ids)
			delete(r.bySecond, at)
		}
	}
}

// shrink drops the oldest ids until there are no more than most, and returns the horizon after that.
func (r *requests) shrink(most int, horizon uint64) uint64 {
	for r.count > most {
		oldest := ^uint64(0)
		for at := range r.bySecond {
			oldest = min(oldest, at)
		}
		horizon = oldest
		r.forget(horizon)
	}
	return horizon
}

// horizonAt returns the newest second all of whose ids are out of the window at a time.
func horizonAt(stamp consent.Time) uint64 {
	if stamp < requestWindow+second {
		return 0
	}
	return uint64(stamp-requestWindow)/second - 1
}

// outcome is what a command with a request id came to.
type outcome struct {
	payload payloadHash
	index   uint64
	stamp   consent.Time

	effects []consent.Effect // of a write

	version int64 // of a policy; not zero
	changed bool
}

func appendOutcome(dst []byte, o *outcome) []byte {
	dst = append(append(dst, valueFormat), o.payload[:]...)
	dst = binary.AppendUvarint(dst, o.index)
	dst = binary.AppendUvarint(dst, uint64(o.stamp))
	dst = binary.AppendUvarint(dst, uint64(o.version))
	if o.version != 0 {
		return append(dst, boolByte(o.changed))
	}
	for _, effect := range o.effects {
		dst = append(dst, byte(effect))
	}
	return dst
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func decodeOutcome(key, value []byte) (outcome, error) {
	in := input{rest: value}
	in.format()
	o := outcome{payload: payloadHash(in.array()), index: in.uvarint(), stamp: consent.Time(in.uvarint()), version: int64(in.uvarint())}
	if o.version != 0 {
		if changed := in.take(1); changed != nil {
			o.changed = changed[0] != 0
		}
	}
	for _, effect := range in.rest {
		o.effects = append(o.effects, consent.Effect(effect))
	}
	if in.err != nil {
		return o, fmt.Errorf("%w: the outcome of request %x: %w", ErrLedger, key, in.err)
	}
	return o, nil
}

// repeated returns the outcome of the command that came with the request id before, and whether one did. The error is the command's
// result: ErrRestoring is one only of what is new, for a repeat has been written.
func (e *entry) repeated(id consent.RequestID, payload payloadHash) (first outcome, found bool, err error) {
	at, ok := requestTime(id)
	switch {
	case !ok:
		return first, false, ErrRequestID
	case at > e.stamp+requestWindow:
		return first, false, consent.ErrRequestFuture
	case uint64(at)/second <= e.meta.horizon:
		return first, false, consent.ErrRequestExpired
	}
	if bug("forget request ids") {
		return first, false, nil
	}
	if i, here := e.executed[id]; here {
		first, found = e.outcomes[i].outcome, true
	} else if e.state.requests.has(id) {
		first, found = e.readOutcome(id), true
	}
	switch {
	case found && first.payload != payload:
		return first, false, consent.ErrRequestReused
	case !found && e.restoring():
		return first, false, ErrRestoring
	}
	return first, found, nil
}

func (e *entry) readOutcome(id consent.RequestID) outcome {
	e.key = requestKey(e.key[:0], id)
	value, err := get(e.from, e.key)
	if err != nil {
		e.fail(err)
		return outcome{}
	}
	first, err := decodeOutcome(e.key, value)
	e.fail(err)
	return first
}

// executed is what a request came to in the entry.
type executed struct {
	id consent.RequestID
	outcome
}

// remember keeps the outcome of a command, and returns it with what is the same for the whole entry.
func (e *entry) remember(id consent.RequestID, o outcome) outcome {
	o.index, o.stamp = e.index, e.stamp
	e.executed[id] = len(e.outcomes)
	e.outcomes = append(e.outcomes, executed{id, o})
	return o
}

// writeOutcomes makes room among the remembered ids, adds those of the entry, and writes both to the batch.
func (e *entry) writeOutcomes() {
	before := e.state.meta.horizon
	known := e.state.requests
	for i := range e.outcomes {
		o := &e.outcomes[i]
		known.add(o.id)
		e.key, e.value = requestKey(e.key[:0], o.id), appendOutcome(e.value[:0], &o.outcome)
		e.set(e.key, e.value)
	}
	if e.meta.horizon > before {
		known.forget(e.meta.horizon)
	}
	e.meta.horizon = known.shrink(maxRequests, e.meta.horizon)
	// Ranges that don't overlap, and few of them: Pebble would cut overlapping ones into pieces.
	from, to := before/purgeSeconds*purgeSeconds, e.meta.horizon/purgeSeconds*purgeSeconds
	if from < to {
		e.fail(e.batch.DeleteRange(requestsFrom(from), requestsFrom(to), nil))
	}
}

// requestsFrom returns the least key of a request whose id is of a second or later.
func requestsFrom(at uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{prefixRequest}, at*second<<16)
}
