package store

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"slices"
)

// StateHash returns a hash over everything that replicas have in common, the applied index apart: stores that applied the same entries
// have the same one. It also compares the records in memory with those of the ledger. Nothing is applied meanwhile, so that it is for
// tests and for comparing replicas by hand.
func (s *Store) StateHash() ([32]byte, error) {
	s.applying.Lock()
	defer s.applying.Unlock()
	if s.closed.Load() {
		return [32]byte{}, ErrClosed
	}
	st := s.state.Load()
	sum := sha256.New()
	out := &snapshotWriter{to: bufio.NewWriterSize(sum, snapshotSpace)}
	records := 0
	common := st.meta
	common.applied = 0
	out.writeBytes(common.encode()) // from memory: the ledger has none before the first entry
	err := eachState(st.ledger.db, st.meta.horizon, func(key, value []byte) error {
		switch key[0] {
		case prefixMeta:
			return nil
		case prefixRecord:
			records++
			if err := st.memory.agrees(key, value); err != nil {
				return err
			}
		}
		out.writeBytes(key)
		out.writeBytes(value)
		return out.err
	})
	if err == nil && records != st.memory.len() {
		err = fmt.Errorf("%w: it has %d records, and memory has %d", ErrLedger, records, st.memory.len())
	}
	if err == nil {
		err = out.to.Flush()
	}
	return [32]byte(sum.Sum(nil)), err
}

// agrees returns an error if memory has another record than the ledger.
func (m *memory) agrees(key, value []byte) error {
	want, err := decodeRecordValue(nil, key, value)
	if err != nil {
		return err
	}
	var buf Buffer
	if got := m.get(keyOf(key[1:]), &buf); !slices.Equal(got, want) {
		return fmt.Errorf("%w: the record %x is another one in memory", ErrLedger, key)
	}
	return nil
}
