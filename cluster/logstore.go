package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/consentd/consentd/store"
	"github.com/hashicorp/raft"
)

// errLogClosed is returned after Close. Raft's own goroutines may outlive it for a moment, and Pebble panics when used then.
var errLogClosed = errors.New("the log is closed")

// The two kinds of keys: entries by index, and what Raft keeps beside them (its term and its vote).
const (
	entryPrefix  = 'e'
	stablePrefix = 's'
	indexEnd     = entryPrefix + 1
)

const (
	logCacheBytes    = 8 << 20
	logMemTableBytes = 16 << 20
)

// logStore is Raft's log and stable store. Whatever a call wrote is on disk when it returns.
//
// It implements raft.LogStore, raft.MonotonicLogStore and raft.StableStore.
type logStore struct {
	onDamage func(error)
	// acknowledge is called once something is written that Raft may tell others of, before it does. It is set before Raft runs.
	acknowledge func() error

	recent recentEntries
	holds  logHolds

	believed atomic.Uint64 // see believe

	// writing lets one commit at a time wait for the disk: see checkWAL.
	writing sync.Mutex

	mu          sync.RWMutex // held for reading while db is in use, for writing to close it and to move first and last
	db          *pebble.DB   // nil once closed
	first, last uint64       // 0 if there are no entries
}

// openLogStore opens or makes the log in a directory. It calls onDamage when an entry can't be read, and when Pebble fails behind the
// scenes; logger gets Pebble's messages.
func openLogStore(fs vfs.FS, dir string, logger pebble.Logger, onDamage func(error)) (*logStore, error) {
	if err := checkWAL(fs, dir); err != nil {
		return nil, err
	}
	s := &logStore{onDamage: onDamage}
	db, err := store.OpenDatabase(dir, &pebble.Options{
		FS:        fs,
		Logger:    logger,
		CacheSize: logCacheBytes,
		// A log is written, read once or not at all, and cut: much of it never has to leave the memtable.
		MemTableSize:       logMemTableBytes,
		FormatMajorVersion: pebble.FormatTableFormatV6,
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { onDamage(fmt.Errorf("the log's database: %w", store.InFile(err))) },
			DataCorruption: func(d pebble.DataCorruptionInfo) {
				onDamage(fmt.Errorf("%w: %s: %w", errDamagedEntry, d.Path, d.Details))
			},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("opening the log in %s: %w", dir, err)
	}
	s.db = db
	if err := s.findEnds(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// bytes returns how much of the disk the log takes, 0 once it is closed.
func (s *logStore) bytes() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return 0
	}
	return s.db.Metrics().DiskSpaceUsage()
}

// Close closes the log. Calls after it return an error.
func (s *logStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return nil
	}
	err := s.db.Close()
	s.db = nil
	return err
}

// IsMonotonic tells Raft to remove all entries when it installs a snapshot, so that there is never a hole between them.
func (s *logStore) IsMonotonic() bool { return true }

// FirstIndex returns the index of the oldest entry, 0 if there is none.
func (s *logStore) FirstIndex() (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.first, nil
}

// LastIndex returns the index of the newest entry, 0 if there is none.
func (s *logStore) LastIndex() (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.last, nil
}

// GetLog returns an entry, or raft.ErrLogNotFound. The newest ones come from memory, after they are on disk.
func (s *logStore) GetLog(index uint64, l *raft.Log) error {
	if s.recent.get(index, l) {
		return nil
	}
	entry, err := s.get(entryKey(index))
	switch {
	case errors.Is(err, pebble.ErrNotFound) && index != 0 && index == s.believed.Load():
		*l = raft.Log{Index: index}
		return nil
	case errors.Is(err, pebble.ErrNotFound):
		return raft.ErrLogNotFound
	case errors.Is(err, errLogClosed):
		return err
	case err != nil:
		err = fmt.Errorf("entry %d can't be read: %w", index, store.InFile(err))
	default:
		err = decodeEntry(index, entry, l)
	}
	if err != nil {
		s.onDamage(err)
	}
	return err
}

// believe has GetLog return an entry of no term for an index that isn't there, until believe(0): see snapshotseam.go.
func (s *logStore) believe(index uint64) { s.believed.Store(index) }

// StoreLog writes an entry.
func (s *logStore) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs writes entries, together or not at all.
func (s *logStore) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	if err := s.acknowledged(s.commit(func(b *pebble.Batch) error {
		var value []byte
		for _, l := range logs {
			value = appendEntry(value[:0], l)
			if err := b.Set(entryKey(l.Index), value, nil); err != nil {
				return err
			}
		}
		return nil
	})); err != nil {
		return fmt.Errorf("storing %d log entries from %d: %w", len(logs), logs[0].Index, err)
	}
	s.recent.add(logs)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == 0 {
		s.first = logs[0].Index
	}
	s.last = max(s.last, logs[len(logs)-1].Index)
	return nil
}

