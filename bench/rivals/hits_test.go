package rivals

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

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

// BenchmarkHitRatio compares how many of the questions about subjects drawn by Zipf's law find their record in our cache, and in others, with
// as much memory: in all of them the records, what they are found by, and the floors that ours holds, which any cache would need that is
// told of changes by bucket. Under import, as many subjects change as are asked about, drawn evenly. In an iteration all are asked the same
// questions. Getting a missing record yields the processor once, and takes no longer: over a network it takes a hundred microseconds.
func BenchmarkHitRatio(b *testing.B) {
	for _, importing := range []bool{false, true} {
		b.Run(map[bool]string{false: "idle", true: "import"}[importing], func(b *testing.B) {
			ours, theirs := equals(b)
			questions := newQuestions(importing)
			var ourShare, behind []float64
			shares := make([][]float64, len(theirs))
			ask := func() {
				questions.next()
				our := questions.put(ours.records)
				ourShare = append(ourShare, our)
				for i, t := range theirs {
					shares[i] = append(shares[i], questions.put(t.records))
				}
				behind = append(behind, shares[0][len(shares[0])-1]-our)
			}
			for range warming {
				ask()
			}
			ourShare, behind, shares = nil, nil, make([][]float64, len(theirs))
			for b.Loop() {
				ask()
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(ourShare), "ours-%")
			b.ReportMetric(ours.entries(), "ours-entries")
			b.ReportMetric(ours.megabytes, "ours-MB")
			b.ReportMetric(median(behind), "points-behind")
			b.ReportMetric(slices.Max(behind), "max-points-behind")
			for i, t := range theirs {
				b.ReportMetric(median(shares[i]), t.name+"-%")
				b.ReportMetric(t.entries(), t.name+"-entries")
				b.ReportMetric(t.megabytes, t.name+"-MB")
			}
		})
	}
}

// sized is a cache and how much memory it takes, floors and all.
type sized struct {
	name      string
	records   records
	entries   func() float64
	megabytes float64
}

// equals returns our cache, and the others, otter first, each with room for what takes as much memory.
func equals(b *testing.B) (ours sized, theirs []sized) {
	b.Helper()
	var our *ourCache
	ourBytes := memoryOf(func() { our = newOurCache(b); fill(our, 3*room) })
	ours = sized{"ours", our, func() float64 { return float64(our.Stats().Entries) }, ourBytes / 1e6}
	for _, c := range caches {
		var sample, equal cached
		sampleBytes := memoryOf(func() { sample = c.make(b, room); fill(filled{sample}, 3*room) })
		size := int((ourBytes - floorBytes) / (sampleBytes / float64(sample.entries())))
		bytes := memoryOf(func() { equal = c.make(b, size); fill(filled{equal}, 3*room) })
		theirs = append(theirs, sized{c.name, filled{equal}, func() float64 { return float64(equal.entries()) }, (bytes + floorBytes) / 1e6})
		runtime.KeepAlive(sample)
	}
	runtime.KeepAlive(our)
	return ours, theirs
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

// filled gets what somebody else's cache lacks, and forgets exactly the records that change.
type filled struct{ cached }

func (f filled) look(n uint64) bool {
	key := keyOf(idOf(n))
	if _, held := f.get(key); held {
		return true
	}
	f.put(key, recordOf(n))
	return false
}

func (f filled) change(subjects []uint64) {
	for _, n := range subjects {
		f.forget(keyOf(idOf(n)))
	}
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}
