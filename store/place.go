package store

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"
)

const (
	lockName     = "LOCK"
	markerName   = "ledger"
	ledgerPrefix = "ledger-"
)

// place is the directory of a store: a lock, the ledger, and a marker that names the ledger. While a snapshot is being restored there is a
// second ledger, which the marker doesn't name yet; after a crash it is removed.
type place struct {
	fs     vfs.FS
	dir    string
	lock   io.Closer
	marker *atomicfs.Marker
	number uint64 // of the ledger that the marker names
}

// openPlace locks a directory, makes it if need be, and clears away what restores left.
func openPlace(fs vfs.FS, dir string) (p *place, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("opening the store in %s: %w", dir, err)
		}
	}()
	if err := makeDir(fs, dir); err != nil {
		return nil, err
	}
	p = &place{fs: fs, dir: dir}
	if p.lock, err = fs.Lock(fs.PathJoin(dir, lockName)); err != nil {
		return nil, err
	}
	if err := p.find(); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// makeDir makes a directory whose name is durable.
func makeDir(fs vfs.FS, dir string) error {
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	parent, err := fs.OpenDir(fs.PathDir(dir))
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

// find reads the marker, or sets it to the first ledger's number. The first marker is durable before the first ledger is made: a ledger that
// no marker tells of has lost it, and isn't what a restore has left.
func (p *place) find() error {
	marker, value, err := atomicfs.LocateMarker(p.fs, p.dir, markerName)
	if err != nil {
		return err
	}
	p.marker = marker
	names, err := p.ledgers()
	switch {
	case err != nil:
		return err
	case value == "" && len(names) > 0:
		return fmt.Errorf("%w: there is %s, and no file marker.%s.* that names the ledger in use", errLostMarker, names[0], markerName)
	case value == "":
		return p.moveTo(1)
	}
	if p.number, err = strconv.ParseUint(value, 10, 64); err != nil {
		return fmt.Errorf("the marker names no ledger: %w", err)
	}
	if err := marker.RemoveObsolete(); err != nil {
		return err
	}
	return p.clear(names)
}

// ledgers returns the names of all ledgers in the directory.
func (p *place) ledgers() ([]string, error) {
	names, err := p.fs.List(p.dir)
	return slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, ledgerPrefix) }), err
}

// clear removes the ledgers but the one that the marker names.
func (p *place) clear(names []string) error {
	for _, name := range names {
		if name != ledgerName(p.number) {
			if err := p.fs.RemoveAll(p.fs.PathJoin(p.dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// moveTo makes another ledger the one that the next start opens. It is durable when moveTo returns.
func (p *place) moveTo(number uint64) error {
	if err := p.marker.Move(strconv.FormatUint(number, 10)); err != nil {
		return err
	}
	p.number = number
	return nil
}

func ledgerName(number uint64) string { return fmt.Sprintf("%s%06d", ledgerPrefix, number) }

func (p *place) dirOf(number uint64) string { return p.fs.PathJoin(p.dir, ledgerName(number)) }

func (p *place) ledgerDir() string { return p.dirOf(p.number) }

// close gives up the lock. What it holds open was only read, so that closing has no error worth reporting.
func (p *place) close() {
	if p.marker != nil {
		_ = p.marker.Close()
	}
	_ = p.lock.Close()
}
