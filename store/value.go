package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"
	"unsafe"

	"github.com/consentd/consentd/consent"
)

// valueFormat is the version that every value of the ledger but records, names and tenants begins with.
const valueFormat = 2

// recordedEvent is an event of the history and how it got there.
type recordedEvent struct {
	position
	stamp         consent.Time
	retainedUntil consent.Time // not zero: an erasure left it as evidence, and it isn't folded any more
	event         *consent.Event
}

func appendEventValue(dst []byte, e *recordedEvent) []byte {
	dst = binary.AppendUvarint(append(dst, valueFormat), uint64(e.stamp))
	dst = binary.AppendUvarint(dst, uint64(e.retainedUntil))
	return consent.AppendEvent(dst, *e.event)
}

func decodeEventValue(key, value []byte) (recordedEvent, error) {
	in := input{rest: value}
	in.format()
	e := recordedEvent{stamp: consent.Time(in.uvarint()), retainedUntil: consent.Time(in.uvarint())}
	if in.err == nil && len(key) != eventKeyBytes {
		in.err = fmt.Errorf("the key has %d bytes, not %d", len(key), eventKeyBytes)
	}
	if in.err == nil {
		e.position, e.event = positionOf(key), new(consent.Event)
		*e.event, in.err = consent.DecodeEvent(in.rest)
	}
	if in.err != nil {
		return e, fmt.Errorf("%w: the event %x: %w", ErrLedger, key, in.err)
	}
	return e, nil
}

// The value of a record is a CRC-32C and the words. The checksum takes in the key, so that no record is ever taken for another's.
const recordHead = crc32.Size

func appendRecordValue(dst, key []byte, words []uint64) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	for _, word := range words {
		dst = binary.LittleEndian.AppendUint64(dst, word)
	}
	binary.LittleEndian.PutUint32(dst[start:], recordSum(key, dst[start+recordHead:]))
	return dst
}

func recordSum(key, words []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, words)
}

// decodeRecordValue returns the words of a record, in space as far as that reaches.
func decodeRecordValue(space []uint64, key, value []byte) ([]uint64, error) {
	const wordBytes = int(unsafe.Sizeof(uint64(0)))
	words := len(value) - recordHead
	switch {
	case len(key) != subjectBytes:
		return nil, fmt.Errorf("%w: the key %x has %d bytes, not %d", ErrLedger, key, len(key), subjectBytes)
	case words <= 0 || words%wordBytes != 0 || words/wordBytes > maxRecordWords:
		return nil, fmt.Errorf("%w: the record %x has %d bytes", ErrLedger, key, len(value))
	case recordSum(key, value[recordHead:]) != binary.LittleEndian.Uint32(value):
		return nil, fmt.Errorf("%w: the record %x doesn't fit its checksum", ErrLedger, key)
	}
	space = space[:0]
	for rest := value[recordHead:]; len(rest) > 0; rest = rest[wordBytes:] {
		space = append(space, binary.LittleEndian.Uint64(rest))
	}
	if err := consent.Record(space).Validate(); err != nil {
		return nil, fmt.Errorf("%w: the record %x: %w", ErrLedger, key, err)
	}
	return space, nil
}

// meta is what the state as a whole stands at.
type meta struct {
	applied  uint64
	epoch    uint64
	term     uint64        // the newest that was started
	stamp    consent.Time  // of the newest entry
	horizon  uint64        // request ids of this second and before are forgotten
	bound    time.Duration // of staleness; 0 for none yet
	keyed    bool          // keyCheck is set
	keyCheck [16]byte
	ended    []uint64 // epochs that never come again, the newest last: see end
}

func (m *meta) encode() []byte {
	value := append(make([]byte, 0, 64), valueFormat)
	for _, n := range [...]uint64{m.applied, m.epoch, m.term, uint64(m.stamp), m.horizon, uint64(m.bound.Milliseconds())} {
		value = binary.LittleEndian.AppendUint64(value, n)
	}
	if m.keyed {
		value = append(value, m.keyCheck[:]...)
	} else if len(m.ended) > 0 {
		value = append(value, 0) // two epochs are as long as a check value
	}
	for _, epoch := range m.ended {
		value = binary.LittleEndian.AppendUint64(value, epoch)
	}
	return value
}

// decodeMeta returns the zero meta for no value, which is that of a new ledger.
func decodeMeta(value []byte) (meta, error) {
	if value == nil {
		return meta{}, nil
	}
	in := input{rest: value}
	in.format()
	m := meta{
		applied: in.uint64(), epoch: in.uint64(), term: in.uint64(), stamp: consent.Time(in.uint64()), horizon: in.uint64(),
		bound: in.milliseconds(),
	}
	if m.keyed = len(in.rest) > 0 && len(in.rest)%8 == 0; m.keyed {
		m.keyCheck = in.array()
	} else if len(in.rest) > 0 && in.take(1)[0] != 0 {
		in.fail(errors.New("it has neither a check value nor none"))
	}
	for in.err == nil && len(in.rest) > 0 {
		m.ended = append(m.ended, in.uint64())
	}
	if in.err != nil {
		return m, fmt.Errorf("%w: its applied index: %w", ErrLedger, in.err)
	}
	return m, nil
}

// maxEnded is how many epochs are remembered that have ended. A step of a restore that comes late comes within the deadline of whoever sent
// it, half a minute; each restore takes a round of the log for each of its steps, and its file's way here before.
const maxEnded = 16

// end notes that an epoch never comes again: it was replaced, or its restore came to nothing.
func (m *meta) end(epoch uint64) {
	if epoch != 0 && !m.hasEnded(epoch) {
		m.ended = append(slices.Clone(m.ended[max(0, len(m.ended)-maxEnded+1):]), epoch)
	}
}

func (m *meta) hasEnded(epoch uint64) bool { return slices.Contains(m.ended, epoch) }

// format takes the version that a value begins with.
func (in *input) format() {
	if version := in.take(1); len(version) == 1 && version[0] != valueFormat {
		in.fail(fmt.Errorf("%w (it is of format %d, and this version knows %d)", ErrFormat, version[0], valueFormat))
	}
}
