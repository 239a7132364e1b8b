package store

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	memTableBytes = 16 << 20 // small enough for the processor's cache: inserting costs two thirds of what it does at 64 MiB
	cacheBytes    = 32 << 20
	blockBytes    = 16 << 10
	bitsPerKey    = 10 // of the filters: one needless read in a hundred
)

// comparer orders keys by their bytes. Its prefix of an event's key is the subject's, so that the filters say which files hold anything of
// a subject; every other key is its own prefix.
var comparer = &pebble.Comparer{
	Name:           "consentd.ledger.1",
	Compare:        bytes.Compare,
	Equal:          bytes.Equal,
	AbbreviatedKey: pebble.DefaultComparer.AbbreviatedKey,
	Separator:      pebble.DefaultComparer.Separator,
	Successor:      pebble.DefaultComparer.Successor,

	// Pebble says that these two have defaults, and crashes without the first.
	ComparePointSuffixes: bytes.Compare,
	CompareRangeSuffixes: bytes.Compare,

	Split: func(key []byte) int {
		if len(key) > subjectBytes && key[0] == prefixEvent {
			return subjectBytes
		}
		return len(key)
	},
}

// ledger is a Pebble database that lives until its last user is gone.
type ledger struct {
	db    *pebble.DB
	fs    vfs.FS
	dir   string
	users atomic.Int64 // the store is one of them, and nobody comes back from zero

	// What happens when the last user leaves.
	obsolete atomic.Bool // its files are removed
	gone     chan struct{}
	closed   error // valid once gone is closed
}

// openLedger opens or makes the database in a directory. What happens in its background goes to failed.
func openLedger(fs vfs.FS, dir string, log *slog.Logger, failed func(error)) (*ledger, error) {
	db, err := OpenDatabase(dir, ledgerOptions(fs, log, failed))
	if err != nil {
		return nil, fmt.Errorf("opening the ledger in %s: %w", dir, err)
	}
	l := &ledger{db: db, fs: fs, dir: dir, gone: make(chan struct{})}
	l.users.Store(1)
	return l, nil
}

func ledgerOptions(fs vfs.FS, log *slog.Logger, failed func(error)) *pebble.Options {
	o := &pebble.Options{
		FS:                          fs,
		Comparer:                    comparer,
		FormatMajorVersion:          pebble.FormatValueSeparation, // by name, so that a newer Pebble doesn't raise it unasked
		CacheSize:                   cacheBytes,
		MemTableSize:                memTableBytes,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       24,
		LBaseMaxBytes:               memTableBytes,
		Logger:                      pebbleLog{log, failed},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { failed(fmt.Errorf("the ledger's disk: %w", InFile(err))) },
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				failed(fmt.Errorf("%w: %s: %w", ErrLedger, info.Path, info.Details))
			},
		},
	}
	for i := range o.Levels {
		o.Levels[i].BlockSize = blockBytes
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(bitsPerKey)
	}
	return o
}

// acquire reports whether the caller is a user now, and has to call release. It isn't once the last one has left.
func (l *ledger) acquire() bool {
	for {
		n := l.users.Load()
		if n == 0 {
			return false
		}
		if l.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (l *ledger) release() {
	if l.users.Add(-1) > 0 {
		return
	}
	l.closed = l.db.Close()
	if l.obsolete.Load() {
		l.closed = errors.Join(l.closed, l.fs.RemoveAll(l.dir))
	}
	close(l.gone)
}

// get returns a copy of the value of a key, or nil if it has none.
func get(from pebble.Reader, key []byte) ([]byte, error) {
	value, closer, err := from.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLedger, InFile(err))
	}
	return bytes.Clone(value), closer.Close()
}

// errEnough ends a walk that has seen what it came for.
var errEnough = errors.New("enough")

// each calls f for every key from lower to before upper, in order, until f returns an error, which it returns unless it is errEnough. Key
// and value are valid only during the call.
func each(from pebble.Reader, lower, upper []byte, f func(key, value []byte) error) (err error) {
	iter, err := from.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLedger, err)
	}
	defer func() {
		if closing := iter.Close(); err == nil && closing != nil {
			err = fmt.Errorf("%w: %w", ErrLedger, InFile(closing))
		}
	}()
	for ok := iter.First(); ok; ok = iter.Next() {
		value, err := iter.ValueAndErr()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrLedger, InFile(err))
		}
		if err := f(iter.Key(), value); err != nil {
			if errors.Is(err, errEnough) {
				return nil
			}
			return err
		}
	}
	return nil
}

// eachWith is each for all keys that begin with a prefix.
func eachWith(from pebble.Reader, prefix []byte, f func(key, value []byte) error) error {
	return each(from, prefix, afterPrefix(prefix), f)
}

// pebbleLog passes on what Pebble has to say. Its chatter about flushes and compactions is for those who debug.
type pebbleLog struct {
	log    *slog.Logger
	failed func(error)
}

// Infof logs at debug level.
func (p pebbleLog) Infof(format string, args ...any) {
	p.log.Debug("ledger: " + fmt.Sprintf(format, args...))
}

// Errorf logs an error.
func (p pebbleLog) Errorf(format string, args ...any) {
	p.log.Error("ledger: " + fmt.Sprintf(format, args...))
}

// Fatalf ends the process, as Pebble expects of it: a commit or its manifest couldn't be written, and what is on disk isn't known.
func (p pebbleLog) Fatalf(format string, args ...any) {
	format = strings.ReplaceAll(format, "%+v", "%v") // which would print the stack
	err := fmt.Errorf("the ledger can't go on: "+format, args...)
	p.failed(err)
	os.Exit(1)
}
