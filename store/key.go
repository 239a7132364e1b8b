package store

import (
	"encoding/binary"

	"github.com/consentd/consentd/consent"
)

// The keys of the ledger begin with a byte that says what they lead to. All numbers in them are big-endian, so that the order of the
// bytes is that of the numbers.
//
//	d due occurred_at...         evidence that an erasure left, by when it is removed: the key of its event
//	e pseudonym occurred_at index ordinal   an event
//	l id                         a member of the cluster that stays a learner
//	m                            what the ledger as a whole stands at
//	n tenant number              a name that the records of a tenant use
//	p tenant version             a policy
//	q request-id                 what a request came to
//	r pseudonym                  a current record
//	t number                     a tenant
const (
	prefixDue     = 'd'
	prefixEvent   = 'e'
	prefixLearner = 'l'
	prefixMeta    = 'm'
	prefixName    = 'n'
	prefixPolicy  = 'p'
	prefixRequest = 'q'
	prefixRecord  = 'r'
	prefixTenant  = 't'

	keyBytes      = 16
	subjectBytes  = 1 + keyBytes                // of an event's key: whose it is
	eventKeyBytes = subjectBytes + 8 + 8 + 4    // occurred at, index, ordinal
	dueKeyBytes   = 1 + 8 + (eventKeyBytes - 1) // due, and the event's key without its prefix
)

func appendKey(dst []byte, key Key) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, key[0]), key[1])
}

func keyOf(text []byte) Key {
	return Key{binary.BigEndian.Uint64(text), binary.BigEndian.Uint64(text[8:])}
}

func recordKey(dst []byte, key Key) []byte { return appendKey(append(dst, prefixRecord), key) }

// subjectKey is what the keys of a subject's events begin with.
func subjectKey(dst []byte, key Key) []byte { return appendKey(append(dst, prefixEvent), key) }

// position is where an event stands in its subject's history.
type position struct {
	at      consent.Time
	index   uint64
	ordinal uint32
}

func eventKey(dst []byte, key Key, p position) []byte {
	dst = binary.BigEndian.AppendUint64(subjectKey(dst, key), uint64(p.at))
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(dst, p.index), p.ordinal)
}

// positionOf returns the position in the key of an event.
func positionOf(eventKey []byte) position {
	in := eventKey[subjectBytes:]
	return position{consent.Time(binary.BigEndian.Uint64(in)), binary.BigEndian.Uint64(in[8:]), binary.BigEndian.Uint32(in[16:])}
}

func dueKey(dst []byte, due consent.Time, eventKey []byte) []byte {
	return append(binary.BigEndian.AppendUint64(append(dst, prefixDue), uint64(due)), eventKey[1:]...)
}

func requestKey(dst []byte, id consent.RequestID) []byte {
	return append(append(dst, prefixRequest), id[:]...)
}

func learnerKey(dst []byte, id string) []byte { return append(append(dst, prefixLearner), id...) }

func tenantKey(dst []byte, tenant uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, prefixTenant), tenant)
}

func nameKey(dst []byte, tenant uint32, name consent.NameID) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(append(dst, prefixName), tenant), uint16(name))
}

func policyKey(tenant uint32, version int64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32([]byte{prefixPolicy}, tenant), uint64(version))
}

// afterPrefix returns the first key behind all that begin with a prefix.
func afterPrefix(prefix []byte) []byte {
	after := append([]byte(nil), prefix...)
	for i := len(after) - 1; i >= 0; i-- {
		after[i]++
		if after[i] != 0 {
			return after[:i+1]
		}
	}
	return nil
}
