package bench

import "slices"

// A Spread is what a figure came to over the runs of a report.
type Spread struct {
	Median float64 `json:"median"` // between the two in the middle if there is an even number
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Runs   int     `json:"runs"`
}

// Spread returns what a figure came to, in which unit: times are in "µs", counts of requests have none. It returns false if a run didn't
// measure it, or there is no run.
func (r *Report) Spread(figure string) (s Spread, unit string, found bool) {
	var values []float64
	for _, run := range r.Runs {
		value, in, found := run.measured(figure)
		if !found || len(values) > 0 && in != unit {
			return Spread{}, in, false
		}
		values, unit = append(values, value), in
	}
	if len(values) == 0 {
		return Spread{}, "", false
	}
	return spreadOf(values), unit, true
}

// spreadOf returns the spread of at least one value.
func spreadOf(values []float64) Spread {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + median) / 2
	}
	return Spread{Median: median, Min: sorted[0], Max: sorted[len(sorted)-1], Runs: len(sorted)}
}

// Relative returns half of the range from the smallest to the largest, as a share of the median: 0.01 is what people write as ± 1 %. It
// returns 0 if the median is 0.
func (s Spread) Relative() float64 {
	if s.Median == 0 {
		return 0
	}
	return (s.Max - s.Min) / 2 / s.Median
}
