package bench

import (
	"maps"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	tick        = 100 * time.Nanosecond // of histograms
	longestTick = int64(time.Minute / tick)
	digits      = 3
	lateness    = time.Millisecond // beyond which a request counts as sent late
)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, longestTick, digits) }

// ticks returns a duration as histograms have it.
func ticks(d time.Duration) int32 { return int32(min(max(int64(d/tick), 1), longestTick)) } //nolint:gosec // within bounds

// outcome is what became of a request.
type outcome struct {
	units   uint64 // that were answered
	checked uint64 // answers that were compared
	wrong   uint64 // of them
	err     error
	kind    string // before the error's own
}

// tally is what became of several.
type tally struct {
	requests, late, dropped, errors uint64
	units, checked, wrong           uint64
	by                              map[string]uint64 // errors
}

func (t *tally) add(o tally) {
	t.requests += o.requests
	t.late += o.late
	t.dropped += o.dropped
	t.errors += o.errors
	t.units += o.units
	t.checked += o.checked
	t.wrong += o.wrong
	for kind, n := range o.by {
		t.count(kind, n)
	}
}

func (t *tally) count(kind string, n uint64) {
	if t.by == nil {
		t.by = map[string]uint64{}
	}
	t.by[kind] += n
}

// recorder is what one caller has seen since it was last read: its own, so that callers don't meet. It keeps each request's times, and no
// histogram, of which a thousand callers would have a hundred megabytes, and nobody the time to read them.
type recorder struct {
	mu    sync.Mutex
	times []times
	tally tally
}

// times are those of a request, in ticks.
type times struct {
	lag     int32 // between due and sent
	latency int32 // between due and answered; 0 if it failed
}

// record notes a request that was due, sent and answered.
func (r *recorder) record(o outcome, due, sent, answered time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, lag := times{}, sent.Sub(due)
	t.lag = ticks(lag)
	r.tally.requests++
	if lag > lateness {
		r.tally.late++
	}
	r.tally.checked += o.checked
	r.tally.wrong += o.wrong
	r.tally.units += o.units
	if o.err != nil {
		r.tally.errors++
		r.tally.count(o.kind+kindOf(o.err), 1)
	} else {
		t.latency = ticks(answered.Sub(due))
	}
	r.times = append(r.times, t)
}

// drop notes a request that wasn't sent.
func (r *recorder) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tally.requests++
	r.tally.dropped++
}

// empty moves what was seen to a window.
func (r *recorder) empty(to *window) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.times {
		_ = to.lag.RecordValue(int64(t.lag)) // ticks are within its bounds
		if t.latency > 0 {
			_ = to.latency.RecordValue(int64(t.latency))
		}
	}
	to.tally.add(r.tally)
	r.times, r.tally = r.times[:0], tally{}
}

// window is what all callers have seen in a while.
type window struct {
	latency, lag *hdrhistogram.Histogram
	tally        tally
}

func newWindow() *window { return &window{latency: newHistogram(), lag: newHistogram()} }

func (w *window) add(o *window) {
	w.latency.Merge(o.latency)
	w.lag.Merge(o.lag)
	w.tally.add(o.tally)
}

func (w *window) reset() {
	w.latency.Reset()
	w.lag.Reset()
	w.tally = tally{}
}

// good returns how many requests were answered without an error.
func (w *window) good() uint64 { return w.tally.requests - w.tally.dropped - w.tally.errors }

// moment returns the window as one of a series.
func (w *window) moment(at, took time.Duration) Moment {
	return Moment{
		At: at.Seconds(), Rate: float64(w.good()) / took.Seconds(),
		P50: micros(w.latency, 50), P99: micros(w.latency, 99), Errors: w.tally.errors + w.tally.dropped,
	}
}

func micros(h *hdrhistogram.Histogram, percentile float64) float64 {
	if h.TotalCount() == 0 {
		return 0
	}
	return float64(h.ValueAtPercentile(percentile)) * float64(tick) / float64(time.Microsecond)
}

// errorsBy returns a copy.
func (t *tally) errorsBy() map[string]uint64 { return maps.Clone(t.by) }
