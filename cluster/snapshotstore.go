package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/consentd/consentd/store"
	"github.com/hashicorp/raft"
)

const (
	markerSuffix = ".snapshot" // what Raft has to know of a snapshot
	streamSuffix = ".state"    // the stream of one that came from another replica
	snapshotForm = 1
)

// snapshotStore keeps the newest snapshot. It implements raft.SnapshotStore.
//
// One that this replica took is only a marker; its stream is made when a follower asks. One that came from another replica lies beside
// its marker as a stream, until the next snapshot.
type snapshotStore struct {
	fs    vfs.FS
	dir   string
	store *store.Store                         // to make streams of
	hold  func(behind uint64) (release func()) // the log; nil in tests of snapshots alone

	made  durations     // of making streams for other replicas
	bytes atomic.Uint64 // of those streams

	keeping sync.Mutex // held by who makes a snapshot the newest

	mu     sync.Mutex
	newest *snapshotInfo // nil for none
	names  int           // streams and snapshots so far, to name them apart
}

// snapshotInfo is what a marker holds.
type snapshotInfo struct {
	meta     raft.SnapshotMeta
	covers   uint64 // the store's index that was durable, or is in the stream
	streamed bool
}

// openSnapshotStore opens or makes the snapshots in a directory.
func openSnapshotStore(fs vfs.FS, dir string, s *store.Store) (*snapshotStore, error) {
	if err := makeDir(fs, dir); err != nil {
		return nil, err
	}
	names, err := fs.List(dir)
	if err != nil {
		return nil, err
	}
	ss := &snapshotStore{fs: fs, dir: dir, store: s}
	for _, name := range names {
		if strings.HasSuffix(name, temporarySuffix) { // left by a crash
			if err := fs.Remove(ss.path(name)); err != nil {
				return nil, err
			}
		}
		if !strings.HasSuffix(name, markerSuffix) {
			continue
		}
		info, err := ss.read(name)
		if err != nil {
			return nil, err
		}
		if ss.newest == nil || ss.newest.before(info) {
			ss.newest = info
		}
	}
	if err := ss.reap(); err != nil {
		return nil, err
	}
	return ss, nil
}

// before says whether another snapshot is newer. Of two at the same index, the one that covers more is.
func (s *snapshotInfo) before(other *snapshotInfo) bool {
	a, b := s.meta, other.meta
	return a.Index < b.Index || a.Index == b.Index && s.covers < other.covers
}

// Create implements raft.SnapshotStore.
func (ss *snapshotStore) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, _ raft.Transport,
) (raft.SnapshotSink, error) {
	if version != raft.SnapshotVersionMax {
		return nil, fmt.Errorf("snapshots of version %d aren't supported", version)
	}
	return &sink{store: ss, info: snapshotInfo{meta: raft.SnapshotMeta{
		Version: version, ID: ss.name(index, term), Index: index, Term: term,
		Configuration: configuration, ConfigurationIndex: configurationIndex,
	}}}, nil
}

// name returns a new name for a snapshot.
func (ss *snapshotStore) name(index, term uint64) string {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for {
		ss.names++
		id := fmt.Sprintf("%d-%d-%d", index, term, ss.names)
		if ss.newest == nil || ss.newest.meta.ID != id {
			return id
		}
	}
}

// List implements raft.SnapshotStore.
func (ss *snapshotStore) List() ([]*raft.SnapshotMeta, error) {
	info := ss.latest()
	if info == nil {
		return nil, nil
	}
	meta := info.meta
	return []*raft.SnapshotMeta{&meta}, nil
}

func (ss *snapshotStore) latest() *snapshotInfo {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.newest
}

// Open implements raft.SnapshotStore. The log is kept from the snapshot's last entry on, until the stream has been sent.
func (ss *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	info := ss.latest()
	if ss.hold == nil || info == nil {
		return ss.open(id)
	}
	release := ss.hold(info.meta.Index - 1) // Raft looks for the entry that it ends at, before it sends the next
	meta, stream, err := ss.open(id)
	if err != nil {
		release()
		return nil, nil, err
	}
	held := &heldStream{ReadCloser: stream}
	held.close = sync.OnceValue(func() error {
		defer release()
		return stream.Close()
	})
	return meta, held, nil
}

// heldStream lets the log be cut after Close, which may be called again.
type heldStream struct {
	io.ReadCloser
	close func() error
}

// Close implements io.Closer.
func (s *heldStream) Close() error { return s.close() }

// open is Open without regard to the log. Raft needs the stream's exact size beforehand, so the stream is written to a file first.
func (ss *snapshotStore) open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	info := ss.latest()
	if info == nil || info.meta.ID != id {
		return nil, nil, fmt.Errorf("snapshot %s is gone", id)
	}
	meta := info.meta
	if info.streamed {
		f, err := ss.fs.Open(ss.path(id + streamSuffix))
		return &meta, f, err
	}
	stream, size, err := ss.materialise(info)
	meta.Size = size
	return &meta, stream, err
}

