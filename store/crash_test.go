package store

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestPowerLoss cuts the power at random moments while entries are applied. What the next start finds is the state at some index, whole,
// and none that was synced is missing.
func TestPowerLoss(t *testing.T) {
	const losses = 12
	random := rand.New(rand.NewPCG(1, 2))
	fs := vfs.NewCrashableMem()
	f := newFeeder(t, openStore(t, Options{FS: fs, Dir: "dir"}))
	type loss struct {
		fs     *vfs.MemFS
		synced uint64
	}
	var all []loss
	synced := uint64(0)
	for range losses {
		feedMixed(f, random.IntN(30))
		switch random.IntN(4) {
		case 0:
			synced = syncStore(t, f.store)
		case 1:
			if err := f.store.state.Load().ledger.db.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, loss{fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: random.IntN(101), RNG: random}), synced})
	}
	for i, l := range all {
		s := openStore(t, Options{FS: l.fs, Dir: "dir"})
		if applied := s.Applied(); applied < l.synced || applied > f.index() {
			t.Fatalf("loss %d: the ledger holds index %d, and %d was synced", i, applied, l.synced)
		}
		if stateHash(t, s) != stateHash(t, f.replay(s.Applied())) {
			t.Fatalf("loss %d: the state isn't that of index %d", i, s.Applied())
		}
		for index := s.Applied() + 1; index <= f.index(); index++ {
			if _, err := s.Apply(index, f.log[index-1]); err != nil {
				t.Fatal(err)
			}
		}
		if stateHash(t, s) != stateHash(t, f.store) {
			t.Fatalf("loss %d: going on from index %d leads elsewhere", i, s.Applied())
		}
	}
}

func syncStore(tb testing.TB, s *Store) uint64 {
	tb.Helper()
	applied, err := s.Sync()
	if err != nil {
		tb.Fatal(err)
	}
	return applied
}

// TestPowerLossWhileRestoring: the next start finds the old state or the new one.
func TestPowerLossWhileRestoring(t *testing.T) {
	from := newFeeder(t, openStore(t, Options{}))
	feedMixed(from, 30)
	fs := vfs.NewCrashableMem()
	f := newFeeder(t, openStore(t, Options{FS: fs, Dir: "dir"}))
	feedMixed(f, 10)
	syncStore(t, f.store)
	old, restored := stateHash(t, f.store), stateHash(t, from.store)
	random := rand.New(rand.NewPCG(3, 4))
	var crashes []*vfs.MemFS
	stream := &crashingReader{text: snapshotOf(t, from.store), crash: func() {
		crashes = append(crashes, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: random.IntN(101), RNG: random}))
	}}
	if err := f.store.Restore(stream); err != nil {
		t.Fatal(err)
	}
	for i, crash := range crashes {
		if stateHash(t, openStore(t, Options{FS: crash, Dir: "dir"})) != old {
			t.Errorf("crash %d of %d during the restore: the state isn't the old one", i, len(crashes))
		}
	}
	last := openStore(t, Options{FS: fs.CrashClone(vfs.CrashCloneCfg{}), Dir: "dir"})
	if stateHash(t, last) != restored {
		t.Error("a power loss after the restore: the state isn't the new one")
	}
}

