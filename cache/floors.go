package cache

import (
	"sync/atomic"

	"github.com/consentd/consentd/consent"
)

// floors say since when the records of each bucket haven't changed, as far as one stream of changes without a gap tells. They only rise.
type floors struct {
	from consent.Revision // where the stream began; what is older doesn't count
	of   []atomic.Uint64  // by bucket: the position of its last change, or 0
}

func newFloors(from consent.Revision, buckets int) *floors {
	return &floors{from: from, of: make([]atomic.Uint64, buckets)}
}

// raise says that records of the buckets changed, at the latest at a position.
func (f *floors) raise(buckets []uint32, position uint64) {
	for _, bucket := range buckets {
		f.of[bucket].Store(position)
	}
}

// under returns the position that a record of a bucket has to be of, at least, to be still the same.
func (f *floors) under(bucket uint32) uint64 { return max(f.from.Index, f.of[bucket].Load()) }
