package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// outFile is a file that appears whole or not at all: it is written beside its place and moved there at the end. What isn't a regular
// file, as a pipe or a terminal, is written directly.
type outFile struct {
	*os.File
	path string // where it goes; empty if it is there already
}

// createOut opens the file, which must not be one of those that are read.
func createOut(path string, inputs ...string) (*outFile, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return nil, usageErrorf("--out %s is a directory: name a file", path)
	case err == nil && !info.Mode().IsRegular():
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		return &outFile{File: file}, err
	case err == nil:
		for _, input := range inputs {
			if read, err := os.Stat(input); err == nil && os.SameFile(info, read) {
				return nil, usageErrorf("--out %s is a file that is read: name another one", path)
			}
		}
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return nil, fmt.Errorf("--out can't be written: %w", err)
	}
	return &outFile{File: file, path: path}, nil
}

// keep puts the file in its place.
func (f *outFile) keep() error {
	if err := f.Close(); err != nil {
		return err
	}
	if f.path == "" {
		return nil
	}
	if err := os.Rename(f.Name(), f.path); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// discard throws away what was written, unless it was kept.
func (f *outFile) discard() {
	if f.Close() == nil && f.path != "" {
		_ = os.Remove(f.Name()) // a scratch file left behind harms nobody
	}
}