// DeleteRange removes the entries from lowest to highest. A cut at the front leaves what is held.
func (s *logStore) DeleteRange(lowest, highest uint64) error {
	if s.cuts(lowest, highest) {
		if highest = s.holds.bound(highest); highest < lowest {
			return nil
		}
	}
	s.recent.remove(lowest, highest)
	if err := s.commit(func(b *pebble.Batch) error { return b.DeleteRange(entryKey(lowest), keyAfter(highest), nil) }); err != nil {
		return fmt.Errorf("removing log entries %d to %d: %w", lowest, highest, err)
	}
	return s.findEnds()
}

// cuts reports whether entries are removed because a snapshot has them: those at the front, and not all.
func (s *logStore) cuts(lowest, highest uint64) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return lowest <= s.first && highest < s.last
}

// Set writes a value of Raft's stable store.
func (s *logStore) Set(key, value []byte) error {
	return s.acknowledged(s.set(key, value))
}

func (s *logStore) set(key, value []byte) error {
	return s.commit(func(b *pebble.Batch) error { return b.Set(stableKey(key), value, nil) })
}

// Get returns a value of Raft's stable store, and nothing if there is none.
func (s *logStore) Get(key []byte) ([]byte, error) {
	value, err := s.get(stableKey(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	return value, err
}

// SetUint64 writes a number of Raft's stable store. A term of 0, which Raft writes when it starts for the first time, tells nobody anything.
func (s *logStore) SetUint64(key []byte, value uint64) error {
	encoded := binary.BigEndian.AppendUint64(nil, value)
	if value == 0 {
		return s.set(key, encoded)
	}
	return s.Set(key, encoded)
}

// GetUint64 returns a number of Raft's stable store, and 0 if there is none.
func (s *logStore) GetUint64(key []byte) (uint64, error) {
	value, err := s.Get(key)
	if err != nil || len(value) == 0 {
		return 0, err
	}
	if len(value) != 8 {
		return 0, fmt.Errorf("%s of Raft's stable store has %d bytes instead of 8: %w", key, len(value), errDamagedEntry)
	}
	return binary.BigEndian.Uint64(value), nil
}

// verify reads all entries from an index on, and returns an error for the first that is damaged or missing. Raft would panic.
func (s *logStore) verify(from uint64) error {
	s.mu.RLock()
	first, last := s.first, s.last
	s.mu.RUnlock()
	var l raft.Log
	for index := max(from, first); index != 0 && index <= last; index++ {
		if err := s.GetLog(index, &l); err != nil {
			if errors.Is(err, raft.ErrLogNotFound) {
				return fmt.Errorf("entry %d is missing between %d and %d: %w", index, first, last, errDamagedEntry)
			}
			return err
		}
	}
	return nil
}

// findEnds looks for the first and the last entry.
func (s *logStore) findEnds() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return errLogClosed
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{entryPrefix}, UpperBound: []byte{indexEnd}})
	if err != nil {
		return err
	}
	s.first, s.last = 0, 0
	if it.First() {
		s.first = indexOf(it.Key())
	}
	if it.Last() {
		s.last = indexOf(it.Key())
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return fmt.Errorf("looking for the ends of the log: %w", store.InFile(err))
	}
	return nil
}

// commit writes a batch and waits until it is on disk.
func (s *logStore) commit(fill func(*pebble.Batch) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return errLogClosed
	}
	b := s.db.NewBatch()
	if err := fill(b); err != nil {
		return errors.Join(err, b.Close())
	}
	durably := pebble.Sync
	if bug("skip the sync of the log") {
		durably = pebble.NoSync
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	return errors.Join(b.Commit(durably), b.Close())
}

// acknowledged returns what a write comes to that Raft may tell others of.
func (s *logStore) acknowledged(err error) error {
	if err != nil || s.acknowledge == nil {
		return err
	}
	return s.acknowledge()
}

// get returns a copy of the value of a key.
func (s *logStore) get(key []byte) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return nil, errLogClosed
	}
	value, closer, err := s.db.Get(key)
	if err != nil {
		return nil, err
	}
	return slices.Clone(value), closer.Close()
}

func entryKey(index uint64) []byte { return binary.BigEndian.AppendUint64([]byte{entryPrefix}, index) }

// keyAfter returns the first key behind an entry's.
func keyAfter(index uint64) []byte { return append(entryKey(index), 0) }

func indexOf(key []byte) uint64 { return binary.BigEndian.Uint64(key[1:]) }

func stableKey(key []byte) []byte { return append([]byte{stablePrefix}, key...) }
