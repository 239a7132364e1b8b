package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/cockroachdb/pebble/v2"
)

const (
	maxKeyBytes   = dueKeyBytes
	maxValueBytes = 64 << 20
	restoreBatch  = 4 << 20 // bytes
)

// RestoreOptions say what of a restored state is another than in the snapshot. The zero options change nothing.
type RestoreOptions struct {
	Index uint64 // not zero: the index that the state stands at
	Epoch uint64 // not zero: its epoch
}

// Restore replaces the state by that of a snapshot. It is built aside and verified whole, on disk and in memory, before anything of the
// old state is touched: until then an error leaves all as it was, and ErrSnapshot says that the stream is to blame. Readers go on with
// the old state until the new one takes its place at once. For as long there are two in memory and on disk.
func (s *Store) Restore(r io.Reader, o RestoreOptions) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	if s.closed.Load() {
		return ErrClosed
	}
	number := s.place.number + 1
	st, err := s.build(s.place.dirOf(number), r, o)
	if err != nil {
		return err
	}
	if err := s.place.moveTo(number); err != nil {
		// Which of the two the next start opens isn't known, so neither may go on.
		s.fail(fmt.Errorf("naming the restored ledger: %w", err))
		return err
	}
	s.install(st)
	// The old memory is unmapped when the collector finds that no reader is in it any more. It is too large to wait for that.
	runtime.GC()
	return nil
}

// build makes a state in a new directory, which is gone again if that fails.
func (s *Store) build(dir string, r io.Reader, o RestoreOptions) (st *state, err error) {
	if err := s.options.FS.RemoveAll(dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.options.FS.RemoveAll(dir))
		}
	}()
	if err := s.receive(dir, r, o); err != nil {
		return nil, err
	}
	return s.openState(dir)
}

// receive writes a stream to a new ledger, and closes it once all of it is durable. What is read from it after that has passed Pebble's
// checksums.
func (s *Store) receive(dir string, r io.Reader, o RestoreOptions) (err error) {
	l, err := openLedger(s.options.FS, dir, s.options.Logger, s.fail)
	if err != nil {
		return err
	}
	defer func() {
		l.release()
		if err == nil {
			err = l.closed
		}
	}()
	in := newSnapshotReader(r)
	if err := readSnapshot(in, l.db); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	if err := o.writeTo(l.db); err != nil {
		return err
	}
	return l.db.Flush()
}

// writeTo changes what the options say in a ledger.
func (o RestoreOptions) writeTo(db *pebble.DB) error {
	value, err := get(db, []byte{prefixMeta})
	if err != nil {
		return err
	}
	m, err := decodeMeta(value)
	if err != nil {
		return err
	}
	m.applied, m.epoch = cmp.Or(o.Index, m.applied), cmp.Or(o.Epoch, m.epoch)
	return db.Set([]byte{prefixMeta}, m.encode(), pebble.NoSync)
}

// readSnapshot writes all pairs to the database and compares their number and the checksum of all.
func readSnapshot(in *snapshotReader, to *pebble.DB) error {
	magic := make([]byte, len(snapshotMagic))
	if err := in.read(magic); err != nil {
		return err
	}
	if string(magic) != snapshotMagic {
		return fmt.Errorf("it begins with %q, not with %q", magic, snapshotMagic)
	}
	pairs, err := readPairs(in, to)
	if err != nil {
		return err
	}
	var count [8]byte
	if err := in.read(count[:]); err != nil {
		return err
	}
	if want := binary.LittleEndian.Uint64(count[:]); want != pairs {
		return fmt.Errorf("it has %d pairs, and says %d", pairs, want)
	}
	return in.verify()
}

// readPairs returns how many there were before the empty key that ends them.
func readPairs(in *snapshotReader, to *pebble.DB) (pairs uint64, err error) {
	batch := to.NewBatch()
	defer func() { _ = batch.Close() }() // it has no error to return once it is committed or given up
	var key, value, before []byte
	for {
		if key, err = in.readBytes(key, maxKeyBytes); err != nil {
			return pairs, err
		}
		if len(key) == 0 {
			return pairs, batch.Commit(pebble.NoSync)
		}
		if bytes.Compare(before, key) >= 0 {
			return pairs, fmt.Errorf("key %x follows %x", key, before)
		}
		before = append(before[:0], key...)
		if value, err = in.readBytes(value, maxValueBytes); err != nil {
			return pairs, err
		}
		if err := batch.Set(key, value, nil); err != nil {
			return pairs, err
		}
		pairs++
		if batch.Len() >= restoreBatch {
			if batch, err = commitAndGoOn(batch, to); err != nil {
				return pairs, err
			}
		}
	}
}

// commitAndGoOn commits a batch and returns a new one.
func commitAndGoOn(batch *pebble.Batch, to *pebble.DB) (*pebble.Batch, error) {
	if err := batch.Commit(pebble.NoSync); err != nil {
		return batch, err
	}
	return to.NewBatch(), batch.Close()
}

// verify compares the checksum at the stream's end, and makes sure that it is the end.
func (r *snapshotReader) verify() error {
	got := r.sum.Sum(nil)
	want := make([]byte, len(got))
	if err := r.read(want); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("its checksum is %x, and should be %x", got, want)
	}
	if _, err := r.from.ReadByte(); !errors.Is(err, io.EOF) {
		return errors.Join(errors.New("it goes on after its end"), err)
	}
	return nil
}
