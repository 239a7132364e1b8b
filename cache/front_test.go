package cache

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/consentd/consentd/consent"
)

// Who is asked for often gets to the front soon, and is answered from there.
func TestTheHotAreInFront(t *testing.T) {
	c, tenant := proven(t, func(_ context.Context, w Want) (Filled, error) {
		return Filled{Revision: w.AtLeast, Record: consent.Record{9}}, nil
	})
	k := c.keys.of(tenant.Number, "anna")
	for asked := 0; c.front.get(k).first == nil; asked++ {
		if asked == 100_000 {
			t.Fatalf("asked for %d times, and not in front", asked)
		}
		if _, err := c.Record(t.Context(), tenant, "anna"); err != nil {
			t.Fatal(err)
		}
	}
	c.shelf.Del(k.place())
	c.shelf.Wait()
	for range 10 {
		if _, r, here := c.Held(tenant, "anna"); here {
			if len(r) != 1 || r[0] != 9 {
				t.Errorf("record %v from the front", r)
			}
			return
		}
	}
	t.Error("all pass by the front")
}

// Ristretto hears of those who are asked for: one lookup in 32 goes by the front.
func TestSomePassByTheFront(t *testing.T) {
	f, passed := newFront(MinBytes), 0
	for turn := range uint64(32_000) {
		if f.passedBy(turn) {
			passed++
		}
	}
	if passed < 900 || passed > 1100 {
		t.Errorf("%d of 32,000 pass by", passed)
	}
}

// Whoever comes again with a newer record takes the place of the older one at once.
func TestOwnPlaceIsTaken(t *testing.T) {
	f := newFront(bytesForFront)
	own, other := key{first: 1 << 40}, key{first: 2 << 40}
	f.put(own, newEntry(own, Filled{Revision: at(1)}))
	if !f.hasRoom(own) || f.hasRoom(other) {
		t.Errorf("room for the subject there: %t, for another: %t", f.hasRoom(own), f.hasRoom(other))
	}
}

// A closed cache holds no records, in front either.
func TestClosedFrontHoldsNothing(t *testing.T) {
	c, tenant := proven(t, func(_ context.Context, w Want) (Filled, error) { return Filled{Revision: w.AtLeast}, nil })
	k := c.keys.of(tenant.Number, "anna")
	c.front.put(k, newEntry(k, Filled{Revision: at(10)}))
	c.Close()
	if c.front.get(k).first != nil {
		t.Error("a record is held after Close")
	}
}

// However many share a slot and are put there at once: nobody gets what is another's.
func TestOneSlotIsSharedByMany(t *testing.T) {
	f := newFront(bytesForFront)
	if len(f.slots) != 1 {
		t.Fatalf("%d slots, want one for all", len(f.slots))
	}
	var all sync.WaitGroup
	var gets [4]int
	for own := range gets {
		all.Go(func() {
			k := key{first: uint64(own+1) << 8, second: 5} // the same check: the place has to tell
			e := newEntry(k, Filled{Revision: at(uint64(own + 1))})
			for round := 0; round < 100_000 || gets[own] == 0; round++ { // who is stopped in the middle of a put keeps the slot from all others
				f.put(k, e)
				if got := f.get(k); got.first != nil {
					gets[own]++
					if got.position() != uint64(own+1) {
						t.Errorf("subject %d got the entry of %d", own+1, got.position())
						return
					}
				}
			}
		})
	}
	all.Wait()
}

// What the front may hold beyond what ristretto counts is bounded.
func TestFrontTakesNoLargeEntry(t *testing.T) {
	f := newFront(MinBytes)
	k := key{first: 1 << 20}
	for words, want := range map[int]bool{10: true, maxFrontEntry/8 - entryHeader: true, maxFrontEntry / 8: false, 9000: false} {
		e := newEntry(k, Filled{Revision: at(1), Record: make(consent.Record, words)})
		taken := 0
		for turn := range uint64(6400) {
			if f.takes(turn, k, e) {
				taken++
			}
		}
		if got := taken > 0; got != want {
			t.Errorf("%d words: taken %d of 6400 times", words, taken)
		}
	}
}

// The memory is what was promised with a front full of entries that ristretto let go, too.
func TestFrontIsCounted(t *testing.T) {
	before := liveHeap()
	c, err := New(Options{MaxBytes: MinBytes, Now: time.Now, Fill: func(_ context.Context, w Want) (Filled, error) {
		return Filled{Revision: w.AtLeast, Bucket: 5, Record: make(consent.Record, maxFrontEntry/8-entryHeader)}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.front.eager = true
	h := &hoarder{c: c, tenant: shop(7)}
	c.Reset(at(10), tenants(h.tenant))
	c.Prove(time.Now(), time.Hour)
	for c.Stats().Evictions < 4*uint64(len(c.front.slots)) {
		h.ask(1000)
	}
	isNear(t, fmt.Sprintf("with %d slots", len(c.front.slots)), liveHeap()-before, MinBytes)
}
