package store

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"

	"github.com/cockroachdb/pebble/v2"
)

// A snapshot's stream is
//
//	magic | pairs | 0 | number of pairs, 8 bytes | SHA-256 of all before
//
// and a pair is key and value, each preceded by its length as a varint; no key is empty. Keys ascend. The magic ends with the version.
const (
	snapshotTitle = "consentd snapshot "
	snapshotMagic = snapshotTitle + "2\n"
	snapshotSpace = 64 << 10 // bytes written or read at once
)

// Snapshot is the state at one index, while the store goes on. It holds disk space until it is closed.
type Snapshot struct {
	ledger *ledger
	pinned *pebble.Snapshot
	meta   meta
}

// Snapshot pins the state as it is in the ledger, which includes all that any Sync has returned before. It returns at once.
func (s *Store) Snapshot() (*Snapshot, error) {
	st, err := s.acquire()
	if err != nil {
		return nil, err
	}
	snapshot := &Snapshot{ledger: st.ledger, pinned: st.ledger.db.NewSnapshot()}
	value, err := get(snapshot.pinned, []byte{prefixMeta})
	if err == nil {
		snapshot.meta, err = decodeMeta(value)
	}
	if err != nil {
		_ = snapshot.Close() // the error before it says more
		return nil, err
	}
	return snapshot, nil
}

// Index returns the index that the snapshot stands at.
func (s *Snapshot) Index() uint64 { return s.meta.applied }

// Epoch returns the epoch that its index is one of.
func (s *Snapshot) Epoch() uint64 { return s.meta.epoch }

// Close lets the snapshot go. The store can't close before.
func (s *Snapshot) Close() error {
	defer s.ledger.release()
	return s.pinned.Close()
}

// WriteTo writes the stream that Restore reads, and returns its length. Written again, it is the same. It takes a quarter of a processor at
// most.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) {
	out := &snapshotWriter{sum: sha256.New()}
	out.to = bufio.NewWriterSize(io.MultiWriter(w, out.sum), snapshotSpace)
	out.write([]byte(snapshotMagic))
	beside := newPace()
	err := eachState(s.pinned, s.meta.horizon, func(key, value []byte) error {
		out.writeBytes(key)
		out.writeBytes(value)
		out.pairs++
		beside.worked(len(key) + len(value))
		return out.err
	})
	if err != nil {
		return out.written, err
	}
	out.writeBytes(nil)
	out.write(binary.LittleEndian.AppendUint64(nil, out.pairs))
	if out.err == nil {
		out.err = out.to.Flush()
	}
	if out.err != nil {
		return out.written, out.err
	}
	n, err := w.Write(out.sum.Sum(nil))
	return out.written + int64(n), err
}

// eachState calls f for everything in a ledger that belongs to the state. Requests that are forgotten don't, though some are there still.
func eachState(from pebble.Reader, horizon uint64, f func(key, value []byte) error) error {
	if err := each(from, nil, []byte{prefixRequest}, f); err != nil {
		return err
	}
	return each(from, requestsFrom(horizon+1), nil, f)
}

type snapshotWriter struct {
	to      *bufio.Writer
	sum     hash.Hash
	pairs   uint64
	written int64
	err     error
}

func (w *snapshotWriter) write(text []byte) {
	if w.err == nil {
		_, w.err = w.to.Write(text)
		w.written += int64(len(text))
	}
}

func (w *snapshotWriter) writeBytes(text []byte) {
	var length [binary.MaxVarintLen64]byte
	w.write(length[:binary.PutUvarint(length[:], uint64(len(text)))])
	w.write(text)
}

// snapshotReader reads a stream and hashes what it reads.
type snapshotReader struct {
	from *bufio.Reader
	sum  hash.Hash
}

func newSnapshotReader(r io.Reader) *snapshotReader {
	return &snapshotReader{bufio.NewReaderSize(r, snapshotSpace), sha256.New()}
}

// ReadByte is for varints.
func (r *snapshotReader) ReadByte() (byte, error) {
	b, err := r.from.ReadByte()
	if err == nil {
		r.sum.Write([]byte{b})
	}
	return b, err
}

// read fills dst.
func (r *snapshotReader) read(dst []byte) error {
	if _, err := io.ReadFull(r.from, dst); err != nil {
		return err
	}
	r.sum.Write(dst)
	return nil
}

// readBytes reads a text with its length in front, into space if it fits. A length beyond the most that there can be is an error, so that
// a damaged one doesn't take all memory.
func (r *snapshotReader) readBytes(space []byte, most uint64) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	if n > most {
		return nil, fmt.Errorf("a text of %d bytes, where at most %d can be", n, most)
	}
	if uint64(cap(space)) < n {
		space = make([]byte, n)
	}
	return space[:n], r.read(space[:n])
}
