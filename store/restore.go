package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"
)

const (
	maxKeyBytes   = dueKeyBytes
	maxValueBytes = 64 << 20
	restoreBatch  = 4 << 20 // bytes
)

// Restore replaces the state by that of a snapshot. It is built aside and verified whole, on disk and in memory, before anything of the
// old state is touched: until then an error leaves all as it was, and ErrSnapshot says that the stream is to blame. Readers go on with
// the old state until the new one takes its place at once. For as long there are two in memory and on disk.
func (s *Store) Restore(r io.Reader) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	if s.closed.Load() {
		return ErrClosed
	}
	s.state.Load().endRestoring()
	number := s.place.number + 1
	st, err := s.build(s.place.dirOf(number), r, nil)
	if err != nil {
		return err
	}
	return s.moveTo(number, st)
}

// build makes a state in a new directory, which is gone again if that fails. With a rebase, it is one of this cluster's.
func (s *Store) build(dir string, r io.Reader, to *rebase) (st *state, err error) {
	if err := s.options.FS.RemoveAll(dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.options.FS.RemoveAll(dir))
		}
	}()
	if err := s.receive(dir, r, to); err != nil {
		return nil, err
	}
	return s.openState(dir, newPace)
}

// receive writes a stream to a new ledger, and closes it once all of it is durable. What is read from it after that has passed Pebble's
// checksums.
func (s *Store) receive(dir string, r io.Reader, to *rebase) (err error) {
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
	if err := load(r, l.db, to); err != nil {
		return err
	}
	return l.db.Flush()
}

// load writes all pairs of a stream to a database.
func load(r io.Reader, db *pebble.DB, to *rebase) error {
	batch, beside := db.NewBatch(), newPace()
	err := readSnapshot(r, func(key, value []byte) (err error) {
		beside.worked(len(key) + len(value))
		if to != nil {
			err = unreadable(to.set(batch, key, value)) // of the pair: a batch is in memory
		} else {
			err = batch.Set(key, value, nil)
		}
		if err == nil && batch.Len() >= restoreBatch {
			batch, err = commitAndGoOn(batch, db)
		}
		return err
	})
	if err == nil && to != nil {
		err = unreadable(to.check.finish())
	}
	if err == nil {
		err = batch.Commit(pebble.NoSync)
	}
	return errors.Join(err, batch.Close())
}

// readSnapshot calls f for all pairs of a stream until it returns an error, and compares their number and the checksum of all. What is wrong
// with the stream is ErrSnapshot; an error of f is returned as it is, unless it blames a stream that is damaged. Key and value are valid only
// during the call.
func readSnapshot(r io.Reader, f func(key, value []byte) error) error {
	var failed error
	err := readStream(newSnapshotReader(r), func(key, value []byte) error {
		if failed == nil {
			failed = f(key, value)
		}
		if errors.Is(failed, ErrSnapshot) { // a pair that can't be read may be damaged, which the checksum at the end tells
			return nil
		}
		return failed
	})
	switch {
	case err == nil, failed != nil && !errors.Is(failed, ErrSnapshot):
		return failed
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return unreadable(err)
}

// unreadable says of an error that the stream is to blame, and nothing but its bytes: whoever reads them finds the same.
func unreadable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrSnapshot, err)
}

func readStream(in *snapshotReader, f func(key, value []byte) error) error {
	magic := make([]byte, len(snapshotMagic))
	if err := in.read(magic); err != nil {
		return err
	}
	if string(magic) != snapshotMagic {
		return notOurs(magic)
	}
	pairs, err := readPairs(in, f)
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
func readPairs(in *snapshotReader, f func(key, value []byte) error) (pairs uint64, err error) {
	var key, value, before []byte
	for {
		if key, err = in.readBytes(key, maxKeyBytes); err != nil {
			return pairs, err
		}
		if len(key) == 0 {
			return pairs, nil
		}
		if bytes.Compare(before, key) >= 0 {
			return pairs, fmt.Errorf("key %x follows %x", key, before)
		}
		before = append(before[:0], key...)
		if value, err = in.readBytes(value, maxValueBytes); err != nil {
			return pairs, err
		}
		if err := f(key, value); err != nil {
			return pairs, err
		}
		pairs++
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
		return errors.New("its checksum isn't that of what it holds")
	}
	if _, err := r.from.ReadByte(); !errors.Is(err, io.EOF) {
		return errors.Join(errors.New("it goes on after its end"), err)
	}
	return nil
}
