package cache

import (
	"math/bits"
	"sync/atomic"

	"github.com/dgraph-io/ristretto/v2"
)

// shelf is where entries lie: ristretto, which chooses what to keep, and an account of it.
type shelf struct {
	*ristretto.Cache[uint64, entry]
	doorstep doorstep
	fixed    int64 // bytes that don't depend on what lies there

	queued   atomic.Int64 // given to ristretto, and not looked at yet
	entries  atomic.Int64
	bytes    atomic.Int64 // of the entries themselves
	evicted  atomic.Uint64
	rejected atomic.Uint64
}

const (
	// slotBytes is what ristretto takes for an entry beside the entry: 64 bytes for a slot of a map of values and 18 of a map of costs, in
	// maps that are between two fifths and four fifths full. It is measured: see TestMemoryIsWhatWasPromised.
	slotBytes = 158
	// usualBytes is an entry of four grants, with its slot.
	usualBytes = 96 + slotBytes
	// ristrettoBytes is what ristretto takes from the start: a queue of 32,768 pointers, 256 maps, buffers of reads.
	ristrettoBytes = 512 << 10

	countersPerEntry = 8 // at most, and at least half of it: numbers of counters are powers of two
	counterBytes     = 4 // four rows of half a byte, and 16 bits of a Bloom filter

	maxQueued   = 1024 // ristretto's own limit, 32,768, would keep as many records out of the account
	readsBuffer = 64   // what ristretto recommends
)

// newShelf returns a shelf that takes so many bytes, all in.
func newShelf(maxBytes int64) (*shelf, error) {
	usual := maxBytes / usualBytes
	s := &shelf{doorstep: newDoorstep(usual)}
	counters := floorPower(usual * countersPerEntry)
	s.fixed = ristrettoBytes + counters*counterBytes + s.doorstep.bytes()
	var err error
	s.Cache, err = ristretto.NewCache(&ristretto.Config[uint64, entry]{
		NumCounters:        counters,
		MaxCost:            maxBytes - s.fixed,
		BufferItems:        readsBuffer,
		IgnoreInternalCost: true,
		KeyToHash:          func(place uint64) (uint64, uint64) { return place, 0 },
		ShouldUpdate:       func(e, held entry) bool { return e.replaces(held) },
		Cost:               s.arrives,
		OnExit:             s.goes,
		OnEvict:            func(*ristretto.Item[entry]) { s.evicted.Add(1) },
		OnReject:           func(*ristretto.Item[entry]) { s.rejected.Add(1) },
	})
	return s, err
}

// floorPower returns the largest power of two that isn't above n.
func floorPower(n int64) int64 { return 1 << (bits.Len64(uint64(n)) - 1) }

// put offers an entry to ristretto, which takes it, now or later, or doesn't.
func (s *shelf) put(place uint64, e entry) {
	if !s.worthwhile(place) {
		s.rejected.Add(1)
		return
	}
	if s.queued.Add(1) > maxQueued || !s.Set(place, e, 0) {
		s.queued.Add(-1)
		s.rejected.Add(1)
	}
}

// worthwhile reports whether somebody may get a place: while there are free ones; for a newer record; or on coming again soon.
func (s *shelf) worthwhile(place uint64) bool {
	if s.evicted.Load() == 0 {
		return true
	}
	_, held := s.GetTTL(place)
	return held || s.doorstep.again(place)
}

// arrives returns an entry's cost. Ristretto calls it once for each that it takes from its queue.
func (s *shelf) arrives(e entry) int64 {
	s.queued.Add(-1)
	s.entries.Add(1)
	s.bytes.Add(e.bytes())
	return e.bytes() + slotBytes
}

// goes is called for each entry that was replaced, evicted or rejected.
func (s *shelf) goes(e entry) {
	if e.first != nil {
		s.entries.Add(-1)
		s.bytes.Add(-e.bytes())
	}
}

// taken returns how many bytes the shelf takes, all in.
func (s *shelf) taken() int64 { return s.fixed + s.bytes.Load() + slotBytes*s.entries.Load() }
