package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
	raftbench "github.com/hashicorp/raft/bench"
	"pgregory.net/rapid"
)

// quiet is a Pebble logger that says nothing, and fails no test by ending it.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}

func openTestLog(t *testing.T, fs vfs.FS) *logStore {
	t.Helper()
	s, err := openLogStore(fs, "log", quiet{}, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestLogStoreKeepsEntries(t *testing.T) {
	s := openTestLog(t, vfs.NewMem())
	wantEnds(t, s, 0, 0)
	at := time.Unix(1_700_000_000, 123)
	logs := []*raft.Log{
		{Index: 7, Term: 2, Type: raft.LogCommand, Data: []byte("first"), AppendedAt: at},
		{Index: 8, Term: 3, Type: raft.LogNoop},
		{Index: 9, Term: 1 << 40, Type: raft.LogConfiguration, Data: []byte{0}, Extensions: []byte("more")},
	}
	if err := s.StoreLogs(logs); err != nil {
		t.Fatal(err)
	}
	wantEnds(t, s, 7, 9)
	for _, want := range logs {
		var got raft.Log
		if err := s.GetLog(want.Index, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(*want, got); diff != "" {
			t.Error(diff)
		}
	}
	for _, index := range []uint64{0, 6, 10} {
		if err := s.GetLog(index, new(raft.Log)); !errors.Is(err, raft.ErrLogNotFound) {
			t.Errorf("entry %d: %v, want %v", index, err, raft.ErrLogNotFound)
		}
	}
}

func TestLogStoreDeletesRanges(t *testing.T) {
	tests := []struct {
		name                    string
		lowest, highest         uint64
		first, last, gone, left uint64
	}{
		{"the beginning", 1, 4, 5, 10, 4, 5},
		{"from before the beginning", 0, 2, 3, 10, 1, 3},
		{"the end", 8, 10, 1, 7, 9, 7},
		{"past the end", 9, 99, 1, 8, 9, 8},
		{"everything", 1, 10, 0, 0, 5, 0},
		{"nothing", 11, 20, 1, 10, 11, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := openTestLog(t, vfs.NewMem())
			for index := uint64(1); index <= 10; index++ {
				if err := s.StoreLog(&raft.Log{Index: index, Data: []byte("x")}); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.DeleteRange(tt.lowest, tt.highest); err != nil {
				t.Fatal(err)
			}
			wantEnds(t, s, tt.first, tt.last)
			if err := s.GetLog(tt.gone, new(raft.Log)); !errors.Is(err, raft.ErrLogNotFound) {
				t.Errorf("entry %d: %v, want %v", tt.gone, err, raft.ErrLogNotFound)
			}
			if tt.left != 0 {
				if err := s.GetLog(tt.left, new(raft.Log)); err != nil {
					t.Errorf("entry %d: %v", tt.left, err)
				}
			}
		})
	}
}

func TestStableStore(t *testing.T) {
	fs := vfs.NewMem()
	s, err := openLogStore(fs, "log", quiet{}, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	if value, err := s.Get([]byte("vote")); err != nil || len(value) != 0 {
		t.Errorf("Get before Set: %q, %v; Raft wants neither value nor error", value, err)
	}
	if value, err := s.GetUint64([]byte("term")); err != nil || value != 0 {
		t.Errorf("GetUint64 before Set: %d, %v; Raft wants neither value nor error", value, err)
	}
	if err := errors.Join(s.Set([]byte("vote"), []byte("a")), s.SetUint64([]byte("term"), 5), s.Close()); err != nil {
		t.Fatal(err)
	}
	s = openTestLog(t, fs)
	if value, err := s.Get([]byte("vote")); err != nil || string(value) != "a" {
		t.Errorf("Get: %q, %v", value, err)
	}
	if value, err := s.GetUint64([]byte("term")); err != nil || value != 5 {
		t.Errorf("GetUint64: %d, %v", value, err)
	}
	if _, err := s.GetUint64([]byte("vote")); !errors.Is(err, errDamagedEntry) {
		t.Errorf("a number of one byte: %v, want %v", err, errDamagedEntry)
	}
}

// Raft's goroutine that measures the log's age isn't waited for when Raft shuts down.
func TestLogStoreAfterClose(t *testing.T) {
	s, err := openLogStore(vfs.NewMem(), "log", quiet{}, func(err error) { t.Errorf("reported as damage: %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if err := s.GetLog(1, new(raft.Log)); !errors.Is(err, errLogClosed) {
		t.Errorf("GetLog: %v", err)
	}
	if err := s.StoreLog(&raft.Log{Index: 1}); !errors.Is(err, errLogClosed) {
		t.Errorf("StoreLog: %v", err)
	}
	if err := s.DeleteRange(1, 2); !errors.Is(err, errLogClosed) {
		t.Errorf("DeleteRange: %v", err)
	}
}

// TestFlippedBits flips every bit of an entry as it stands in the database.
func TestFlippedBits(t *testing.T) {
	var reported error
	s, err := openLogStore(vfs.NewMem(), "log", quiet{}, func(err error) { reported = err })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	entry := appendEntry(nil, &raft.Log{Index: 41, Term: 3, Data: []byte("withdrawn"), AppendedAt: time.Unix(1, 0)})
	for bit := range len(entry) * 8 {
		damaged := bytes.Clone(entry)
		damaged[bit/8] ^= 1 << (bit % 8)
		if err := s.db.Set(entryKey(41), damaged, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		reported = nil
		err := s.GetLog(41, new(raft.Log))
		if !errors.Is(err, errDamagedEntry) || !strings.Contains(err.Error(), "entry 41") {
			t.Fatalf("bit %d: %v, want %v with the index", bit, err, errDamagedEntry)
		}
		if !errors.Is(reported, errDamagedEntry) {
			t.Fatalf("bit %d: reported %v", bit, reported)
		}
	}
	// An intact entry in another's place is none either.
	if err := s.db.Set(entryKey(42), entry, pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	if err := s.GetLog(42, new(raft.Log)); !errors.Is(err, errDamagedEntry) {
		t.Errorf("entry 41 as entry 42: %v, want %v", err, errDamagedEntry)
	}
}

// TestFlippedFiles flips bits in the database's own tables.
func TestFlippedFiles(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 2))
		fs := vfs.NewMem()
		s, err := openLogStore(fs, "log", quiet{}, func(error) {})
		if err != nil {
			t.Fatal(err)
		}
		for index := uint64(1); index <= 50; index++ {
			if err := s.StoreLog(&raft.Log{Index: index, Term: 1, Data: randomBytes(rng, 200)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(s.db.Flush(), s.Close()); err != nil {
			t.Fatal(err)
		}
		flipTable(t, fs, rng)
		if s, err = openLogStore(fs, "log", quiet{}, func(error) {}); err != nil {
			continue // found at once
		}
		if err := s.verify(1); err == nil {
			t.Errorf("seed %d: a flipped bit in a table wasn't found", seed)
		}
		s.Close()
	}
}

// flipTable flips a bit in the first half of a table, where the entries are.
func flipTable(t *testing.T, fs *vfs.MemFS, rng *rand.Rand) {
	t.Helper()
	names, err := fs.List("log")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		data, err := fs.UnsafeGetFileDataBuffer("log/" + name)
		if err != nil {
			t.Fatal(err)
		}
		data[rng.IntN(len(data)/2)] ^= 1 << rng.IntN(8)
		return
	}
	t.Fatal("the log has no table")
}

func TestVerifyFindsHoles(t *testing.T) {
	s := openTestLog(t, vfs.NewMem())
	for _, index := range []uint64{3, 4, 6, 7} {
		if err := s.StoreLog(&raft.Log{Index: index}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.verify(6); err != nil {
		t.Errorf("behind the hole: %v", err)
	}
	if err := s.verify(1); !errors.Is(err, errDamagedEntry) || !strings.Contains(err.Error(), "entry 5") {
		t.Errorf("a hole at 5: %v", err)
	}
}

// TestLogStoreSurvivesPowerLoss cuts the power hundreds of times, also in the middle of writes, and goes on with what the disk kept.
func TestLogStoreSurvivesPowerLoss(t *testing.T) {
	cycles := 200
	if testing.Short() {
		cycles = 50
	}
	seed := crashSeed(t)
	rng := rand.New(rand.NewPCG(seed, 1))
	w := &logWriter{fs: vfs.NewCrashableMem()}
	for cycle := range cycles {
		s, err := openLogStore(w.fs, "log", quiet{}, func(err error) { t.Errorf("cycle %d: %v", cycle, err) })
		if err != nil {
			t.Fatalf("cycle %d: %v", cycle, err)
		}
		w.check(t, s, cycle)
		w.writeUntilCrash(t, s, rng)
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%d power losses, %d entries kept, seed %d", cycles, w.kept.last, seed)
}

// logWriter writes a log whose every entry follows from its index, and knows what has to be left of it.
type logWriter struct {
	fs *vfs.MemFS

	mu   sync.Mutex
	kept logState // what was acknowledged
	cut  uint64   // up to here entries may be gone
}

type logState struct{ last, term uint64 }

func (w *logWriter) check(t *testing.T, s *logStore, cycle int) {
	t.Helper()
	first, last := s.first, s.last
	if last < w.kept.last || first > w.cut+1 {
		t.Fatalf("cycle %d: entries %d to %d are left, and %d to %d were promised", cycle, first, last, w.cut+1, w.kept.last)
	}
	if term, err := s.GetUint64([]byte("term")); err != nil || term < w.kept.term {
		t.Fatalf("cycle %d: term %d, %v, and %d was promised", cycle, term, err, w.kept.term)
	}
	if err := s.verify(first); err != nil {
		t.Fatalf("cycle %d: %v", cycle, err)
	}
	for index := first; index != 0 && index <= last; index++ {
		var l raft.Log
		if err := s.GetLog(index, &l); err != nil || !bytes.Equal(l.Data, dataOf(index)) {
			t.Fatalf("cycle %d: entry %d holds %d bytes, %v", cycle, index, len(l.Data), err)
		}
	}
	w.kept.last, w.cut = last, max(first, 1)-1
}

// writeUntilCrash writes until the power fails at some moment, and leaves the file system that the failure left.
func (w *logWriter) writeUntilCrash(t *testing.T, s *logStore, rng *rand.Rand) {
	t.Helper()
	steps := make([]int, 1+rng.IntN(12))
	for i := range steps {
		steps[i] = rng.IntN(10)
	}
	crashAfter, cfg := rng.IntN(len(steps)+1), crashConfig(rng)
	reached, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i, step := range steps {
			if i == crashAfter {
				close(reached)
			}
			w.step(t, s, step)
		}
		if crashAfter == len(steps) {
			close(reached)
		}
	}()
	<-reached
	w.mu.Lock()
	kept := w.kept
	w.mu.Unlock()
	crashed := w.fs.CrashClone(cfg) // while the writer goes on
	<-done
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	w.fs, w.kept = crashed, kept
}

func (w *logWriter) step(t *testing.T, s *logStore, step int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	next := w.kept
	var err error
	switch step {
	case 0:
		next.term++
		err = s.SetUint64([]byte("term"), next.term)
	case 1:
		if w.kept.last > 20 {
			w.cut = max(w.cut, w.kept.last-20)
			err = s.DeleteRange(s.first, w.cut)
		}
	default:
		logs := make([]*raft.Log, step)
		for i := range logs {
			next.last++
			logs[i] = &raft.Log{Index: next.last, Term: 1, Data: dataOf(next.last)}
		}
		w.mu.Unlock() // the power may fail while this goes on
		err = s.StoreLogs(logs)
		w.mu.Lock()
	}
	if err != nil {
		t.Error(err)
	}
	w.kept = next
}

func dataOf(index uint64) []byte {
	return randomBytes(rand.New(rand.NewPCG(index, 3)), 1+int(index%700))
}

func randomBytes(rng *rand.Rand, n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	return data
}

// crashConfig returns how much of what wasn't synced survives: often nothing, sometimes all.
func crashConfig(rng *rand.Rand) vfs.CrashCloneCfg {
	percent := []int{0, 0, 25, 50, 75, 100}[rng.IntN(6)]
	return vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(rng.Uint64(), 0))}
}

func wantEnds(t *testing.T, s *logStore, first, last uint64) {
	t.Helper()
	gotFirst, err := s.FirstIndex()
	if err != nil {
		t.Fatal(err)
	}
	gotLast, err := s.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	if gotFirst != first || gotLast != last {
		t.Errorf("the log holds %d to %d, want %d to %d", gotFirst, gotLast, first, last)
	}
}

func TestEntryRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := raft.Log{
			Index:      rapid.Uint64().Draw(t, "index"),
			Term:       rapid.Uint64().Draw(t, "term"),
			Type:       raft.LogType(rapid.Byte().Draw(t, "type")),
			Data:       nilIfEmpty(rapid.SliceOf(rapid.Byte()).Draw(t, "data")),
			Extensions: nilIfEmpty(rapid.SliceOf(rapid.Byte()).Draw(t, "extensions")),
		}
		var got raft.Log
		if err := decodeEntry(want.Index, appendEntry([]byte("x"), &want)[1:], &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func nilIfEmpty(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add(uint64(1), appendEntry(nil, &raft.Log{Index: 1, Term: 1, Data: []byte("data")}))
	f.Add(uint64(2), appendEntry(nil, &raft.Log{Index: 2, Extensions: []byte("e"), AppendedAt: time.Unix(5, 0)}))
	f.Add(uint64(3), []byte{})
	f.Fuzz(func(t *testing.T, index uint64, entry []byte) {
		var l raft.Log
		// A checksum over anything lets the rest of the decoder see it.
		sealed := append(bytes.Clone(entry), 0, 0, 0, 0)
		checksum := entryChecksum(index, entry)
		for i := range checksumBytes {
			sealed[len(entry)+i] = byte(checksum >> (8 * i))
		}
		if err := decodeEntry(index, sealed, &l); err == nil && l.Index != index {
			t.Errorf("entry %d decoded as %d", index, l.Index)
		}
		if err := decodeEntry(index, entry, &l); err == nil && !bytes.Equal(appendEntry(nil, &l), entry) {
			t.Log("another encoding of the same entry")
		}
	})
}

// Raft's own benchmarks of a log store, on the real file system.
func BenchmarkRaftLogStore(b *testing.B) {
	for _, log := range []struct {
		name string
		run  func(*testing.B, raft.LogStore)
	}{
		{"FirstIndex", raftbench.FirstIndex}, {"LastIndex", raftbench.LastIndex}, {"GetLog", raftbench.GetLog},
		{"StoreLog", raftbench.StoreLog}, {"StoreLogs", raftbench.StoreLogs}, {"DeleteRange", raftbench.DeleteRange},
	} {
		b.Run(log.name, func(b *testing.B) { log.run(b, benchLog(b)) })
	}
	for _, stable := range []struct {
		name string
		run  func(*testing.B, raft.StableStore)
	}{
		{"Set", raftbench.Set}, {"Get", raftbench.Get}, {"SetUint64", raftbench.SetUint64}, {"GetUint64", raftbench.GetUint64},
	} {
		b.Run(stable.name, func(b *testing.B) { stable.run(b, benchLog(b)) })
	}
}

func benchLog(b *testing.B) *logStore {
	b.Helper()
	s, err := openLogStore(vfs.Default, b.TempDir(), quiet{}, func(err error) { b.Error(err) })
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}
