package cluster

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// faultyDisk is the file system of the databases, which lets no fault of the disk go on into Pebble's code: what it makes of one depends on
// the operation, and is a panic (holding locks that it no longer has), a retry without end, or nothing at all.
//
// A change that fails ends the process, because what is on the disk isn't known then, and a second sync that succeeds proves nothing.
// What the databases have acknowledged they find again at the next start. A failed read is reported and returned: nothing was changed by it,
// and whoever reads can say so; the process ends by the report.
type faultyDisk struct {
	vfs.FS
	report func(error)
	exit   func()
	synced func(time.Duration) // told how long each sync took; may be nil
	first  sync.Once
}

// guardDatabases returns the file system for the databases.
func (n *Node) guardDatabases(synced func(time.Duration)) vfs.FS {
	return &faultyDisk{FS: n.dir.fs, report: n.failure.report, exit: n.options.tuning.exit, synced: synced}
}

// Unwrap implements vfs.FS.
func (d *faultyDisk) Unwrap() vfs.FS { return d.FS }

// changed takes what a change came to. If it failed, it doesn't return.
func (d *faultyDisk) changed(what, path string, err error) error {
	if expected(err) {
		return err
	}
	d.first.Do(func() { // the others wait here for the end
		d.report(diskFault(what, path, err))
		d.exit()
	})
	return err
}

// read takes what a read came to, and returns it.
func (d *faultyDisk) read(what, path string, err error) error {
	if !expected(err) {
		d.report(diskFault(what, path, err))
	}
	return err
}

// expected says whether an error is none, or says no more than that something isn't there, is there already, or ends.
func expected(err error) bool {
	for _, harmless := range []error{nil, io.EOF, fs.ErrNotExist, fs.ErrExist, fs.ErrClosed, vfs.ErrUnsupported} {
		if errors.Is(err, harmless) {
			return true
		}
	}
	return false
}

// diskFault says what failed and what to do about it.
func diskFault(what, path string, err error) error {
	var known *fs.PathError
	if errors.As(err, &known) { // it says again what and where
		err = known.Err
	}
	fault, advice := remedy(err)
	return fmt.Errorf("%s: %s %s: %w: %s", fault, what, path, err, advice)
}

func exitProcess() { os.Exit(1) }

// Create implements vfs.FS.
func (d *faultyDisk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.Create(name, category)
	return d.file(f, name), d.changed("creating", name, err)
}

// Open implements vfs.FS.
func (d *faultyDisk) Open(name string, options ...vfs.OpenOption) (vfs.File, error) {
	f, err := d.FS.Open(name, options...)
	return d.file(f, name), d.read("opening", name, err)
}

// OpenReadWrite implements vfs.FS.
func (d *faultyDisk) OpenReadWrite(name string, category vfs.DiskWriteCategory, options ...vfs.OpenOption) (vfs.File, error) {
	f, err := d.FS.OpenReadWrite(name, category, options...)
	return d.file(f, name), d.changed("opening", name, err)
}

// OpenDir implements vfs.FS.
func (d *faultyDisk) OpenDir(name string) (vfs.File, error) {
	f, err := d.FS.OpenDir(name)
	return d.file(f, name), d.read("opening", name, err)
}

// ReuseForWrite implements vfs.FS.
func (d *faultyDisk) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.ReuseForWrite(from, to, category)
	return d.file(f, to), d.changed("renaming "+from+" to", to, err)
}

// Remove implements vfs.FS.
func (d *faultyDisk) Remove(name string) error { return d.changed("removing", name, d.FS.Remove(name)) }

// RemoveAll implements vfs.FS.
func (d *faultyDisk) RemoveAll(name string) error {
	return d.changed("removing", name, d.FS.RemoveAll(name))
}

// Rename implements vfs.FS.
func (d *faultyDisk) Rename(from, to string) error {
	return d.changed("renaming "+from+" to", to, d.FS.Rename(from, to))
}

// MkdirAll implements vfs.FS.
func (d *faultyDisk) MkdirAll(name string, mode os.FileMode) error {
	return d.changed("making", name, d.FS.MkdirAll(name, mode))
}

// List implements vfs.FS.
func (d *faultyDisk) List(name string) ([]string, error) {
	names, err := d.FS.List(name)
	return names, d.read("listing", name, err)
}

// Stat implements vfs.FS.
func (d *faultyDisk) Stat(name string) (vfs.FileInfo, error) {
	info, err := d.FS.Stat(name)
	return info, d.read("looking at", name, err)
}

func (d *faultyDisk) file(f vfs.File, name string) vfs.File {
	if f == nil {
		return nil
	}
	return &faultyFile{File: f, disk: d, name: name}
}

// faultyFile is a file of a faultyDisk.
type faultyFile struct {
	vfs.File
	disk *faultyDisk
	name string
}

// Read implements io.Reader.
func (f *faultyFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	return n, f.disk.read("reading", f.name, err)
}

// ReadAt implements io.ReaderAt.
func (f *faultyFile) ReadAt(p []byte, at int64) (int, error) {
	n, err := f.File.ReadAt(p, at)
	return n, f.disk.read("reading", f.name, err)
}

// Write implements io.Writer.
func (f *faultyFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, f.disk.changed("writing", f.name, err)
}

// WriteAt implements io.WriterAt.
func (f *faultyFile) WriteAt(p []byte, at int64) (int, error) {
	n, err := f.File.WriteAt(p, at)
	return n, f.disk.changed("writing", f.name, err)
}

// Sync implements vfs.File.
func (f *faultyFile) Sync() error { return f.timed(f.File.Sync) }

// SyncData implements vfs.File.
func (f *faultyFile) SyncData() error { return f.timed(f.File.SyncData) }

// SyncTo implements vfs.File. It may only begin to sync, so that its time says nothing.
func (f *faultyFile) SyncTo(length int64) (bool, error) {
	full, err := f.File.SyncTo(length)
	return full, f.disk.changed("syncing", f.name, err)
}

func (f *faultyFile) timed(sync func() error) error {
	began := time.Now()
	err := sync()
	if f.disk.synced != nil {
		f.disk.synced(time.Since(began))
	}
	return f.disk.changed("syncing", f.name, err)
}
