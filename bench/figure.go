package bench

import (
	"slices"
	"strings"
)

// Units that figures are in. Other figures are in "NAME/s", or in what a scenario says.
const (
	unitMicros   = "µs"
	unitPercent  = "%"
	unitRequests = "" // a number of requests
)

// A knownFigure is one that runs of all scenarios have.
type knownFigure struct {
	name  string
	label string // for people
	unit  string
	more  bool // is better
	of    func(Result) float64
	known func(Result) bool // whether the run measured it
}

var knownFigures = []knownFigure{
	{"rate", "requests answered", "/s", true, func(r Result) float64 { return r.Rate }, lasted},
	{"units", "", "/s", true, func(r Result) float64 { return r.Units }, lasted},
	{"p50", "latency p50", unitMicros, false, func(r Result) float64 { return r.Latency.P50 }, answered},
	{"p90", "latency p90", unitMicros, false, func(r Result) float64 { return r.Latency.P90 }, answered},
	{"p99", "latency p99", unitMicros, false, func(r Result) float64 { return r.Latency.P99 }, answered},
	{"p99.9", "latency p99.9", unitMicros, false, func(r Result) float64 { return r.Latency.P999 }, answered},
	{"p99.99", "latency p99.99", unitMicros, false, func(r Result) float64 { return r.Latency.P9999 }, answered},
	{"max", "latency max", unitMicros, false, func(r Result) float64 { return r.Latency.Max }, answered},
	{"mean", "latency mean", unitMicros, false, func(r Result) float64 { return r.Latency.Mean }, answered},
	{"cpu", "server CPU", unitMicros, false, func(r Result) float64 { return r.Server.PerUnit }, serverAnswered},
	{"generator-cpu", "generator CPU", unitMicros, false, func(r Result) float64 { return r.Client.PerUnit }, answered},
	{"errors", "errors", unitRequests, false, func(r Result) float64 { return float64(r.Errors) }, asked},
	{"dropped", "dropped", unitRequests, false, func(r Result) float64 { return float64(r.Dropped) }, asked},
	{"late", "sent late", unitRequests, false, func(r Result) float64 { return float64(r.Late) }, asked},
	{"wrong", "wrong answers", unitRequests, false, func(r Result) float64 { return float64(r.Wrong) }, compared},
}

func lasted(r Result) bool         { return r.Seconds > 0 }
func asked(r Result) bool          { return r.Requests > 0 }
func answered(r Result) bool       { return r.Rate > 0 }
func compared(r Result) bool       { return r.Checked > 0 || r.Wrong > 0 }
func serverAnswered(r Result) bool { return r.Server != nil && answered(r) }

// Figures returns the names of the figures that thresholds and comparisons may be of, besides those that only some scenarios have.
func Figures() []string {
	var names []string
	for _, f := range knownFigures {
		names = append(names, f.name)
	}
	return names
}

func figureNamed(name string) (f knownFigure, found bool) {
	at := slices.IndexFunc(knownFigures, func(f knownFigure) bool { return f.name == name })
	if at < 0 {
		return f, false
	}
	return knownFigures[at], true
}

// measured returns what a run came to, and in what. Times are in microseconds. It returns false if the run didn't measure it.
func (r Result) measured(name string) (value float64, unit string, found bool) {
	if f, found := figureNamed(name); found {
		if !f.known(r) {
			return 0, f.unit, false
		}
		return f.of(r), f.unit, true
	}
	at := slices.IndexFunc(r.Extra, func(f Figure) bool { return f.Name == name })
	if at < 0 {
		return 0, "", false
	}
	value, unit = inMicros(r.Extra[at].Value, r.Extra[at].Unit)
	return value, unit, true
}

// inMicros turns times into microseconds, and leaves everything else as it is.
func inMicros(value float64, unit string) (float64, string) {
	switch unit {
	case "ns":
		return value / 1e3, unitMicros
	case "us", "μs", unitMicros: // two letters look like µ
		return value, unitMicros
	case "ms":
		return value * 1e3, unitMicros
	case "s":
		return value * 1e6, unitMicros
	}
	return value, unit
}

// extraNames returns the names of the figures that only this scenario has, in the order of the runs.
func (r *Report) extraNames() []string {
	var names []string
	for _, run := range r.Runs {
		for _, f := range run.Extra {
			if !slices.Contains(names, f.Name) {
				names = append(names, f.Name)
			}
		}
	}
	return names
}

// isBetterHigh says whether more of a figure is better: of rates and goodput it is.
func isBetterHigh(name, unit string) bool {
	if f, found := figureNamed(name); found {
		return f.more
	}
	return strings.HasSuffix(unit, "/s") || strings.HasSuffix(name, "goodput")
}
