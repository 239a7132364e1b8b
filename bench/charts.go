package bench

import (
	"fmt"
	"math"
	"strconv"
)

// percentileTicks are the shares below which a percentile's latency lies that are marked.
var percentileTicks = []float64{0, 50, 90, 99, 99.9, 99.99, 99.999, 99.9999, 99.99999}

// percentileChart shows the latency up to which a share of the requests took, with the rare ones drawn out.
func (r *Report) percentileChart() plot {
	var curves []curve
	rarest := 100.0
	for n, run := range r.Runs {
		c := curve{runName(n), lineStyle(n), run.percentiles()}
		for _, d := range c.dots {
			rarest = max(rarest, d.x)
		}
		curves = append(curves, c)
	}
	x := scale{label: "percentile", from: 1, to: rarest, position: math.Log10, text: func(v float64) string {
		return strconv.FormatFloat(math.Round(1e7*(100-100/v))/1e7, 'f', -1, 64) + " %"
	}}
	for _, share := range percentileTicks {
		if v := 100 / (100 - share); v <= rarest {
			x.ticks = append(x.ticks, v)
		}
	}
	smallest, largest := bounds(curves)
	y := logScale("latency", smallest, largest, timeText)
	return draw("by-percentile", "Latency by percentile", r.describe("Latency up to each percentile", "p99"), x, y, curves)
}

// percentiles returns latencies in microseconds by how many requests there are for one that took longer.
func (r Result) percentiles() []dot {
	var dots []dot
	add := func(percentile, value float64) {
		if percentile < 100 && value > 0 {
			dots = append(dots, dot{100 / (100 - percentile), value})
		}
	}
	if r.histogram == nil {
		for _, p := range r.Latency.percentiles() {
			add(p.percentile, p.micros)
		}
		return dots
	}
	for _, b := range r.histogram.CumulativeDistributionWithTicks(ticksPerHalfLife) {
		add(b.Quantile, inMicroseconds(b.ValueAt))
	}
	return dots
}

// momentCharts show how the runs went.
func (r *Report) momentCharts() []plot {
	latency := func(id, title, figure string, of func(Moment) float64) plot {
		curves := r.overTime(of)
		smallest, largest := bounds(curves)
		return draw(id, title, r.describe(title, figure), r.timeScale(), logScale("latency", smallest, largest, timeText), curves)
	}
	return []plot{
		latency("p99-over-time", "p99 over time", "p99", func(m Moment) float64 { return m.P99 }),
		latency("p50-over-time", "p50 over time", "p50", func(m Moment) float64 { return m.P50 }),
		r.rateChart(),
	}
}

func (r *Report) rateChart() plot {
	title, curves := "Rate over time", r.overTime(func(m Moment) float64 { return m.Rate })
	_, largest := bounds(curves)
	if offered := r.Settings.Rate; offered > 0 && r.Settings.Loop != "closed" {
		curves = append([]curve{{"asked for", "asked", []dot{{0, offered}, {r.longest(), offered}}}}, curves...)
		title, largest = title+"; dotted: what was asked for", max(largest, offered)
	}
	y := linearScale("answered in a second", largest, mostYTicks, numberText)
	return draw("rate-over-time", title, r.describe("Requests that were answered without an error in a second", "rate"), r.timeScale(), y, curves)
}

// overTime returns a curve of each run.
func (r *Report) overTime(of func(Moment) float64) []curve {
	var curves []curve
	for n, run := range r.Runs {
		c := curve{name: runName(n), style: lineStyle(n)}
		for _, m := range thinned(run.Series, mostDots) {
			c.dots = append(c.dots, dot{m.At, of(m)})
		}
		curves = append(curves, c)
	}
	return curves
}

func (r *Report) timeScale() scale {
	s := linearScale("seconds from the end of the warm-up", r.longest(), mostXTicks, numberText)
	s.to = max(r.longest(), s.ticks[len(s.ticks)-2])
	if s.ticks[len(s.ticks)-1] > s.to {
		s.ticks = s.ticks[:len(s.ticks)-1]
	}
	return s
}

// longest returns for how many seconds the longest run was looked at.
func (r *Report) longest() float64 {
	longest := 0.0
	for _, run := range r.Runs {
		for _, m := range run.Series {
			if m.At <= mostShown {
				longest = max(longest, m.At)
			}
		}
	}
	if longest == 0 {
		return 1
	}
	return longest
}

// describe says in words what a picture shows, for those who don't see it.
func (r *Report) describe(what, figure string) string {
	s, unit, found := r.Spread(figure)
	switch {
	case !found:
		return what + "."
	case s.Runs == 1:
		return fmt.Sprintf("%s. The run's %s is %s.", what, figure, quantityText(s.Median, unit))
	}
	return fmt.Sprintf("%s, a line for each of %d runs. Their %s is %s in the median, from %s to %s.", what, s.Runs, figure,
		quantityText(s.Median, unit), quantityText(s.Min, unit), quantityText(s.Max, unit))
}

func runName(n int) string { return "run " + strconv.Itoa(n+1) }

// thinned returns at most so many moments. Each is for several in a row, if there are more: with their mean rate and p50, the worst p99, and
// all errors.
func thinned(series []Moment, most int) []Moment {
	together := (len(series) + most - 1) / most
	if together <= 1 {
		return series
	}
	var fewer []Moment
	for len(series) > 0 {
		n := min(together, len(series))
		fewer, series = append(fewer, merged(series[:n])), series[n:]
	}
	return fewer
}

func merged(moments []Moment) Moment {
	var sum Moment
	for _, m := range moments {
		sum.At = m.At
		sum.Rate += m.Rate
		sum.P50 += m.P50
		sum.P99 = max(sum.P99, m.P99)
		sum.Errors += m.Errors
	}
	sum.Rate /= float64(len(moments))
	sum.P50 /= float64(len(moments))
	return sum
}
