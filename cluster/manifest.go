package cluster

import (
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// manifestFS makes Pebble's manifests durable by name before they are relied on. Pebble syncs a new manifest, then points its marker at
// it, and only then syncs the directory; a power loss before that may keep the marker and not the manifest's name, and the database can't
// be opened any more. Linux's common file systems keep names in order, but nothing promises it, and the power-loss test met it.
type manifestFS struct{ vfs.FS }

// Create implements vfs.FS.
func (fs manifestFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	if err != nil || !strings.HasPrefix(fs.PathBase(name), "MANIFEST-") {
		return f, err
	}
	return &manifestFile{File: f, nameDurably: func() error { return syncDir(fs.FS, fs.PathDir(name)) }}, nil
}

// Unwrap implements vfs.FS.
func (fs manifestFS) Unwrap() vfs.FS { return fs.FS }

// manifestFile is a manifest. Pebble syncs it from one goroutine at a time.
type manifestFile struct {
	vfs.File
	nameDurably func() error // nil once done
}

// Sync implements vfs.File.
func (f *manifestFile) Sync() error {
	if err := f.File.Sync(); err != nil || f.nameDurably == nil {
		return err
	}
	if err := f.nameDurably(); err != nil {
		return err
	}
	f.nameDurably = nil
	return nil
}
