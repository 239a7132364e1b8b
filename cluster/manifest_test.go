package cluster

import (
	"errors"
	"os"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestSyncedManifestHasItsName(t *testing.T) {
	disk := vfs.NewCrashableMem()
	fs := manifestFS{disk}
	if err := makeDir(fs, "db"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"db/MANIFEST-000007", "db/other"} {
		f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Write([]byte("x"))
		if err := errors.Join(err, f.Sync(), f.Sync(), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	after := disk.CrashClone(vfs.CrashCloneCfg{})
	if _, err := after.Stat("db/MANIFEST-000007"); err != nil {
		t.Errorf("the manifest was synced and is gone: %v", err)
	}
	if _, err := after.Stat("db/other"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("another file that was synced: %v; the file system isn't as harsh as the test thinks", err)
	}
}