// TestLostMarker: a ledger that no marker names may be the one in use, so nothing is begun or cleared beside it.
func TestLostMarker(t *testing.T) {
	o := Options{FS: vfs.NewMem(), Dir: "dir", Logger: quiet}
	s := openStore(t, o)
	f := newFeeder(t, s)
	feedMixed(f, 10)
	if err := s.Restore(bytes.NewReader(snapshotOf(t, s))); err != nil { // so that the ledger in use isn't the first
		t.Fatal(err)
	}
	state, ledger := stateHash(t, s), s.place.ledgerDir()
	closeStore(t, s)
	markers := map[string][]byte{}
	names, err := o.FS.List(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if path := o.FS.PathJoin(o.Dir, name); strings.HasPrefix(name, "marker."+markerName+".") {
			if markers[path], err = readFile(o.FS, path); err != nil {
				t.Fatal(err)
			}
			if err := o.FS.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 2 {
		if s, err := Open(o); !errors.Is(err, errLostMarker) || !strings.Contains(err.Error(), filepath.Base(ledger)) {
			t.Fatalf("opening without the marker: %v, %v", s, err)
		}
	}
	for path, contents := range markers {
		file, err := o.FS.Create(path, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.Write(contents); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := stateHash(t, openStore(t, o)); len(markers) == 0 || got != state {
		t.Error("with its marker back, the store isn't what it was")
	}
}

// crashingReader reads a text in five parts, with a crash before each.
type crashingReader struct {
	text  []byte
	crash func()
	from  int
}

func (r *crashingReader) Read(dst []byte) (int, error) {
	r.crash()
	part := min(len(r.text)/5+1, len(dst), len(r.text)-r.from)
	copy(dst, r.text[r.from:r.from+part])
	r.from += part
	if part == 0 {
		return 0, io.EOF
	}
	return part, nil
}

// TestDamageIsNoticed flips bits all over the ledger's files. A start then fails, or finds a state that there was at some index; and
// reading all of it fails, or finds nothing changed.
func TestDamageIsNoticed(t *testing.T) {
	fs := vfs.NewMem()
	o := Options{FS: fs, Dir: "dir"}
	s := openStore(t, o)
	f := newFeeder(t, s)
	feedMixed(f, 60)
	if err := s.state.Load().ledger.db.Flush(); err != nil {
		t.Fatal(err)
	}
	feedMixed(f, 20)
	dir := s.place.ledgerDir()
	closeStore(t, s)
	hashes := map[[32]byte]bool{}
	for index := range f.index() + 1 {
		hashes[stateHash(t, f.replay(index))] = true
	}
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(5, 6))
	flips, noticed := 0, 0
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") && !strings.HasSuffix(name, ".log") {
			continue
		}
		for range 15 {
			flips++
			damaged := vfs.NewMem()
			if _, err := vfs.Clone(fs, damaged, o.Dir, o.Dir); err != nil {
				t.Fatal(err)
			}
			flipBit(t, damaged, damaged.PathJoin(dir, name), random)
			if damageShows(t, damaged, hashes) {
				noticed++
			}
		}
	}
	if flips == 0 || noticed == 0 {
		t.Errorf("%d of %d flipped bits were noticed", noticed, flips)
	}
}

// damageShows reports whether opening or reading a store fails. If neither does, its state has to be one that there was.
func damageShows(t *testing.T, fs vfs.FS, states map[[32]byte]bool) bool {
	t.Helper()
	s, err := Open(Options{FS: fs, Dir: "dir", Logger: quiet})
	if err != nil {
		return true
	}
	defer func() { _ = s.Close() }()
	got, err := s.StateHash()
	if err != nil {
		return true
	}
	if !states[got] {
		t.Error("a flipped bit made a state that never was, and nobody noticed")
	}
	return false
}

func flipBit(t *testing.T, fs vfs.FS, name string, random *rand.Rand) {
	t.Helper()
	file, err := fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() == 0 {
		return
	}
	var b [1]byte
	at := random.Int64N(info.Size())
	if _, err := file.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1 << random.IntN(8)
	if _, err := file.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedRecordsAreRefused writes records that can't be beneath the store.
func TestDamagedRecordsAreRefused(t *testing.T) {
	tests := []struct {
		name   string
		damage func(value []byte) []byte
	}{
		{"another checksum", func(v []byte) []byte { v[0] ^= 1; return v }},
		{"another word", func(v []byte) []byte { v[len(v)-1] ^= 1; return v }},
		{"half a word", func(v []byte) []byte { return v[:len(v)-4] }},
		{"nothing", func([]byte) []byte { return nil }},
		{"another's", func([]byte) []byte {
			return appendRecordValue(nil, recordKey(nil, nthKey(2)), []uint64{1, 2})
		}},
		{"words that are no record", func([]byte) []byte {
			return appendRecordValue(nil, recordKey(nil, nthKey(1)), []uint64{1<<64 - 1, 1<<64 - 1, 1<<64 - 1})
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{FS: vfs.NewMem(), Dir: "dir"}
			s := openStore(t, o)
			newFeeder(t, s).write(nthKey(1), granted(0, "newsletter/email"))
			db, key := s.state.Load().ledger.db, recordKey(nil, nthKey(1))
			value, err := get(db, key)
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Set(key, tt.damage(value), nil); err != nil {
				t.Fatal(err)
			}
			closeStore(t, s)
			if _, err := Open(Options{FS: o.FS, Dir: o.Dir, Logger: quiet}); !errors.Is(err, ErrLedger) {
				t.Errorf("Open = %v, want ErrLedger", err)
			}
		})
	}
}
