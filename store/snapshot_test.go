package store

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/consentd/consentd/consent"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// snapshotOf returns a store's stream.
func snapshotOf(tb testing.TB, s *Store) []byte {
	tb.Helper()
	snapshot, err := s.Snapshot()
	if err != nil {
		tb.Fatal(err)
	}
	defer func() {
		if err := snapshot.Close(); err != nil {
			tb.Error(err)
		}
	}()
	var stream bytes.Buffer
	n, err := snapshot.WriteTo(&stream)
	if err != nil || n != int64(stream.Len()) {
		tb.Fatalf("WriteTo = %d, %v, and wrote %d bytes", n, err, stream.Len())
	}
	return stream.Bytes()
}

// restore replaces the state of one store by that of another.
func restore(tb testing.TB, to, from *Store) {
	tb.Helper()
	if err := to.Restore(bytes.NewReader(snapshotOf(tb, from))); err != nil {
		tb.Fatal(err)
	}
}

func TestRestoreBringsTheWholeState(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	f.apply(Command{TermStart: &TermStart{Term: 3, CheckValue: [16]byte{9}, Epoch: 5}})
	feedMixed(f, 100)
	o := Options{FS: vfs.NewMem(), Dir: "dir"}
	other := openStore(t, o)
	newFeeder(t, other).write(nthKey(77), granted(0, "old/state"))
	restore(t, other, f.store)
	checkSame := func(when string) {
		t.Helper()
		if other.Applied() != f.store.Applied() || other.Head().Revision != f.store.Head().Revision {
			t.Errorf("%s: applied %d, head %v; want %d, %v", when, other.Applied(), other.Head().Revision, f.store.Applied(),
				f.store.Head().Revision)
		}
		if stateHash(t, other) != stateHash(t, f.store) {
			t.Errorf("%s: the states differ", when)
		}
	}
	checkSame("after the restore")
	closeStore(t, other)
	other = openStore(t, o)
	checkSame("after a start")
	names, err := o.FS.List(o.Dir)
	if err != nil || len(names) != 3 {
		t.Errorf("the store's directory holds %v, %v; want a lock, a marker, and one ledger", names, err)
	}
	f.log = f.log[:f.index()]
	first := f.store
	c := f.command(nthKey(1), granted(0, "newsletter/email"))
	f.apply(c)
	if _, err := other.Apply(f.index(), f.log[f.index()-1]); err != nil {
		t.Fatal(err)
	}
	if stateHash(t, other) != stateHash(t, first) {
		t.Error("the restored store went another way with the next entry")
	}
}

func TestSnapshotIsOfOneMoment(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	feedMixed(f, 50)
	before := snapshotOf(t, f.store)
	snapshot, err := f.store.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	feedMixed(f, 50)
	var stream bytes.Buffer
	if _, err := snapshot.WriteTo(&stream); err != nil {
		t.Fatal(err)
	}
	if snapshot.Index() != 50 || !bytes.Equal(stream.Bytes(), before) {
		t.Errorf("the snapshot of index %d changed, or isn't that of 50", snapshot.Index())
	}
	if err := snapshot.Close(); err != nil {
		t.Error(err)
	}
}

// TestSnapshotsIncludeWhatIsSynced: also an index that no command of the store stood at.
func TestSnapshotsIncludeWhatIsSynced(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	f.write(nthKey(1), granted(0, "newsletter/email"))
	f.store.Advance(9)
	if synced, err := f.store.Sync(); synced != 9 || err != nil {
		t.Fatalf("Sync = %d, %v, want 9", synced, err)
	}
	snapshot, err := f.store.Snapshot()
	if err != nil || snapshot.Index() != 9 {
		t.Errorf("Snapshot: index %d, error %v; want 9", snapshot.Index(), err)
	}
	if err := snapshot.Close(); err != nil {
		t.Error(err)
	}
}

// TestRestoreRefusesDamage: whatever is wrong with the stream, the old state goes on, and nothing is left behind.
func TestRestoreRefusesDamage(t *testing.T) {
	from := newFeeder(t, openStore(t, Options{}))
	feedMixed(from, 30)
	whole := snapshotOf(t, from.store)
	o := Options{FS: vfs.NewMem(), Dir: "dir"}
	f := newFeeder(t, openStore(t, o))
	f.write(nthKey(1), granted(0, "newsletter/email"))
	before := stateHash(t, f.store)
	refuse := func(what string, stream []byte) {
		t.Helper()
		if err := f.store.Restore(bytes.NewReader(stream)); !errors.Is(err, ErrSnapshot) {
			t.Fatalf("%s: %v, want ErrSnapshot", what, err)
		}
	}
	for i := 0; i < len(whole); i += 1 + len(whole)/40 {
		refuse("cut short", whole[:i])
		altered := bytes.Clone(whole)
		altered[i] ^= 1 << (i % 8)
		refuse("altered", altered)
	}
	refuse("cut by a byte", whole[:len(whole)-1])
	refuse("going on", append(bytes.Clone(whole), 0))
	refuse("with a length of everything", append([]byte(snapshotMagic), 1, 'e', 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f))
	if stateHash(t, f.store) != before || f.store.Applied() != 1 {
		t.Error("the old state changed")
	}
	names, err := o.FS.List(o.Dir)
	if err != nil || len(names) != 3 {
		t.Errorf("the store's directory holds %v, %v; want a lock, a marker, and one ledger", names, err)
	}
	checkEffects(t, f.write(nthKey(1), event(consent.Withdrawn, 0, "newsletter/email")), consent.Applied)
}

// TestRestoreWhileReading swaps states under readers: what they read is of one or the other, and whole.
func TestRestoreWhileReading(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	const subjects = 50
	var commands []Command
	for i := range uint64(subjects) {
		commands = append(commands, f.command(nthKey(i), granted(0, "newsletter/email")))
	}
	f.apply(commands...)
	stream := snapshotOf(t, f.store)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 5 {
			if err := f.store.Restore(bytes.NewReader(stream)); err != nil {
				t.Error(err)
			}
		}
	}()
	var buf Buffer
	for i := uint64(0); ; i++ {
		select {
		case <-done:
			return
		default:
		}
		if r := f.store.Record(nthKey(i%subjects), &buf); r.Validate() != nil || r.Index() != 1 {
			t.Fatalf("read the record %x", r)
		}
		if _, _, err := f.store.History(nthKey(i%subjects), consent.HistoryPage{Limit: 1}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSnapshotOutlivesItsState: the ledger of a replaced state stays until the snapshot is closed.
func TestSnapshotOutlivesItsState(t *testing.T) {
	o := Options{FS: vfs.NewMem(), Dir: "dir"}
	f := newFeeder(t, openStore(t, o))
	feedMixed(f, 20)
	snapshot, err := f.store.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	restore(t, f.store, f.store)
	old := snapshot.ledger
	if _, err := snapshot.WriteTo(io.Discard); err != nil {
		t.Error(err)
	}
	if err := snapshot.Close(); err != nil {
		t.Error(err)
	}
	<-old.gone
	if _, err := o.FS.Stat(old.dir); err == nil {
		t.Error("the replaced ledger's files are still there")
	}
}
