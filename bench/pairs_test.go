package bench_test

import (
	"slices"
	"testing"
	"time"
)

// turn is how long one side is measured at a time, and turns how often within a pair.
const (
	turn  = 100 * time.Millisecond
	turns = 5
)

// side is one of two things that are compared: measure returns how much it did in a second, or how long it took.
type side struct {
	unit    string
	measure func() float64
}

// pairs measures two sides in turns, as many pairs of them as the benchmark has iterations: ten for a figure. What else the machine does for
// a while so falls on both. It reports the median of the pairs' ratios, the smallest, the largest, and what each side did.
func pairs(b *testing.B, ours, beside side) {
	b.Helper()
	var did, besideDid, ratios []float64
	for b.Loop() {
		var one, other float64
		for range turns {
			one += ours.measure() / turns
			other += beside.measure() / turns
			if b.Failed() {
				b.FailNow()
			}
		}
		did, besideDid, ratios = append(did, one), append(besideDid, other), append(ratios, one/other)
	}
	b.ReportMetric(0, "ns/op") // of a pair, which says nothing
	b.ReportMetric(median(did), ours.unit)
	b.ReportMetric(median(besideDid), beside.unit)
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(slices.Min(ratios), "min-ratio")
	b.ReportMetric(slices.Max(ratios), "max-ratio")
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}
