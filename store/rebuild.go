package store

import (
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/consentd/consentd/consent"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/sync/errgroup"
)

const (
	// The records are read in this many parts of the key space, so that workers that are done early take over from others.
	rebuildParts = 256

	// Records are counted in steps, so that workers don't share a cache line for each.
	rebuildStep = 1024

	reportEvery = time.Second
)

// openState opens a ledger and rebuilds from it what is held in memory, each reader of it at a pace.
func (s *Store) openState(dir string, beside func() *pace) (*state, error) {
	l, err := openLedger(s.options.FS, dir, s.options.Logger, s.fail)
	if err != nil {
		return nil, err
	}
	st := &state{ledger: l, memory: newMemory(), changes: newChanges(s.options.Changes)}
	// A reader may be in the memory of a state that was replaced. It keeps the memory reachable until it has read the last word and the
	// shard's version after that, and only then are the chunks unmapped.
	runtime.AddCleanup(st.memory, (*arena).close, st.memory.arena)
	if err := st.rebuild(s.options.Logger, beside); err != nil {
		l.release()
		return nil, err
	}
	return st, nil
}

// rebuild reads everything but history.
func (st *state) rebuild(log *slog.Logger, beside func() *pace) error {
	db := st.ledger.db
	value, err := get(db, []byte{prefixMeta})
	if err != nil {
		return err
	}
	if st.meta, err = decodeMeta(value); err != nil {
		return err
	}
	if st.nextDue, err = readNextDue(db); err != nil {
		return err
	}
	if st.requests, err = readRequests(db, st.meta.horizon); err != nil {
		return err
	}
	tenants, err := readTenants(db, st.meta.epoch)
	if err != nil {
		return err
	}
	known, err := readLearners(db)
	if err != nil {
		return err
	}
	st.set(known)
	st.begin(&consent.Head{
		Revision: consent.Revision{Epoch: st.meta.epoch, Index: st.meta.applied}, Stamp: st.meta.stamp, Tenants: tenants,
	})
	return readRecords(db, st.memory, log, beside)
}

func readRequests(from pebble.Reader, horizon uint64) (*requests, error) {
	known := newRequests()
	err := each(from, requestsFrom(horizon+1), afterPrefix([]byte{prefixRequest}), func(key, _ []byte) error {
		if len(key) != 1+len(consent.RequestID{}) {
			return fmt.Errorf("%w: the request %x", ErrLedger, key)
		}
		known.add(consent.RequestID(key[1:]))
		return nil
	})
	return known, err
}

// readRecords puts every record of the ledger into memory, from as many goroutines as there are processors, each in a range of keys
// that no other is in. It logs how far it is.
func readRecords(db *pebble.DB, to *memory, log *slog.Logger, beside func() *pace) error {
	var part, count atomic.Int64
	finish := reportRecords(log, &count)
	var workers errgroup.Group
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() error {
			in, beside := &loader{to: to}, beside()
			defer in.finish()
			for {
				n := part.Add(1) - 1
				if n >= rebuildParts {
					return nil
				}
				if err := readPart(db, in, byte(n), &count, beside); err != nil {
					return err
				}
			}
		})
	}
	err := workers.Wait()
	finish()
	return err
}

// readPart reads the records whose pseudonyms begin with a byte.
func readPart(db *pebble.DB, in *loader, first byte, count *atomic.Int64, beside *pace) error {
	var words []uint64
	seen := int64(0)
	defer func() { count.Add(seen % rebuildStep) }()
	return eachWith(db, []byte{prefixRecord, first}, func(key, value []byte) (err error) {
		if words, err = decodeRecordValue(words, key, value); err != nil {
			return err
		}
		in.put(keyOf(key[1:]), words)
		beside.worked(len(key) + len(value))
		if seen++; seen%rebuildStep == 0 {
			count.Add(rebuildStep)
		}
		return nil
	})
}

// reportRecords logs every second how many records are read, until the function it returns is called.
func reportRecords(log *slog.Logger, count *atomic.Int64) (finish func()) {
	start := time.Now()
	report := func(message string) {
		n, took := count.Load(), time.Since(start)
		log.Info(message, "records", n, "seconds", took.Seconds(), "records_per_second", int(float64(n)/took.Seconds()))
	}
	ticker, done, stopped := time.NewTicker(reportEvery), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-ticker.C:
				report("reading records")
			case <-done:
				return
			}
		}
	}()
	return func() {
		ticker.Stop()
		close(done)
		<-stopped
		report("records are read")
	}
}
