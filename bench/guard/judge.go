package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

const (
	moreAllocs   = 0.5  // of an operation, where what runs beside it allocates too; elsewhere none
	bytesFactor  = 1.05 // of the baseline and what is beyond it
	bytesRoom    = 16
	ratioFactor  = 1.5
	verdictFine  = "ok"
	verdictNew   = "new"
	verdictSlow  = "SLOWER"
	verdictMore  = "MORE ALLOCATIONS"
	verdictBytes = "MORE BYTES"
)

// row is a benchmark with what it was before, beyond its baseline if it has one. What isn't there is NaN.
type row struct {
	name                      string
	allocs, allocsBefore      float64
	bytes, bytesBefore        float64
	ratio, ratioBefore, times float64 // medians; times is of how many times as large one is as the other
	verdict                   string
}

// judge compares the outcomes of both sides, of which the earlier may be none. It fails if something isn't measured that should be.
func judge(here, before []outcome, comparisons []comparison) ([]row, error) {
	baselines := map[string]comparison{}
	isBaseline := map[string]bool{}
	for _, c := range comparisons {
		baselines[c.name], isBaseline[c.baseline] = c, true
		for _, name := range []string{c.name, c.baseline} {
			if !all(here, name) {
				return nil, fmt.Errorf("%s isn't measured any more: put what replaces it into bench/guard/suites.go", name)
			}
		}
	}
	var rows []row
	for _, name := range slices.Sorted(maps.Keys(here[0])) {
		if isBaseline[name] {
			continue
		}
		c, compared := baselines[name]
		if !compared {
			c = comparison{name: name}
		}
		rows = append(rows, judgeOne(here, before, c))
	}
	return rows, nil
}

func judgeOne(here, before []outcome, c comparison) row {
	r := row{name: c.name}
	var fractional bool
	r.allocs, r.bytes, fractional = beyond(here, c)
	r.ratio = median(ratios(here, c))
	r.allocsBefore, r.bytesBefore, r.ratioBefore, r.times = math.NaN(), math.NaN(), math.NaN(), math.NaN()
	if len(before) == 0 || !all(before, c.name) || c.baseline != "" && !all(before, c.baseline) {
		r.verdict = verdictNew
		if r.ratio > c.limit && quickest(here, c) > c.limit {
			r.verdict = verdictSlow
		}
		return r
	}
	var wasFractional bool
	r.allocsBefore, r.bytesBefore, wasFractional = beyond(before, c)
	was := ratios(before, c)
	r.ratioBefore = median(was)
	r.times = median(quotients(ratios(here, c), was))
	room := 0.0
	if fractional || wasFractional {
		room = moreAllocs
	}
	switch {
	case r.allocs > r.allocsBefore+room && fractional == wasFractional:
		r.verdict = verdictMore
	case r.bytes > r.bytesBefore+bytesRoom+(bytesFactor-1)*least(before, c.name, bytesOf):
		r.verdict = verdictBytes
	case r.times > ratioFactor && quickest(here, c)/quickest(before, c) > ratioFactor:
		r.verdict = verdictSlow
	default:
		r.verdict = verdictFine
	}
	return r
}

// beyond returns what a benchmark allocates at least beyond what its baseline does.
func beyond(of []outcome, c comparison) (allocs, bytes float64, fractional bool) {
	_, _, fractional = allocations(of[0][c.name])
	allocs, bytes = least(of, c.name, allocsOf), least(of, c.name, bytesOf)
	if c.baseline != "" {
		allocs -= least(of, c.baseline, allocsOf)
		bytes -= least(of, c.baseline, bytesOf)
	}
	return allocs, bytes, fractional
}

func allocsOf(figures map[string]float64) float64 {
	allocs, _, _ := allocations(figures)
	return allocs
}

func bytesOf(figures map[string]float64) float64 { _, bytes, _ := allocations(figures); return bytes }

// least returns the smallest of a figure: whatever else a process does comes on top.
func least(of []outcome, name string, figure func(map[string]float64) float64) float64 {
	smallest := math.Inf(1)
	for _, o := range of {
		smallest = min(smallest, figure(o[name]))
	}
	return smallest
}

// ratios returns how many times as long as its baseline a benchmark took, each time, and nothing without a baseline.
func ratios(of []outcome, c comparison) []float64 {
	if c.baseline == "" {
		return nil
	}
	var all []float64
	for _, o := range of {
		all = append(all, o[c.name]["ns/op"]/o[c.baseline]["ns/op"])
	}
	return all
}

// quickest returns the ratio of the shortest times: whatever else the machine does comes on top.
func quickest(of []outcome, c comparison) float64 {
	took := func(figures map[string]float64) float64 { return figures["ns/op"] }
	return least(of, c.name, took) / least(of, c.baseline, took)
}

func quotients(these, those []float64) []float64 {
	var all []float64
	for i := range min(len(these), len(those)) {
		all = append(all, these[i]/those[i])
	}
	return all
}

// median returns NaN for none.
func median(of []float64) float64 {
	if len(of) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(of))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

// all says whether every outcome has a benchmark.
func all(of []outcome, name string) bool {
	return !slices.ContainsFunc(of, func(o outcome) bool { return o[name] == nil })
}

// onlySlower says whether something got slower and nothing else got worse, so that measuring again may still change the verdict.
func onlySlower(rows []row) bool {
	slow := 0
	for _, r := range rows {
		if r.verdict == verdictSlow {
			slow++
		}
	}
	return slow > 0 && slow == countWorse(rows)
}

func countWorse(rows []row) int {
	worse := 0
	for _, r := range rows {
		if r.verdict != verdictFine && r.verdict != verdictNew {
			worse++
		}
	}
	return worse
}
