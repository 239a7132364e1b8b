package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/consentd/consentd/consent"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options say where a store lies. The zero Options keep everything in memory, which is for tests.
type Options struct {
	Dir    string       // the store's own; made if it isn't there
	FS     vfs.FS       // that of the operating system by default, or one in memory if Dir is empty
	Logger *slog.Logger // slog.Default by default
	// Changes is how many changes of records are remembered for those who follow them, 16 bytes each. 262,144 by default.
	Changes int
}

func (o Options) withDefaults() Options {
	if o.FS == nil && o.Dir == "" {
		o.FS = vfs.NewMem()
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	o.Dir = cmp.Or(o.Dir, "store")
	o.Logger = cmp.Or(o.Logger, slog.Default())
	o.Changes = cmp.Or(o.Changes, defaultChanges)
	return o
}

// Store is the replicated state of one replica. All its methods may be called at the same time; Apply, Advance, Preview and Restore wait
// for each other.
type Store struct {
	options  Options
	place    *place
	failure  failure
	closed   atomic.Bool
	applied  progress
	applying sync.Mutex // held by who changes the state
	state    atomic.Pointer[state]
}

// state is all that a restored snapshot replaces at once.
type state struct {
	memory  *memory
	ledger  *ledger
	changes *changes
	head    atomic.Pointer[consent.Head]

	settings atomic.Pointer[settings]

	// Of who holds Store.applying.
	meta     meta
	requests *requests
	nextDue  consent.Time // when the next evidence is to be removed

	restoring *restoring // nil unless one is on its way
}

// begin publishes the first head of a state.
func (st *state) begin(head *consent.Head) {
	st.changes.begin(head)
	st.head.Store(head)
}

func (st *state) tenants() map[string]*consent.Tenant { return st.head.Load().Tenants }

// Open opens the ledger, or makes a new one, and fills the memory from it. ErrLedger means that it is damaged.
func Open(o Options) (*Store, error) {
	o = o.withDefaults()
	s := &Store{options: o, failure: newFailure()}
	var err error
	if s.place, err = openPlace(o.FS, o.Dir); err != nil {
		return nil, err
	}
	st, err := s.openState(s.place.ledgerDir(), unpaced)
	if err != nil {
		s.place.close()
		return nil, err
	}
	s.install(st)
	return s, nil
}

// install makes a state the current one. The one before goes once its last reader has left.
func (s *Store) install(st *state) {
	old := s.state.Swap(st)
	s.applied.set(st.meta.applied)
	if old != nil {
		old.ledger.obsolete.Store(true)
		old.ledger.release()
	}
}

// fail reports the first error after which the process must end. Pebble tries again for ever, so that those after it aren't even logged.
func (s *Store) fail(err error) {
	if s.failure.report(err) {
		s.options.Logger.Error("the store failed", "error", err)
	}
}

// Failed returns a channel with the first error that the ledger met in the background, such as a failed flush or a damaged block. The
// process has to end then: what is in memory may never become durable.
func (s *Store) Failed() <-chan error { return s.failure.told }

// Head returns the newest published moment of the state. Records read after it are at least as new.
func (s *Store) Head() *consent.Head { return s.state.Load().head.Load() }

// Applied returns the index up to which the log is applied and visible.
func (s *Store) Applied() uint64 { return s.applied.get() }

// WaitApplied returns nil once the log is applied and visible up to an index, or the context's error, or ErrClosed.
func (s *Store) WaitApplied(ctx context.Context, index uint64) error {
	return s.applied.wait(ctx, index)
}

// Record returns a subject's record, nil if nothing is recorded. It lies in buf, or is allocated if it is longer. It takes no lock and
// reads no disk.
func (s *Store) Record(key Key, buf *Buffer) consent.Record {
	return s.state.Load().memory.get(key, buf)
}

// RecordOf is Record for who will read the record by the numbers and names of a tenant of an earlier Head. ErrRestored means that they
// are those of another state. The record and the state's epoch are read of one and the same state, so that neither can be exchanged
// between the two.
func (s *Store) RecordOf(t *consent.Tenant, key Key, buf *Buffer) (consent.Record, error) {
	st := s.state.Load()
	if st.head.Load().Revision.Epoch != t.Epoch {
		return nil, ErrRestored
	}
	return st.memory.get(key, buf), nil
}

// RecordsOf is RecordOf for several subjects, at most consent.BlockSize, in less time than one by one. Each record is as it was at some moment of
// the call.
func (s *Store) RecordsOf(t *consent.Tenant, keys []Key, into *consent.Block) error {
	st := s.state.Load()
	if st.head.Load().Revision.Epoch != t.Epoch {
		return ErrRestored
	}
	st.memory.getSeveral(keys, into)
	return nil
}

// EachRecord calls f for every record of a tenant, until f returns an error, which it returns, or ErrRestored if the tenant is one of
// before a restore. The record is valid only during the call. A subject that is written meanwhile is seen before or after, or, if it is
// new, maybe not at all.
func (s *Store) EachRecord(t *consent.Tenant, f func(consent.Record) error) (err error) {
	st := s.state.Load()
	if st.head.Load().Revision.Epoch != t.Epoch {
		return ErrRestored
	}
	st.memory.each(func(_ Key, words []uint64) bool {
		if record := consent.Record(words); record.Tenant() == t.Number {
			err = f(record)
		}
		return err == nil
	})
	return err
}

// Sync makes durable what is applied, and returns the index up to which that is. Entries are applied meanwhile.
func (s *Store) Sync() (applied uint64, err error) {
	l, applied, err := s.writeMeta()
	if err != nil {
		return 0, err
	}
	defer l.release()
	// Pebble's log is in the order of the writes, so that syncing one syncs all before.
	if err := l.db.LogData(nil, pebble.Sync); err != nil {
		return 0, fmt.Errorf("syncing the ledger: %w", err)
	}
	return applied, nil
}

// writeMeta writes what the state stands at, which Advance doesn't, and returns its ledger, of which the caller is a user now.
func (s *Store) writeMeta() (l *ledger, applied uint64, err error) {
	s.applying.Lock()
	defer s.applying.Unlock()
	st, err := s.acquire()
	if err != nil {
		return nil, 0, err
	}
	if st.restoring != nil { // it stands in the ledger since that began
		return st.ledger, st.meta.applied, nil
	}
	if err := st.ledger.db.Set([]byte{prefixMeta}, st.meta.encode(), pebble.NoSync); err != nil {
		st.ledger.release()
		return nil, 0, fmt.Errorf("writing the applied index: %w", err)
	}
	return st.ledger, st.meta.applied, nil
}

// reading calls f with the current state, whose ledger stays open meanwhile.
func (s *Store) reading(f func(*state) error) error {
	st, err := s.acquire()
	if err != nil {
		return err
	}
	defer st.ledger.release()
	return f(st)
}

// acquire returns the current state as one of its ledger's users.
func (s *Store) acquire() (*state, error) {
	for !s.closed.Load() {
		if st := s.state.Load(); st.ledger.acquire() {
			return st, nil
		}
	}
	return nil, ErrClosed
}

// Close waits for those who read the ledger, and closes it. Records can still be read, as they were; everything else returns ErrClosed.
func (s *Store) Close() error {
	s.applying.Lock()
	defer s.applying.Unlock()
	if s.closed.Swap(true) {
		return nil
	}
	s.applied.end()
	s.state.Load().endRestoring()
	l := s.state.Load().ledger
	flushed := s.flush(l.db)
	l.release()
	<-l.gone
	s.place.close()
	return errors.Join(flushed, l.closed)
}

// flush spares the next start to replay Pebble's log, which takes longer than reading sorted files. It gives up when the store has failed:
// Pebble never does.
func (s *Store) flush(db *pebble.DB) error {
	select {
	case <-s.failure.happened:
		return nil
	default:
	}
	flushed, err := db.AsyncFlush()
	if err != nil {
		return fmt.Errorf("flushing the ledger: %w", err)
	}
	select {
	case <-flushed:
		return nil
	case <-s.failure.happened:
		return s.failure.first
	}
}
