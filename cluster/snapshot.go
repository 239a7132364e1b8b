package cluster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/consentd/consentd/store"
	"github.com/hashicorp/raft"
)

// marker is what a snapshot of this replica consists of: an index. The state up to it is in the ledger, which only has to be synced.
//
// A hash of the state would let replicas compare themselves at each snapshot, but costs a walk over all records each time. Tests compare
// store.StateHash instead, and a streamed snapshot carries checksums of its own.
type marker struct {
	store  *store.Store
	covers uint64 // what was applied when the snapshot was taken
}

// Persist implements raft.FSMSnapshot, while later entries are being applied. Raft cuts the log only after it.
func (m *marker) Persist(s raft.SnapshotSink) error {
	own, ok := s.(*sink)
	if !ok {
		return fmt.Errorf("a snapshot goes to our own snapshot store, not to %T", s)
	}
	durable, err := m.store.Sync()
	if err != nil {
		return fmt.Errorf("syncing the ledger: %w", err)
	}
	if durable < m.covers {
		return fmt.Errorf("the ledger is durable up to %d only, and the snapshot covers %d", durable, m.covers)
	}
	own.info.covers = m.covers
	return own.Close()
}

// Release implements raft.FSMSnapshot.
func (m *marker) Release() {}

// The stream of a snapshot, as it is sent to another replica, begins with a head that says what the state covers: at least the index of
// the Raft snapshot, and often more, because the state is taken when the stream is made. Its receiver skips entries up to there. The
// rest is the store's.
//
//	magic: 8 bytes
//	covers: 8 bytes, big-endian
//	crc32c of both: 4 bytes, big-endian
const (
	streamMagic     = "cnsntd\x00\x01"
	streamHeadBytes = len(streamMagic) + 8 + 4
)

var errStream = errors.New("that is no snapshot of consentd, or a damaged one")

func streamHead(covers uint64) []byte {
	head := binary.BigEndian.AppendUint64([]byte(streamMagic), covers)
	return binary.BigEndian.AppendUint32(head, crc32.Checksum(head, castagnoli))
}

// readStreamHead returns what a stream covers.
func readStreamHead(r io.Reader) (covers uint64, err error) {
	head := make([]byte, streamHeadBytes)
	if _, err := io.ReadFull(r, head); err != nil {
		return 0, fmt.Errorf("%w: %w", errStream, err)
	}
	covers = binary.BigEndian.Uint64(head[len(streamMagic):])
	if !bytes.Equal(head, streamHead(covers)) {
		return 0, errStream
	}
	return covers, nil
}

// writeStream writes the state of the store as it is now, and returns what it covers.
func writeStream(s *store.Store, w io.Writer) (covers uint64, err error) {
	snapshot, err := s.Snapshot()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	if _, err := w.Write(streamHead(snapshot.Index())); err != nil {
		return 0, err
	}
	if _, err := snapshot.WriteTo(w); err != nil {
		return 0, err
	}
	return snapshot.Index(), nil
}

// restore replaces the store's state by that of a stream, unless the state covers the stream already: Raft may deliver one late, and a
// replica that went back to it would have less than it has proven to have. Both are states of the same log, so the newer one serves.
func restore(s *store.Store, stream io.Reader) error {
	covers, err := readStreamHead(stream)
	if err != nil || s.Applied() >= covers {
		return err
	}
	if err := s.Restore(stream); err != nil {
		return err
	}
	if applied := s.Applied(); applied != covers {
		return fmt.Errorf("the state restored stands at %d instead of %d: %w", applied, covers, errStream)
	}
	return nil
}
