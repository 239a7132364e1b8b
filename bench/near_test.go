package bench_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/dchest/siphash"

	"github.com/consentd/consentd/cache"
	"github.com/consentd/consentd/consent"
)

// hits is how many lookups a side of a pair makes.
const hits = 1 << 16

// BenchmarkNearCacheHit measures a lookup in a near cache that finds the record, with the view that it is decided by and the clock that says
// whether it may be, beside what can't be had for less: a keyed hash of tenant and subject, a hit in a Go map of as many entries, and the
// clock. It reports what a hit allocates as well.
func BenchmarkNearCacheHit(b *testing.B) {
	for _, size := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprintf("subjects=%d", size), func(b *testing.B) {
			ids := hotIDs(size)
			held, bare := newHeldCache(b, ids), newBareMap(ids)
			pairs(b, side{"hit-ns", func() float64 { return held.hit(b, ids) }}, side{"bare-ns", func() float64 { return bare.hit(b, ids) }})
			b.ReportMetric(allocated(func() { held.hit(b, ids) })/hits, "B/hit")
		})
	}
}

// hotIDs returns ids in an order that is no order in memory.
func hotIDs(size int) []string {
	ids := make([]string, size)
	for i, n := range shuffled(size) {
		ids[i] = subjectID(n)
	}
	return ids
}

// allocated returns how many bytes the process allocates meanwhile.
func allocated(during func()) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	during()
	runtime.ReadMemStats(&after)
	return float64(after.TotalAlloc - before.TotalAlloc)
}

// shortRecord stands for the record of a subject with a grant and its confirmation: nothing here decides from it.
func shortRecord(n int) consent.Record { return consent.Record{uint64(n), 2, 3, 4, 5, 6} }

// heldCache is a cache that holds the records of all subjects.
type heldCache struct {
	*cache.Cache
	tenant *consent.Tenant
}

func newHeldCache(b *testing.B, ids []string) heldCache {
	b.Helper()
	at := consent.Revision{Epoch: 1, Index: 1}
	fill := func(_ context.Context, w cache.Want) (cache.Filled, error) {
		n := len(w.Subject)
		return cache.Filled{Revision: at, Bucket: uint32(n), Record: shortRecord(n)}, nil
	}
	c, err := cache.New(cache.Options{MaxBytes: 1 << 30, Fill: fill})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	h := heldCache{c, &consent.Tenant{Name: tenant, Number: 1, Epoch: at.Epoch}}
	c.Reset(at, map[string]*consent.Tenant{tenant: h.tenant})
	c.Prove(time.Now(), time.Hour)
	await(b, "all records to be held", func() bool { return h.fillAll(b, ids) })
	return h
}

// fillAll reads all subjects, and reports whether all of them were held.
func (h heldCache) fillAll(b *testing.B, ids []string) bool {
	b.Helper()
	all := true
	for _, id := range ids {
		if _, _, held := h.Held(h.tenant, id); held {
			continue
		}
		all = false
		if _, err := h.Record(b.Context(), h.tenant, id); err != nil {
			b.Fatal(err)
		}
	}
	return all
}

// hit returns how many nanoseconds a lookup takes.
func (h heldCache) hit(b *testing.B, ids []string) float64 {
	b.Helper()
	ctx := context.Background()
	return eachTakes(ids, func(id string) {
		view := h.View()
		record, err := h.Record(ctx, view.Tenants[tenant], id)
		_, fresh := view.Age(time.Now())
		if err != nil || len(record) == 0 || !fresh {
			b.Fatalf("%v, %v, fresh: %t", record, err, fresh)
		}
	})
}

// bareMap is a Go map of records by keyed hash.
type bareMap struct {
	k0, k1 uint64
	of     map[[2]uint64]consent.Record
}

func newBareMap(ids []string) bareMap {
	var secret [16]byte
	_, _ = rand.Read(secret[:])
	m := bareMap{
		binary.LittleEndian.Uint64(secret[:8]), binary.LittleEndian.Uint64(secret[8:]), make(map[[2]uint64]consent.Record, len(ids)),
	}
	for _, id := range ids {
		m.of[m.key(id)] = shortRecord(len(id))
	}
	return m
}

func (m bareMap) key(id string) [2]uint64 {
	var space [64]byte
	first, second := siphash.Hash128(m.k0, m.k1, append(binary.LittleEndian.AppendUint32(space[:0], 1), id...))
	return [2]uint64{first, second}
}

// hit returns how many nanoseconds the least takes that a lookup could do.
func (m bareMap) hit(b *testing.B, ids []string) float64 {
	b.Helper()
	return eachTakes(ids, func(id string) {
		if record := m.of[m.key(id)]; len(record) == 0 || time.Now().IsZero() {
			b.Fatal("nothing is there")
		}
	})
}

// eachTakes returns how many nanoseconds a lookup takes, of subjects in turn.
func eachTakes(ids []string, lookUp func(id string)) float64 {
	began := time.Now()
	next := 0
	for range hits {
		lookUp(ids[next])
		if next++; next == len(ids) {
			next = 0
		}
	}
	return float64(time.Since(began)) / hits
}
