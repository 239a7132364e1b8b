package rivals

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// turn is how long one side is measured at a time, and turns how often within a pair.
const (
	turn  = 100 * time.Millisecond
	turns = 2
)

// side is one of two things that are compared. Its ask answers questions about as many subjects as atOnce says, by the caller of that number.
type side struct {
	atOnce int
	ask    func(caller int, subjects []int, allowed []bool) error
}

// pairs measures a side beside another in turns, as many pairs as the benchmark has iterations: ten for a figure. It reports what both did in
// a second, how long a caller of this side waited, and the median of the pairs' ratios with the smallest and the largest.
func pairs(b *testing.B, callers int, this, beside side) {
	b.Helper()
	took, besideTook := newHistograms(callers), newHistograms(callers)
	rate(b, callers, this, newHistograms(callers)) // connects
	rate(b, callers, beside, besideTook)
	var did, besideDid, ratios []float64
	for b.Loop() {
		var one, other float64
		for range turns {
			one += rate(b, callers, this, took) / turns
			other += rate(b, callers, beside, besideTook) / turns
			if b.Failed() {
				b.FailNow()
			}
		}
		did, besideDid, ratios = append(did, one), append(besideDid, other), append(ratios, one/other)
	}
	b.ReportMetric(0, "ns/op") // of a pair, which says nothing
	b.ReportMetric(median(did), "answers/s")
	b.ReportMetric(median(besideDid), "check/s")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(slices.Min(ratios), "min-ratio")
	b.ReportMetric(slices.Max(ratios), "max-ratio")
	for _, other := range took[1:] {
		took[0].Merge(other)
	}
	b.ReportMetric(float64(took[0].ValueAtPercentile(50))/1e3, "p50-µs")
	b.ReportMetric(float64(took[0].ValueAtPercentile(99))/1e3, "p99-µs")
}

// newHistograms returns one for each caller, up to ten seconds.
func newHistograms(callers int) []*hdrhistogram.Histogram {
	all := make([]*hdrhistogram.Histogram, callers)
	for i := range all {
		all[i] = hdrhistogram.New(1, int64(10*time.Second), 3)
	}
	return all
}

// rate returns how many answers a second callers get that ask one question, or one batch, after the other for a turn. Every answer is looked at.
func rate(b *testing.B, callers int, s side, took []*hdrhistogram.Histogram) float64 {
	b.Helper()
	var answers atomic.Int64
	var over atomic.Bool
	var all sync.WaitGroup
	began := time.Now()
	for caller := range callers {
		all.Go(func() {
			n, err := s.askUntil(&over, caller, callers, took[caller])
			if err != nil {
				b.Error(err)
			}
			answers.Add(int64(n))
		})
	}
	end := time.AfterFunc(turn, func() { over.Store(true) })
	defer end.Stop()
	all.Wait()
	return float64(answers.Load()) / time.Since(began).Seconds()
}

// askUntil asks about the subjects in an order that is none in memory, from another one on for each caller, and returns how many were answered.
func (s side) askUntil(over *atomic.Bool, caller, callers int, took *hdrhistogram.Histogram) (answers int, err error) {
	about, allowed := make([]int, s.atOnce), make([]bool, s.atOnce)
	next := caller * len(order) / callers
	for ; !over.Load(); answers += s.atOnce {
		for i := range about {
			about[i] = order[next%len(order)]
			next++
		}
		began := time.Now()
		if err := s.ask(caller, about, allowed); err != nil {
			return answers, err
		}
		_ = took.RecordValue(int64(time.Since(began)))
		if err := verify(about, allowed); err != nil {
			return answers, err
		}
	}
	return answers, nil
}
