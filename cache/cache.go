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
	// MaxBytes is how much memory it takes, all in: DefaultBytes for 0, at least MinBytes, and at most MostBytes.
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
	// MostBytes is more than any machine is expected to spare: what is above is a mistake, and tables for it couldn't be made.
	MostBytes = 1 << 40
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
//
// # The obvious way, and why not
//
// The obvious way is to set what was read, and to delete or set what has changed. It loses a race that needs no bad luck: a reader misses and
// reads the old record; the change comes, and deletes nothing; the reader sets the old record, which stays. Ristretto adds ways of its
// own: of two Sets of a new key the first stays, a Set may be dropped, and a deleted key may show again while a Set is queued. So nothing
// here rests on what ristretto keeps, or in what order.
//
// # What it is
//
// An entry carries the epoch and the position R that its record is exactly that of, and the bucket that its subject is in. It may be found in
// ristretto, or in the front, a small table of what was asked for often lately. Beside them stand the floors: for each of 2^20 buckets the
// position of its last change, and one position for all, where the stream of changes began. A change only raises floors. One atomic pointer
// leads to the moment: a position p of an epoch, its tenants, its floors, and its proof.
//
// # Invariants
//
//  1. A moment and an entry are never written to once they can be reached. Floors only rise.
//  2. The publisher raises the floors for all changes up to p before it publishes the moment at p.
//  3. A reader loads the moment before it looks at a floor. When it loads the entry doesn't matter.
//  4. An entry counts at a moment of its epoch if R is not above p, and not below the floor of its bucket or of all.
//  5. Each Reset brings floors of its own. Readers of a moment before it keep the old ones, complete for their moment.
//
// # Why an answer is exact
//
// Suppose that an entry counts, and the record changed at q, after R and not after p. The moment's floors begin at or before R by 4, and
// the stream has no gap, so it told of q, and by 2 the floor of the bucket was at least q before the moment at p was published. By 3 the
// reader saw that floor, above R: the entry doesn't count. So the record at p is the one at R.
//
// A fill may come from a replica that is ahead: R is above p. The reader then waits for the stream to come to R, and judges anew. A fill
// from one that is behind, or that was overtaken while it was under way, doesn't count by 4, and is made again. A fill of another epoch
// is thrown away. None of these is ever wrong; all that is lost is time, and the staleness bound ends that.
//
// Freshness is another matter, and the caller's: it reads the clock last, against the View that it loaded first.
type Cache struct {
	ask     func(context.Context, Want) (Filled, error)
	now     func() time.Time
	buckets int
	keys    hasher
	moment  atomic.Pointer[moment]
	front   front
	shelf   *shelf
	gate    gate // to front and shelf, for lookups
	flights flights
	misses  atomic.Uint64
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
	if o.MaxBytes > MostBytes {
		return nil, fmt.Errorf("%d bytes for the cache: it can take at most %d", o.MaxBytes, MostBytes)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	front := newFront(o.MaxBytes)
	shelf, err := newShelf(o.MaxBytes - 8*int64(buckets) - front.bytes())
	if err != nil {
		return nil, err
	}
	c := &Cache{ask: o.Fill, now: o.Now, buckets: buckets, keys: newHasher(), front: front, shelf: shelf}
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
	c.front.clear()
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
	Hits      uint64 // of lookups by Look, Record and Held
	Misses    uint64 // of Look and Record: whoever finds nothing by Held may go on with them
	Fills     uint64 // records asked for
	Evictions uint64 // records that made room for others
	Rejected  uint64 // records that weren't worth keeping
	Bytes     int64  // of memory taken, all in
	Entries   int64
}

// Stats returns what the cache has done, and what it holds.
func (c *Cache) Stats() Stats {
	entered, without := c.gate.passed()
	return Stats{
		Hits:      entered - without,
		Misses:    c.misses.Load(),
		Fills:     c.fills.Load(),
		Evictions: c.shelf.evicted.Load(),
		Rejected:  c.shelf.rejected.Load(),
		Bytes:     8*int64(c.buckets) + c.front.bytes() + c.shelf.taken(),
		Entries:   c.shelf.entries.Load(),
	}
}
