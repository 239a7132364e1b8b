package cache

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/consentd/consentd/consent"
)

// The heap that is live with a cache is what the cache was allowed, within a fifth: as soon as it is full, and also after it has exchanged
// as many records as it holds, which makes the maps of the library grow on. What Stats says is as near to it.
func TestMemoryIsWhatWasPromised(t *testing.T) {
	sizes := []struct{ mib, words int }{{16, 0}, {16, 10}, {16, 300}, {27, 10}, {40, 0}, {48, 10}, {100, 6}}
	if pausing || testing.Short() {
		sizes = sizes[1:3] // the race detector makes everything else so, too
	}
	for _, size := range sizes {
		t.Run(fmt.Sprintf("%d MiB of records of %d words", size.mib, size.words), func(t *testing.T) {
			allowed := int64(size.mib) << 20
			before := liveHeap()
			h := newHoarder(t, allowed, size.words)
			defer h.c.Close()
			for h.c.Stats().Evictions == 0 {
				h.ask(1000)
			}
			full, said := liveHeap()-before, h.c.Stats().Bytes
			isNear(t, "when it is full", full, allowed)
			isNear(t, "what Stats says of that", said, full)
			held := uint64(h.c.Stats().Entries)
			for h.c.Stats().Evictions < held {
				h.ask(1000)
			}
			thrashed := liveHeap() - before
			isNear(t, "after thrashing", thrashed, allowed)
			isNear(t, "what Stats says of that", h.c.Stats().Bytes, thrashed)
		})
	}
}

// What is queued for the library isn't in its account, so it has to be little, however fast records come.
func TestQueueIsBounded(t *testing.T) {
	h := newHoarder(t, MinBytes, 10)
	defer h.c.Close()
	for range 100 {
		for range 100 {
			h.once()
		}
		if n := h.c.shelf.queued.Load(); n > maxQueued {
			t.Fatalf("%d records are queued, want %d at most", n, maxQueued)
		}
	}
}

func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // what pools kept goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func isNear(t *testing.T, what string, got, want int64) {
	t.Helper()
	ratio := float64(got) / float64(want)
	t.Logf("%s: %.3f of %d bytes", what, ratio, want)
	if math.Abs(ratio-1) > 0.2 {
		t.Errorf("%s: %d bytes, want %d within a fifth", what, got, want)
	}
}

// hoarder asks a cache for subjects that are new each time, twice each, so that they are worth a place.
type hoarder struct {
	c      *Cache
	tenant *consent.Tenant
	asked  int
}

func newHoarder(t *testing.T, bytes int64, words int) *hoarder {
	t.Helper()
	record := make(consent.Record, words)
	c, err := New(Options{MaxBytes: bytes, Fill: func(_ context.Context, w Want) (Filled, error) {
		return Filled{Revision: w.AtLeast, Bucket: 5, Record: record}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	h := &hoarder{c: c, tenant: shop(7)}
	c.Reset(at(10), tenants(h.tenant))
	c.Prove(time.Now(), time.Hour)
	return h
}

// ask asks for n subjects, and lets the library keep up.
func (h *hoarder) ask(n int) {
	for range n {
		h.once()
		if h.asked%200 == 0 {
			h.c.shelf.Wait()
		}
	}
	h.c.shelf.Wait()
}

func (h *hoarder) once() {
	h.asked++
	name := "customer-" + strconv.Itoa(h.asked)
	for range 2 {
		_, _ = h.c.Record(context.Background(), h.tenant, name)
	}
}
