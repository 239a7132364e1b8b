package cluster

import (
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const temporarySuffix = ".tmp"

// writeDurably makes a file with some contents in a directory, or replaces it. After a crash there is the old file or the new one.
func writeDurably(fs vfs.FS, dir, name string, contents []byte) error {
	path := fs.PathJoin(dir, name)
	temporary := path + temporarySuffix
	f, err := fs.Create(temporary, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(contents)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", temporary, err)
	}
	if err := fs.Rename(temporary, path); err != nil {
		return err
	}
	return syncDir(fs, dir)
}

// makeDir makes a directory and those above it, and makes that durable.
func makeDir(fs vfs.FS, path string) error {
	var parents []string
	for dir := path; ; dir = fs.PathDir(dir) {
		parent := fs.PathDir(dir)
		if _, err := fs.Stat(dir); err == nil || parent == dir {
			break
		}
		parents = append(parents, parent)
	}
	if err := fs.MkdirAll(path, 0o750); err != nil {
		return err
	}
	for _, parent := range parents {
		if err := syncDir(fs, parent); err != nil {
			return err
		}
	}
	return nil
}

// syncDir makes what was made, renamed and removed in a directory durable.
func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func readFile(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	contents, err := io.ReadAll(f)
	return contents, errors.Join(err, f.Close())
}

// fileWriter writes to a file as io.Writer promises to: a vfs.File may change the bytes that it is given.
type fileWriter struct {
	file  vfs.File
	space []byte
}

// Write implements io.Writer.
func (w *fileWriter) Write(p []byte) (int, error) {
	w.space = append(w.space[:0], p...)
	return w.file.Write(w.space)
}
