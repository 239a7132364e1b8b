package store

import (
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestDamagedLogOfTheLedgerIsNamed: an older file of Pebble's own log, which must be whole, ends within a record.
func TestDamagedLogOfTheLedgerIsNamed(t *testing.T) {
	o := func(fs vfs.FS) *pebble.Options { return ledgerOptions(fs, quiet, func(err error) { t.Error(err) }) }
	fs := vfs.NewMem()
	db, err := OpenDatabase("db", o(fs))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Set([]byte("key"), make([]byte, 1<<10), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	older := onlyLog(t, fs, "db")
	whole, err := readFile(fs, older)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, fs, older, whole[:len(whole)/2])
	newer := fs.PathJoin("db", "000099.log")
	writeFile(t, fs, newer, nil)
	if _, err := OpenDatabase("db", o(fs)); err == nil || !strings.HasPrefix(err.Error(), older+" or "+newer+": ") {
		t.Errorf("OpenDatabase = %v, want an error that names %s", err, older)
	}
}

func onlyLog(t *testing.T, fs vfs.FS, dir string) (path string) {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".log") {
			if path != "" {
				t.Fatalf("more than one log: %q", names)
			}
			path = fs.PathJoin(dir, name)
		}
	}
	return path
}

func writeFile(t *testing.T, fs vfs.FS, path string, contents []byte) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(contents); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
