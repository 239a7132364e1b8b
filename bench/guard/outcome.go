package main

import (
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// outcome is what one run said: by benchmark, as in store.Get/hit, and unit.
type outcome map[string]map[string]float64

// processors is the end of a benchmark's name.
var processors = regexp.MustCompile(`-\d+$`)

// add reads what a test binary of a room printed. Of several results of a benchmark, the least figures count. It reports what isn't a result
// where there should be one.
func (o outcome) add(room, printed string) error {
	for line := range strings.Lines(printed) {
		words := strings.Fields(line)
		if len(words) < 4 || !strings.HasPrefix(words[0], "Benchmark") {
			continue
		}
		name := path.Base(room) + "." + processors.ReplaceAllString(strings.TrimPrefix(words[0], "Benchmark"), "")
		figures := o[name]
		if figures == nil {
			figures = map[string]float64{}
			o[name] = figures
		}
		for i := 2; i+1 < len(words); i += 2 {
			value, err := strconv.ParseFloat(words[i], 64)
			if err != nil {
				return fmt.Errorf("%s: %q is no result of a benchmark: %w", room, strings.TrimSpace(line), err)
			}
			if before, known := figures[words[i+1]]; !known || value < before {
				figures[words[i+1]] = value
			}
		}
	}
	return nil
}

// allocations returns the two units of what is allocated: to a fraction where the benchmark says so itself, because package testing rounds.
func allocations(figures map[string]float64) (allocs, bytes float64, fractional bool) {
	if allocs, fractional = figures["allocs/check"]; fractional {
		return allocs, figures["B/check"], true
	}
	return figures["allocs/op"], figures["B/op"], false
}
