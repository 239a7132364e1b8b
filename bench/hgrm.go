package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	perMilli         = 1000 * perMicro
	ticksPerHalfLife = 5 // lines for each halving of what is beyond a percentile: what HdrHistogram's own tools write
)

// writeHgrm writes the percentile distribution of all runs together, in milliseconds, as HdrHistogram's plotters read it.
func writeHgrm(w io.Writer, r *Report) error {
	h := r.histogram()
	if h == nil {
		return errors.New("the report has no histogram of its latencies: measure again")
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)")
	for _, b := range h.CumulativeDistributionWithTicks(ticksPerHalfLife) {
		share := b.Quantile / 100
		fmt.Fprintf(&text, "%12.4f %2.12f %10d", float64(b.ValueAt)/perMilli, share, b.Count)
		if share < 1 {
			fmt.Fprintf(&text, " %14.2f", 1/(1-share))
		}
		text.WriteByte('\n')
	}
	fmt.Fprintf(&text, "#[Mean    = %12.4f, StdDeviation   = %12.4f]\n", h.Mean()/perMilli, h.StdDev()/perMilli)
	fmt.Fprintf(&text, "#[Max     = %12.4f, Total count    = %12d]\n", float64(h.Max())/perMilli, h.TotalCount())
	_, err := w.Write(text.Bytes())
	return err
}
