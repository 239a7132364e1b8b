package store

import (
	"encoding/binary"
	"io"
	"log/slog"
	"testing"

	"github.com/consentd/consentd/consent"

	"github.com/google/go-cmp/cmp"
)

const (
	firstStamp consent.Time = 1_800_000_000_000
	minute     consent.Time = 60 * second
	testTenant              = "shop"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// openStore opens a store that is closed when the test ends.
func openStore(tb testing.TB, o Options) *Store {
	tb.Helper()
	o.Logger = quiet
	s, err := Open(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closeStore(tb, s) })
	return s
}

func closeStore(tb testing.TB, s *Store) {
	tb.Helper()
	if err := s.Close(); err != nil {
		tb.Errorf("Close: %v", err)
	}
}

// feeder applies entries as a log would, and keeps them.
type feeder struct {
	tb    testing.TB
	store *Store
	stamp consent.Time
	ids   uint64
	log   [][]byte // the entry of index n is log[n-1]
}

func newFeeder(tb testing.TB, s *Store) *feeder {
	tb.Helper()
	return &feeder{tb: tb, store: s, stamp: firstStamp}
}

// apply applies one entry, a second after the one before.
func (f *feeder) apply(commands ...Command) []Result {
	f.tb.Helper()
	f.stamp += second
	f.log = append(f.log, EncodeEntry(f.stamp, commands))
	results, err := f.store.Apply(f.index(), f.log[len(f.log)-1])
	if err != nil {
		f.tb.Fatal(err)
	}
	return results
}

// index returns that of the newest entry.
func (f *feeder) index() uint64 { return uint64(len(f.log)) }

// id returns a new request id, made at the newest stamp.
func (f *feeder) id() consent.RequestID {
	f.ids++
	return requestID(f.stamp, f.ids)
}

// requestID returns the UUIDv7 of a time and a number.
func requestID(at consent.Time, number uint64) (id consent.RequestID) {
	binary.BigEndian.PutUint64(id[:], uint64(at)<<16|7<<12)
	binary.BigEndian.PutUint64(id[8:], 2<<62|number)
	return id
}

// write applies one write in an entry of its own.
func (f *feeder) write(key Key, events ...consent.Event) Result {
	f.tb.Helper()
	return f.apply(f.command(key, events...))[0]
}

func (f *feeder) command(key Key, events ...consent.Event) Command {
	w := &WriteCommand{Tenant: testTenant, RequestID: f.id()}
	for _, e := range events {
		w.Events = append(w.Events, KeyedEvent{key, e})
	}
	return Command{Write: w}
}

func (f *feeder) record(key Key) consent.Record {
	var buf Buffer
	return f.store.Record(key, &buf)
}

// replay returns a store that has applied the feeder's entries up to an index.
func (f *feeder) replay(index uint64) *Store {
	f.tb.Helper()
	s := openStore(f.tb, Options{})
	for i, entry := range f.log[:index] {
		if _, err := s.Apply(uint64(i+1), entry); err != nil {
			f.tb.Fatal(err)
		}
	}
	return s
}

func granted(at consent.Time, permissions ...string) consent.Event {
	return consent.Event{
		Kind: consent.Granted, OccurredAt: at, Scope: consent.Scope{Permissions: permissions},
		Evidence: consent.Evidence{NoticeVersion: 3, Method: consent.MethodWebForm, Source: "checkout", Reference: "form-1"},
	}
}

func event(kind consent.EventKind, at consent.Time, permissions ...string) consent.Event {
	return consent.Event{Kind: kind, OccurredAt: at, Scope: consent.Scope{Permissions: permissions}}
}

// stateHash returns the store's hash, which it has to have.
func stateHash(tb testing.TB, s *Store) [32]byte {
	tb.Helper()
	sum, err := s.StateHash()
	if err != nil {
		tb.Fatal(err)
	}
	return sum
}

// history returns all events of a subject, evidence included.
func history(tb testing.TB, s *Store, key Key) []consent.RecordedEvent {
	tb.Helper()
	events, more, err := s.History(key, consent.HistoryPage{Limit: 1000, IncludeRetained: true})
	if err != nil || more {
		tb.Fatalf("History: more %v, error %v", more, err)
	}
	return events
}

func checkEffects(tb testing.TB, r Result, want ...consent.Effect) {
	tb.Helper()
	if r.Err != nil {
		tb.Fatal(r.Err)
	}
	if diff := cmp.Diff(want, r.Effects); diff != "" {
		tb.Errorf("effects (-want +got):\n%s", diff)
	}
}
