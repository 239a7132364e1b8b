package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/consentd/consentd/store"
)

// sink takes a snapshot that Raft makes or receives. It implements raft.SnapshotSink.
type sink struct {
	store *snapshotStore
	info  snapshotInfo
	file  *fileWriter // of a stream; nil until something is written
	check *store.StreamCheck
	done  bool
}

// ID implements raft.SnapshotSink.
func (s *sink) ID() string { return s.info.meta.ID }

// Write takes a part of a stream from another replica.
func (s *sink) Write(p []byte) (int, error) {
	if s.file == nil {
		f, err := s.store.fs.Create(s.path()+temporarySuffix, vfs.WriteCategoryUnspecified)
		if err != nil {
			return 0, err
		}
		s.file, s.check = &fileWriter{file: f}, store.NewStreamCheck()
	}
	_, _ = s.check.Write(p[min(len(p), max(0, streamHeadBytes-int(s.info.meta.Size))):]) // it never fails
	n, err := s.file.Write(p)
	s.info.meta.Size += int64(n)
	return n, err
}

// Close makes the snapshot the newest, durably.
func (s *sink) Close() error {
	if s.done {
		return nil
	}
	s.done = true
	if s.file != nil {
		if err := s.finishStream(); err != nil {
			return err
		}
	}
	return s.store.keep(&s.info)
}

// finishStream makes the stream durable under its name, if it is whole: what was damaged on its way must be sent again, and not be what
// this replica has.
func (s *sink) finishStream() error {
	if err := errors.Join(s.check.Err(), s.file.file.Sync(), s.file.file.Close()); err != nil {
		return errors.Join(fmt.Errorf("receiving snapshot %s: %w", s.ID(), err), s.store.fs.Remove(s.path()+temporarySuffix))
	}
	if err := s.store.fs.Rename(s.path()+temporarySuffix, s.path()); err != nil {
		return err
	}
	f, err := s.store.fs.Open(s.path())
	if err != nil {
		return err
	}
	s.info.streamed = true
	s.info.covers, err = readStreamHead(f)
	return errors.Join(err, f.Close(), syncDir(s.store.fs, s.store.dir))
}

// Cancel implements raft.SnapshotSink.
func (s *sink) Cancel() error {
	if s.done {
		return nil
	}
	s.done = true
	if s.file == nil {
		return nil
	}
	return errors.Join(s.file.file.Close(), s.store.fs.Remove(s.path()+temporarySuffix))
}

func (s *sink) path() string { return s.store.path(s.ID() + streamSuffix) }

// openStream opens the newest snapshot's stream, if it came from another replica.
func (ss *snapshotStore) openStream() (io.ReadCloser, error) {
	info := ss.latest()
	if info == nil || !info.streamed {
		return nil, os.ErrNotExist
	}
	return ss.fs.Open(ss.path(info.meta.ID + streamSuffix))
}
