package cluster

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// perSecond has so many goroutines call a function for a while, and returns how many calls a second succeeded. Each call gets a number of its
// own. An error ends the benchmark.
func perSecond(b *testing.B, callers int, span time.Duration, call func(caller, number int) error) float64 {
	b.Helper()
	var all sync.WaitGroup
	var numbers atomic.Int64
	began := time.Now()
	for caller := range callers {
		all.Go(func() {
			for time.Since(began) < span {
				if err := call(caller, int(numbers.Add(1))); err != nil {
					b.Errorf("caller %d: %v", caller, err)
					return
				}
			}
		})
	}
	all.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return float64(numbers.Load()) / time.Since(began).Seconds()
}

// share returns the value below which a share of all values is.
func share[T cmp.Ordered](values []T, part float64) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(part*float64(len(sorted))), len(sorted)-1)]
}

func median[T cmp.Ordered](values []T) T { return share(values, 0.5) }

// reportMS reports the middle, the 99th percentile and the largest of times in milliseconds.
func reportMS(b *testing.B, name string, times []time.Duration) {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(ms(median(times)), name+"-p50-ms")
	b.ReportMetric(ms(share(times, 0.99)), name+"-p99-ms")
	b.ReportMetric(ms(slices.Max(times)), name+"-max-ms")
}
