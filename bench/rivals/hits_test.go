package rivals

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/dchest/siphash"
	"github.com/maypok86/otter/v2"

	"github.com/consentd/consentd/cache"
	"github.com/consentd/consentd/consent"
)

const (
	subjects  = 10_000_000
	room      = subjects / 100 // of how many subjects there is about room for the records
	skew      = 0.99
	asked     = 100_000 // by each side of a pair
	warming   = 40      // such portions before the first pair
	perImport = 100     // questions between two entries of an import, with as many changes
	tenant    = "default"
)

// records is a cache of records: look reports whether it had the subject's, and gets it if it hadn't; change says that records changed.
type records interface {
	look(n uint64) bool
	change(subjects []uint64)
}

// BenchmarkHitRatio compares how many of the questions about subjects drawn by Zipf's law find their record in our cache, and in otter, with
// as much memory: in both of them the records, what they are found by, and the floors that ours holds, which any cache would need that is
// told of changes by bucket. Under import, as many subjects change as are asked about, drawn evenly. An iteration is a pair: both are asked
// the same questions. Getting a missing record yields the processor once, and takes no longer: over a network it takes a hundred microseconds.
func BenchmarkHitRatio(b *testing.B) {
	for _, importing := range []bool{false, true} {
		b.Run(map[bool]string{false: "idle", true: "import"}[importing], func(b *testing.B) {
			ours, theirs, ourMB, theirMB := equals(b)
			questions := newQuestions(importing)
			for range warming {
				questions.next()
				questions.put(ours)
				questions.put(theirs)
			}
			var ourShare, theirShare, behind []float64
			for b.Loop() {
				questions.next()
				our, their := questions.put(ours), questions.put(theirs)
				ourShare, theirShare, behind = append(ourShare, our), append(theirShare, their), append(behind, their-our)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(ourShare), "ours-%")
			b.ReportMetric(median(theirShare), "otter-%")
			b.ReportMetric(median(behind), "points-behind")
			b.ReportMetric(slices.Max(behind), "max-points-behind")
			b.ReportMetric(float64(ours.Stats().Entries), "ours-entries")
			b.ReportMetric(float64(theirs.EstimatedSize()), "otter-entries")
			b.ReportMetric(ourMB, "ours-MB")
			b.ReportMetric(theirMB, "otter-MB")
		})
	}
}

// equals returns our cache, and otter with room for what takes as much memory, and how much that is, floors and all.
func equals(b *testing.B) (ours *ourCache, theirs otterCache, ourMB, theirMB float64) {
	b.Helper()
	var sample otterCache
	ourBytes := memoryOf(func() { ours = newOurCache(b); fill(ours, 3*room) })
	theirBytes := memoryOf(func() { sample = newOtter(b, room); fill(sample, 3*room) })
	perEntry := theirBytes / float64(sample.EstimatedSize())
	size := int((ourBytes - floorBytes) / perEntry)
	theirBytes = memoryOf(func() { theirs = newOtter(b, size); fill(theirs, 3*room) })
	runtime.KeepAlive(ours)
	return ours, theirs, ourBytes / 1e6, (theirBytes + floorBytes) / 1e6
}

// floorBytes is what the floors take, in ours and beside otter.
const floorBytes = 8 * consent.Buckets

// fill asks about subjects until the cache is full.
func fill(r records, subjects uint64) {
	for n := range subjects {
		r.look(n)
	}
}

// memoryOf returns how much more memory is in use after a function than before.
func memoryOf(made func()) float64 {
	before := inUse()
	made()
	return float64(inUse()) - float64(before)
}

func inUse() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools have let go of
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// questions are about subjects, with changes between them if an import runs.
type questions struct {
	law       *zipf
	importing bool
	about     []uint64
	changed   []uint64
}

func newQuestions(importing bool) *questions {
	return &questions{law: newZipf(1, subjects, skew), importing: importing, about: make([]uint64, asked)}
}

// next draws new ones.
func (q *questions) next() {
	for i := range q.about {
		q.about[i] = q.law.next()
	}
	if q.importing {
		q.changed = slices.Grow(q.changed[:0], asked)[:asked]
		for i := range q.changed {
			q.changed[i] = q.law.random.Uint64N(subjects)
		}
	}
}

// put returns the share, in percent, of the questions whose record was there.
func (q *questions) put(to records) float64 {
	found := 0
	for from := 0; from < len(q.about); from += perImport {
		for _, n := range q.about[from : from+perImport] {
			if to.look(n) {
				found++
			}
		}
		if q.importing {
			to.change(q.changed[from : from+perImport])
		}
	}
	return 100 * float64(found) / float64(len(q.about))
}

// recordOf is as long as the record of a subject with a grant and its confirmation.
func recordOf(n uint64) consent.Record { return consent.Record{n, 2, 3, 4, 5, 6} }

func bucketOf(n uint64) uint32 { return uint32(scatter(n^0x9e3779b97f4a7c15) % consent.Buckets) }

func idOf(n uint64) string { return "subject" + strconv.FormatUint(n, 10) + "@example.com" }

// ourCache is the near cache's, told of the changes.
type ourCache struct {
	*cache.Cache
	tenant   *consent.Tenant
	asked    uint64 // the subject of the question under way
	missed   bool   // its record
	position uint64
	buckets  []uint32
}

func newOurCache(b *testing.B) *ourCache {
	b.Helper()
	o := &ourCache{tenant: &consent.Tenant{Name: tenant, Number: 1, Epoch: 1}, position: 1}
	var err error
	if o.Cache, err = cache.New(cache.Options{MaxBytes: 32 << 20, Fill: o.get}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(o.Close)
	o.Reset(consent.Revision{Epoch: 1, Index: o.position}, map[string]*consent.Tenant{tenant: o.tenant})
	o.Prove(time.Now(), time.Hour)
	return o
}

func (o *ourCache) get(_ context.Context, w cache.Want) (cache.Filled, error) {
	o.missed = true
	runtime.Gosched()
	return cache.Filled{Revision: w.AtLeast, Bucket: bucketOf(o.asked), Record: recordOf(o.asked)}, nil
}

func (o *ourCache) look(n uint64) bool {
	o.asked, o.missed = n, false
	if _, err := o.Record(context.Background(), o.tenant, idOf(n)); err != nil {
		panic(fmt.Sprintf("subject %d: %v", n, err))
	}
	return !o.missed
}

func (o *ourCache) change(subjects []uint64) {
	o.buckets = o.buckets[:0]
	for _, n := range subjects {
		o.buckets = append(o.buckets, bucketOf(n))
	}
	o.position++
	o.Advance(o.position, o.buckets, nil)
}

// otterCache holds records by the same kind of key, and forgets exactly those that change.
type otterCache struct {
	*otter.Cache[[2]uint64, consent.Record]
}

func newOtter(b *testing.B, size int) otterCache {
	b.Helper()
	c, err := otter.New(&otter.Options[[2]uint64, consent.Record]{MaximumSize: size})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.StopAllGoroutines() })
	return otterCache{c}
}

func (o otterCache) look(n uint64) bool {
	key := keyOf(n)
	if _, held := o.GetIfPresent(key); held {
		return true
	}
	o.Set(key, recordOf(n))
	return false
}

func (o otterCache) change(subjects []uint64) {
	for _, n := range subjects {
		o.Invalidate(keyOf(n))
	}
}

func keyOf(n uint64) [2]uint64 {
	var space [64]byte
	first, second := siphash.Hash128(1, 2, append(binary.LittleEndian.AppendUint32(space[:0], 1), idOf(n)...))
	return [2]uint64{first, second}
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}
