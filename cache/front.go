package cache

import (
	"math/bits"
	"sync/atomic"
)

// front is a table of entries before ristretto, because ristretto's Get takes longer than all else that a lookup does. Each subject has one
// slot that it may be in, which it shares with others: whoever was asked for most often lately is likely to be there. What lies in a slot is
// judged as what ristretto returns is, so an entry that is there too long is only in the way.
//
// One lookup in 32 passes by the front, so that ristretto hears of those who are asked for, and keeps what is worth it. Whoever
// is found behind the front gets a free slot at once, and one time in 64 another's: hot entries get in soon, and cold ones seldom push them out.
type front struct {
	slots []slot
	shift int  // of a key's first word, to the slot
	eager bool // for tests: nobody passes by, and whoever is found is put here
}

// slot holds an entry, and the place of its key, which tells its subject from all others together with the check in the entry. While the entry is
// exchanged the place is nobody's.
type slot struct {
	place atomic.Uint64
	first atomic.Pointer[uint64] // word of the entry
}

const (
	// Slots are few enough for the processor's own cache, and take a fortieth of the memory at most.
	maxFront      = 1 << 16
	bytesForFront = 4 << 10 // of the cache, for each slot

	// frontBytes is what a slot takes: its own memory, and often an entry that ristretto has let go. One of more than maxFrontEntry isn't put
	// here, so all of them together are never more than a twentieth of the cache beyond that.
	frontBytes    = 16 + 64
	maxFrontEntry = 256
)

func newFront(maxBytes int64) front {
	n := min(floorPower(maxBytes/bytesForFront), maxFront)
	return front{slots: make([]slot, n), shift: 64 - bits.TrailingZeros64(uint64(n))}
}

func (f *front) bytes() int64 { return frontBytes * int64(len(f.slots)) }

// passedBy reports whether a lookup doesn't look here. Turns are counted.
func (f *front) passedBy(turn uint64) bool { return !f.eager && scattered(turn)>>59 == 0 }

// takes reports whether the entry that a lookup found elsewhere is put here.
func (f *front) takes(turn uint64, k key, e entry) bool {
	return f.eager || (scattered(turn)>>58 == 0 || f.hasRoom(k)) && e.bytes() <= maxFrontEntry
}

// hasRoom reports whether the slot has nobody's entry, or the subject's own, which may be out of date.
func (f *front) hasRoom(k key) bool {
	place := f.slots[k.first>>f.shift].place.Load()
	return place == 0 || place == k.place()
}

// scattered makes turns of a rhythm fall into no rhythm: by the golden ratio.
func scattered(turn uint64) uint64 { return turn * 0x9E3779B97F4A7C15 }

// nobody is the place of a slot whose entry is being exchanged. One subject in 2^64 has it too, and is judged by the check alone.
const nobody = 1

// get returns a subject's entry, or none. The place is looked at twice, as the entry may be exchanged in between.
func (f *front) get(k key) entry {
	s, place := &f.slots[k.first>>f.shift], k.place()
	if s.place.Load() == place {
		if first := s.first.Load(); s.place.Load() == place {
			return entry{first}
		}
	}
	return entry{}
}

// put puts a subject's entry in its slot, unless another one is just put there.
func (f *front) put(k key, e entry) {
	s := &f.slots[k.first>>f.shift]
	if was := s.place.Load(); was != nobody && s.place.CompareAndSwap(was, nobody) {
		s.first.Store(e.first)
		s.place.Store(k.place())
	}
}

// clear lets go of all.
func (f *front) clear() {
	for i := range f.slots {
		f.slots[i].first.Store(nil)
	}
}
