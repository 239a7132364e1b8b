package store

import (
	"encoding/binary"
	"fmt"

	"github.com/consentd/consentd/consent"

	"github.com/cockroachdb/pebble/v2"
)

// maxRemovals is how many events one entry removes whose time has come, so that no entry takes long.
const maxRemovals = 256

// never is when the next evidence is due while there is none.
const never = consent.MaxTime + 1

// removeDue removes evidence whose time had come at the entry's stamp, from the ledger and from the index of what is due.
func (e *entry) removeDue() {
	if e.stamp < e.nextDue {
		return
	}
	removed := 0
	e.nextDue = never
	e.fail(eachWith(e.from, []byte{prefixDue}, func(key, _ []byte) error {
		due, event, err := splitDue(key)
		if err != nil {
			return err
		}
		if due > e.stamp || removed == maxRemovals {
			e.nextDue = due
			return errEnough
		}
		removed++
		e.fail(e.batch.Delete(event, nil))
		return e.batch.Delete(key, nil)
	}))
}

// splitDue returns what a key of the index of what is due says.
func splitDue(key []byte) (due consent.Time, event []byte, err error) {
	if len(key) != dueKeyBytes {
		return 0, nil, fmt.Errorf("%w: the due event %x", ErrLedger, key)
	}
	return consent.Time(binary.BigEndian.Uint64(key[1:])), append([]byte{prefixEvent}, key[1+8:]...), nil
}

// readNextDue returns when the next evidence is due.
func readNextDue(from pebble.Reader) (consent.Time, error) {
	next := never
	err := eachWith(from, []byte{prefixDue}, func(key, _ []byte) (err error) {
		if next, _, err = splitDue(key); err != nil {
			return err
		}
		return errEnough
	})
	return next, err
}
