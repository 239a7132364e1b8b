package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// OpenDatabase is pebble.Open with errors that name the damaged file. It refuses a database that has lost a marker: Pebble takes one without
// the marker of its manifest for new, and goes on with what is in its log, without any of its tables.
func OpenDatabase(dir string, o *pebble.Options) (*pebble.DB, error) {
	names, err := list(o.FS, dir)
	if err != nil {
		return nil, err
	}
	if marker := lostMarker(names); marker != "" {
		return nil, fmt.Errorf("%w: %s has tables, and no file %s* that tells of them", errLostMarker, dir, marker)
	}
	db, err := pebble.Open(dir, o)
	if err == nil {
		return db, nil
	}
	if path := unreadableOptions(dir, names, o); path != "" {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if paths := replayed(dir, names, o, err); paths != "" {
		return nil, fmt.Errorf("%s: %w", paths, err)
	}
	return nil, InFile(err)
}

var errLostMarker = errors.New("the database is damaged")

// list returns the names in a directory, none if there is no such.
func list(fs vfs.FS, dir string) ([]string, error) {
	names, err := fs.List(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return names, err
}

// lostMarker returns how the name of a marker begins that a database with tables must have, and hasn't.
func lostMarker(names []string) (prefix string) {
	if !slices.ContainsFunc(names, func(name string) bool { return strings.HasSuffix(name, ".sst") }) {
		return ""
	}
	for _, prefix := range []string{"marker.manifest.", "marker.format-version."} {
		if !slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, prefix) }) {
			return prefix
		}
	}
	return ""
}

// InFile returns an error of a database with the path of the damaged file, where Pebble knows that.
func InFile(err error) error {
	if info := pebble.ExtractDataCorruptionInfo(err); info != nil {
		return fmt.Errorf("%s: %w", info.Path, info.Details)
	}
	return err
}

// replayed returns the paths of the files of a database's own log if it was damage in one of them that kept it from being opened. Which one
// it was Pebble doesn't say, and that it was one says its message alone.
func replayed(dir string, names []string, o *pebble.Options, err error) (paths string) {
	known := pebble.ExtractDataCorruptionInfo(err) != nil
	if known || !pebble.IsCorruptionError(err) || !strings.Contains(strings.ToLower(err.Error()), "wal") {
		return ""
	}
	logs := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !strings.HasSuffix(name, ".log") })
	slices.Sort(logs)
	for i, name := range logs {
		logs[i] = o.FS.PathJoin(dir, name)
	}
	return strings.Join(logs, " or ")
}

// unreadableOptions returns the path of the newest OPTIONS file of a database if Pebble can't use that. Its own message doesn't say so.
func unreadableOptions(dir string, names []string, o *pebble.Options) (path string) {
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !strings.HasPrefix(name, "OPTIONS-") })
	if len(names) == 0 {
		return ""
	}
	path = o.FS.PathJoin(dir, slices.Max(names)) // the numbers have leading zeros
	whole := o.Clone()
	whole.EnsureDefaults()
	if contents, err := readFile(o.FS, path); err == nil && whole.CheckCompatibility(dir, string(contents)) == nil {
		return ""
	}
	return path
}

func readFile(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	contents, err := io.ReadAll(f)
	return contents, errors.Join(err, f.Close())
}