// materialise makes the stream of a marker's snapshot, which covers what the marker does or more.
func (ss *snapshotStore) materialise(info *snapshotInfo) (stream io.ReadCloser, size int64, err error) {
	path := ss.path(ss.name(info.meta.Index, info.meta.Term) + streamSuffix + temporarySuffix)
	f, err := ss.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, 0, err
	}
	began := time.Now()
	covers, err := writeStream(ss.store, &fileWriter{file: f})
	if err == nil && covers < info.covers {
		err = fmt.Errorf("the state stands at %d, behind %d of its snapshot", covers, info.covers)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, 0, errors.Join(err, ss.fs.Remove(path))
	}
	written, err := ss.fs.Stat(path)
	if err == nil {
		f, err = ss.fs.Open(path)
	}
	if err != nil {
		return nil, 0, errors.Join(err, ss.fs.Remove(path))
	}
	ss.made.add(time.Since(began))
	ss.bytes.Add(uint64(written.Size())) //nolint:gosec // no file has less than nothing
	return &temporaryFile{File: f, remove: func() error { return ss.fs.Remove(path) }}, written.Size(), nil
}

// temporaryFile is removed when it is closed.
type temporaryFile struct {
	vfs.File
	remove func() error
}

// Close implements io.Closer.
func (f *temporaryFile) Close() error { return errors.Join(f.File.Close(), f.remove()) }

// errOvertaken is returned for a snapshot of our own if a newer one came from another replica meanwhile. Raft has removed its log for that
// one, so the older must not take its place: a start would take the log for lost.
var errOvertaken = errors.New("a newer snapshot came from another replica meanwhile")

// keep makes a snapshot the newest, durably, and removes the one before. One of our own that holds nothing new is left out.
func (ss *snapshotStore) keep(info *snapshotInfo) error {
	ss.keeping.Lock()
	defer ss.keeping.Unlock()
	if newest := ss.latest(); !info.streamed && newest != nil && newest.streamed {
		switch {
		case newest.meta.Index > info.meta.Index:
			return errOvertaken
		case newest.meta.Index == info.meta.Index:
			return nil
		}
	}
	if err := writeDurably(ss.fs, ss.dir, info.meta.ID+markerSuffix, info.encode()); err != nil {
		return fmt.Errorf("keeping snapshot %s: %w", info.meta.ID, err)
	}
	ss.mu.Lock()
	ss.newest = info
	ss.mu.Unlock()
	return ss.reap()
}

// reap removes everything but the newest snapshot and what is being written.
func (ss *snapshotStore) reap() error {
	names, err := ss.fs.List(ss.dir)
	if err != nil {
		return err
	}
	newest := ss.latest()
	for _, name := range names {
		isNewest := newest != nil && strings.HasPrefix(name, newest.meta.ID+".")
		isMarkerOrStream := strings.HasSuffix(name, markerSuffix) || strings.HasSuffix(name, streamSuffix)
		if !isMarkerOrStream || isNewest {
			continue
		}
		if err := ss.fs.Remove(ss.path(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (ss *snapshotStore) path(name string) string { return ss.fs.PathJoin(ss.dir, name) }

// read reads a marker.
func (ss *snapshotStore) read(name string) (*snapshotInfo, error) {
	contents, err := readFile(ss.fs, ss.path(name))
	if err != nil {
		return nil, err
	}
	info, ok := decodeSnapshot(contents)
	if !ok {
		return nil, fmt.Errorf("the snapshot %s is damaged", ss.path(name))
	}
	info.meta.ID = strings.TrimSuffix(name, markerSuffix)
	return info, nil
}

// encode returns the contents of a marker: format, index, term, what it covers, the stream's size or 0, and the configuration with its
// index; then crc32c.
func (s *snapshotInfo) encode() []byte {
	dst := []byte{snapshotForm}
	for _, n := range []uint64{s.meta.Index, s.meta.Term, s.covers, uint64(s.meta.Size), s.meta.ConfigurationIndex} {
		dst = binary.AppendUvarint(dst, n)
	}
	dst = append(dst, raft.EncodeConfiguration(s.meta.Configuration)...)
	return binary.LittleEndian.AppendUint32(dst, entryChecksum(0, dst))
}

func decodeSnapshot(contents []byte) (*snapshotInfo, bool) {
	body, ok := checkedBody(0, contents)
	if !ok {
		return nil, false
	}
	r := fieldReader{rest: body}
	format := r.byte()
	index, term, covers, size, configurationIndex := r.uvarint(), r.uvarint(), r.uvarint(), r.uvarint(), r.uvarint()
	configuration, ok := decodeConfiguration(r.rest)
	if r.short || format != snapshotForm || !ok {
		return nil, false
	}
	return &snapshotInfo{
		meta: raft.SnapshotMeta{
			Version: raft.SnapshotVersionMax, Index: index, Term: term, Size: int64(size),
			Configuration: configuration, ConfigurationIndex: configurationIndex,
		},
		covers: covers, streamed: size > 0,
	}, true
}

// decodeConfiguration is raft.DecodeConfiguration, which panics at what it can't read.
func decodeConfiguration(encoded []byte) (c raft.Configuration, ok bool) {
	defer func() { ok = recover() == nil }()
	return raft.DecodeConfiguration(encoded), true
}
