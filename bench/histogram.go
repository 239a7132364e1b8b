package bench

import (
	"fmt"
	"math"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// perMicro is how many of a histogram's units, which are 100 ns, make a microsecond.
const perMicro = 10

// seal sets the latencies of a run.
func (r *Result) seal(h *hdrhistogram.Histogram) error {
	encoded, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return fmt.Errorf("encoding the latencies: %w", err)
	}
	r.histogram, r.Encoded, r.Latency = h, string(encoded), latencyOf(h)
	return nil
}

// latencyOf returns zeros for a histogram of nothing.
func latencyOf(h *hdrhistogram.Histogram) Latency {
	at := func(percentile float64) float64 { return inMicroseconds(h.ValueAtPercentile(percentile)) }
	return Latency{
		Mean: math.Round(h.Mean()) / perMicro, Max: inMicroseconds(h.Max()),
		P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), P9999: at(99.99),
	}
}

// percentileOf is a percentile, and the microseconds up to which its requests took.
type percentileOf struct{ percentile, micros float64 }

// percentiles returns those that a report names, in ascending order.
func (l Latency) percentiles() []percentileOf {
	return []percentileOf{{50, l.P50}, {90, l.P90}, {99, l.P99}, {99.9, l.P999}, {99.99, l.P9999}}
}

func inMicroseconds(value int64) float64 { return float64(value) / perMicro }

// unseal decodes the histogram of a run that was read. A run without one has none.
func (r *Result) unseal() error {
	if r.Encoded == "" {
		return nil
	}
	h, err := hdrhistogram.Decode([]byte(r.Encoded))
	if err != nil {
		return fmt.Errorf("the histogram of its latencies is broken (%w): take the file as it was written", err)
	}
	r.histogram = h
	return nil
}

// histogram returns the latencies of all runs together, or nil if a run has none.
func (r *Report) histogram() *hdrhistogram.Histogram {
	var all *hdrhistogram.Histogram
	for _, run := range r.Runs {
		switch {
		case run.histogram == nil:
			return nil
		case all == nil:
			all = hdrhistogram.New(1, run.histogram.HighestTrackableValue(), int(run.histogram.SignificantFigures()))
		}
		all.Merge(run.histogram)
	}
	return all
}
