package cache

import (
	"sync/atomic"

	"github.com/dgraph-io/ristretto/v2"
)

// shelf is where entries lie, and what is known of those that lie there.
type shelf struct {
	*ristretto.Cache[uint64, entry]
	counts shelfCounts
}

type shelfCounts struct {
	queued   atomic.Int64 // given to ristretto, and not looked at yet
	entries  atomic.Int64
	bytes    atomic.Int64 // of the entries themselves
	evicted  atomic.Uint64
	rejected atomic.Uint64
}

const (
	maxQueued   = 1024 // ristretto's own limit, of 32768, could hide as many records from the account
	getBuffer   = 64   // what ristretto recommends
	entryExtra  = 130
	ringRoom    = 1 << 20
	typicalCost = 112 + entryExtra
)

// newShelf returns a shelf that takes so many bytes, all in.
func newShelf(maxBytes int64) (*shelf, error) {
	s := &shelf{}
	counters := max(maxBytes/typicalCost*8, 1024)
	room := maxBytes - sketchBytes(counters) - ringRoom
	var err error
	s.Cache, err = ristretto.NewCache(&ristretto.Config[uint64, entry]{
		NumCounters:        counters,
		MaxCost:            room,
		BufferItems:        getBuffer,
		IgnoreInternalCost: true,
		KeyToHash:          func(k uint64) (uint64, uint64) { return k, 0 },
		ShouldUpdate:       func(e, held entry) bool { return e.replaces(held) },
		Cost:               s.arrives,
		OnExit:             s.goes,
		OnEvict:            func(*ristretto.Item[entry]) { s.counts.evicted.Add(1) },
		OnReject:           func(*ristretto.Item[entry]) { s.counts.rejected.Add(1) },
	})
	return s, err
}

// sketchBytes returns what ristretto takes to count that many keys.
func sketchBytes(counters int64) int64 { return 4 * counters }

// put gives an entry to ristretto, which may take it, now or later, or not.
func (s *shelf) put(k uint64, e entry) {
	if s.counts.queued.Add(1) > maxQueued || !s.Set(k, e, 0) {
		s.counts.queued.Add(-1)
		s.counts.rejected.Add(1)
	}
}

// arrives returns an entry's cost. Ristretto calls it once for each that it takes from its queue.
func (s *shelf) arrives(e entry) int64 {
	s.counts.queued.Add(-1)
	s.counts.entries.Add(1)
	s.counts.bytes.Add(e.bytes())
	return e.bytes() + entryExtra
}

// goes is called for each entry that was replaced, evicted or rejected.
func (s *shelf) goes(e entry) {
	if e != nil {
		s.counts.entries.Add(-1)
		s.counts.bytes.Add(-e.bytes())
	}
}
