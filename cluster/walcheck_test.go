package cluster

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// crashedLog returns a file system with a log of some entries that a crash has ended, in Pebble's older form of chunks or its newer one, and
// the path of its newest file.
func crashedLog(t *testing.T, newer bool, sizes ...int) (fs *vfs.MemFS, path string) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	open := func() *logStore {
		s, err := openLogStore(mem, "log", pebble.DefaultLogger, func(err error) { t.Error(err) })
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	if newer { // the first file of a database is in the older form
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open()
	}
	for i, size := range sizes {
		l := &raft.Log{Index: uint64(i + 1), Term: 1, Data: slices.Repeat([]byte{byte(i)}, size)}
		if err := s.StoreLog(l); err != nil {
			t.Fatal(err)
		}
	}
	crashed := mem.CrashClone(vfs.CrashCloneCfg{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := crashed.List("log")
	if err != nil {
		t.Fatal(err)
	}
	newest := slices.MaxFunc(names, func(a, b string) int {
		x, _ := walNumber(a)
		y, _ := walNumber(b)
		return int(x) - int(y)
	})
	return crashed, "log/" + newest
}

// lastAfter damages a byte of a file in a copy of the log, opens it, and returns the last index, or why it can't be opened.
func lastAfter(t *testing.T, fs *vfs.MemFS, path string, at int) (last uint64, err error) {
	t.Helper()
	damaged := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 0})
	contents, err := readFile(damaged, path)
	if err != nil {
		t.Fatal(err)
	}
	contents[at] ^= 0xa5
	f, err := damaged.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&fileWriter{file: f}).Write(contents); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := openLogStore(damaged, "log", quietLogger{}, func(error) {})
	if err != nil {
		return 0, err
	}
	last = s.last
	return last, s.Close()
}

// quietLogger says nothing of damage that a test made.
type quietLogger struct{}

func (quietLogger) Infof(string, ...any)  {}
func (quietLogger) Errorf(string, ...any) {}
func (quietLogger) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}

// Pebble alone takes most of this damage for the end of its log, and starts without what was acknowledged behind it.
func TestDamagedWALIsRefused(t *testing.T) {
	for _, newer := range []bool{false, true} {
		t.Run(fmt.Sprintf("newer form %t", newer), func(t *testing.T) {
			fs, path := crashedLog(t, newer, 100, 40_000, 300, 300, 70_000, 300)
			contents, err := readFile(fs, path)
			if err != nil {
				t.Fatal(err)
			}
			refused := 0
			for at := 0; at < len(contents); at += 97 {
				last, err := lastAfter(t, fs, path, at)
				switch {
				case errors.Is(err, errDamagedWAL):
					refused++
				case err != nil:
					t.Errorf("byte %d: %v", at, err)
				case last < 5: // the very last entry can't be told from a torn one
					t.Errorf("byte %d damaged: the log starts, and ends at %d instead of 6", at, last)
				}
			}
			if refused < 1000 {
				t.Errorf("refused %d times", refused)
			}
		})
	}
}

func TestWALEnds(t *testing.T) {
	fs, path := crashedLog(t, true, 100, 40_000, 300)
	contents, err := readFile(fs, path)
	if err != nil {
		t.Fatal(err)
	}
	number, _ := walNumber(path)
	if at, damaged := walDamage(contents, number); damaged {
		t.Errorf("a whole file is damaged at %d", at)
	}
	for cut := range len(contents) { // a crash ends a file anywhere
		if at, damaged := walDamage(contents[:cut], number); damaged {
			t.Fatalf("cut at %d, the file is damaged at %d", cut, at)
		}
	}
}

func TestMissingWALIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	if err := fs.MkdirAll("log", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"MANIFEST-000001", "000004.sst"} {
		f, err := fs.Create("log/"+name, vfs.WriteCategoryUnspecified)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if err := checkWAL(fs, "log"); !errors.Is(err, errDamagedWAL) || !strings.Contains(err.Error(), "no .log file") {
		t.Errorf("got %v", err)
	}
}

func FuzzWALDamage(f *testing.F) {
	f.Add([]byte{}, uint32(1))
	f.Add(make([]byte, 70_000), uint32(2))
	f.Fuzz(func(t *testing.T, file []byte, number uint32) {
		if at, _ := walDamage(file, number); at < 0 {
			t.Errorf("damaged at %d of %d", at, len(file))
		}
	})
}
