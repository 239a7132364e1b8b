package store

import (
	"bytes"
	"fmt"

	"github.com/consentd/consentd/consent"

	"github.com/cockroachdb/pebble/v2"
)

// rebase makes the pairs of another cluster's snapshot stand at an index of this one's log, all of them: the indexes that they have mean
// nothing here. Without it, something new might get the index and ordinal of something old, and a revision read off an old event would be
// one that is never reached. The order of a subject's events stays.
type rebase struct {
	index uint64
	epoch uint64
	check *inspection // looks at every pair before: what was brought is to blame for nothing that happens later

	moment  []byte // subject and time of the newest event
	ordinal uint32 // of the next event at that moment
	key     []byte // space
	words   []uint64
}

// set writes a pair to a batch as it is to be.
func (r *rebase) set(batch *pebble.Batch, key, value []byte) error {
	if err := r.check.take(key, value); err != nil {
		return err
	}
	switch key[0] {
	case prefixDue, prefixLearner: // made with the events; not part of a backup
		return nil
	case prefixEvent:
		return r.setEvent(batch, key, value)
	case prefixMeta:
		return r.setMeta(batch, key, value)
	case prefixPolicy:
		p, err := decodePolicy(policyRef{}, value, 0)
		p.Revision.Index = r.index
		return set(batch, key, appendPolicy(nil, &p), err)
	case prefixRequest:
		o, err := decodeOutcome(key, value)
		o.index = r.index
		return set(batch, key, appendOutcome(nil, &o), err)
	case prefixRecord:
		var err error
		if r.words, err = decodeRecordValue(r.words, key, value); err != nil {
			return err
		}
		consent.Record(r.words).StandAt(r.index)
		return set(batch, key, appendRecordValue(nil, key, r.words), nil)
	default:
		return set(batch, key, value, nil)
	}
}

func set(batch *pebble.Batch, key, value []byte, err error) error {
	if err != nil {
		return err
	}
	return batch.Set(key, value, nil)
}

func (r *rebase) setMeta(batch *pebble.Batch, key, value []byte) error {
	m, err := decodeMeta(value)
	m.applied, m.epoch = r.index, r.epoch
	return set(batch, key, m.encode(), err)
}

// setEvent gives an event the index, an ordinal behind those before it at the same moment, and its place among what is due.
func (r *rebase) setEvent(batch *pebble.Batch, key, value []byte) error {
	e, err := decodeEventValue(key, value)
	if err != nil {
		return err
	}
	const momentBytes = subjectBytes + 8
	if !bytes.Equal(r.moment, key[:momentBytes]) {
		r.moment, r.ordinal = append(r.moment[:0], key[:momentBytes]...), 0
	}
	r.key = eventKey(r.key[:0], keyOf(key[1:]), position{e.at, r.index, r.ordinal})
	if r.ordinal++; r.ordinal == 0 {
		return fmt.Errorf("%w: a subject has 2^32 events at one moment", ErrLedger)
	}
	if e.retainedUntil != 0 {
		if err := batch.Set(dueKey(nil, e.retainedUntil, r.key), nil, nil); err != nil {
			return err
		}
	}
	return batch.Set(r.key, value, nil)
}
