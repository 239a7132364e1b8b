package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/consentd/consentd/consent"
)

// Options say what a cache is to be.
type Options struct {
	// MaxBytes is how much memory it takes, all in: DefaultBytes for 0, and at least MinBytes.
	MaxBytes int64
	// Fill returns the record of one subject. It is called by whoever needs the record, at most once at a time for each.
	Fill func(context.Context, Want) (Filled, error)
	// Now is the clock: time.Now for nil.
	Now func() time.Time
}

const (
	// DefaultBytes is what a cache takes if nothing is said.
	DefaultBytes = 256 << 20
	// MinBytes is the least that a cache can do with: 8 MiB for floors, and as much for records.
	MinBytes = 16 << 20
)

// Want says what record to return.
type Want struct {
	Tenant, Subject string           // the subject's id in the form that it has behind the door
	AtLeast         consent.Revision // of this epoch, at this position or a later one
}

// Filled is a subject's record.
type Filled struct {
	Revision consent.Revision // what the record is exactly that of
	Bucket   uint32           // that the subject is in, below consent.Buckets
	Record   consent.Record   // valid; nil if nothing is known of the subject. The cache copies it
}

// Cache holds records of subjects. It is safe for concurrent use.
type Cache struct {
	ask     func(context.Context, Want) (Filled, error)
	now     func() time.Time
	buckets int
	keys    hasher
	moment  atomic.Pointer[moment]
	shelf   *shelf
	gate    gate // to the shelf, for lookups
	flights flights
	fills   atomic.Uint64
	pauses  pauses
	keeping sync.RWMutex    // held while something is put on the shelf, and for good once that is closed
	life    context.Context // ends when the cache is closed
	end     context.CancelFunc
}

// New returns an empty cache, whose publisher has yet to begin, or an error if the options make no sense.
func New(o Options) (*Cache, error) { return newCache(o, consent.Buckets) }

func newCache(o Options, buckets int) (*Cache, error) {
	if o.Fill == nil {
		return nil, errors.New("a cache needs Fill to get records from")
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultBytes
	}
	if o.MaxBytes < MinBytes {
		return nil, fmt.Errorf("%d bytes for the cache: it needs at least %d", o.MaxBytes, MinBytes)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	shelf, err := newShelf(o.MaxBytes - 8*int64(buckets))
	if err != nil {
		return nil, err
	}
	c := &Cache{ask: o.Fill, now: o.Now, buckets: buckets, keys: newHasher(), shelf: shelf}
	c.life, c.end = context.WithCancel(context.Background())
	c.moment.Store(&moment{
		view:   consent.View{Head: &consent.Head{}},
		floors: newFloors(consent.Revision{}, 1),
		next:   make(chan struct{}),
	})
	return c, nil
}

// Close lets go of all that is held, and ends what runs. Whoever waits gets an error, and so does whoever asks from now on.
func (c *Cache) Close() {
	c.keeping.Lock()
	defer c.keeping.Unlock()
	if c.gate.shut.Load() {
		return
	}
	c.gate.close()
	c.end()
	c.shelf.Close()
}

// keep puts an entry where it is looked for.
func (c *Cache) keep(k key, e entry) {
	c.keeping.RLock()
	defer c.keeping.RUnlock()
	if !c.gate.shut.Load() {
		c.shelf.put(k.place(), e)
	}
}

// Stats is what a cache has done since it was made, and what it holds.
type Stats struct {
	Hits, Misses uint64 // of lookups by Record and Held
	Fills        uint64 // records asked for
	Evictions    uint64 // records that made room for others
	Rejected     uint64 // records that weren't worth keeping
	Bytes        int64  // of memory taken, all in
	Entries      int64
}

// Stats returns what the cache has done, and what it holds.
func (c *Cache) Stats() Stats {
	entered, missed := c.gate.passed()
	return Stats{
		Hits:      entered - missed,
		Misses:    missed,
		Fills:     c.fills.Load(),
		Evictions: c.shelf.evicted.Load(),
		Rejected:  c.shelf.rejected.Load(),
		Bytes:     8*int64(c.buckets) + c.shelf.taken(),
		Entries:   c.shelf.entries.Load(),
	}
}
