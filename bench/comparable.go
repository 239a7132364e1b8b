package bench

import (
	"fmt"
	"math"
)

// difference is a setting of two reports.
type difference struct {
	name     string
	old, new any
}

// texts says which differ.
func texts(of []difference) []string {
	var all []string
	for _, d := range of {
		if d.old != d.new {
			all = append(all, plain(fmt.Sprintf("%s (%v, then %v)", d.name, d.old, d.new)))
		}
	}
	return all
}

// loadDiffers says in what the loads of two reports differ so much that their figures have nothing to do with each other.
func loadDiffers(before, after *Report) []string {
	a, b := before.Settings, after.Settings
	load := []difference{
		{"scenario", a.Scenario, b.Scenario},
		{"loop", a.Loop, b.Loop},
		{"rate", a.Rate, b.Rate},
		{"arrivals", a.Arrivals, b.Arrivals},
		{"subjects", a.Subjects, b.Subjects},
		{"skew", a.Skew, b.Skew},
		{"share of those allowed", a.Allowed, b.Allowed},
	}
	if a.Loop == "closed" {
		load = append(load, difference{"callers", a.Callers, b.Callers})
	}
	return texts(load)
}

// doubts says why the figures of two reports of the same load may differ although the servers don't.
func doubts(before, after *Report) []string {
	var all []string
	for _, text := range texts(surroundings(before, after)) {
		all = append(all, "another "+text)
	}
	for _, side := range []struct {
		name string
		*Report
	}{{"old", before}, {"new", after}} {
		if side.Interrupted {
			all = append(all, fmt.Sprintf("the %s report was interrupted", side.name))
		}
		for n, run := range side.Runs {
			if run.Wrong > 0 {
				all = append(all, fmt.Sprintf("run %d of the %s report has wrong answers: its figures are worth nothing", n+1, side.name))
			}
		}
	}
	return all
}

func surroundings(before, after *Report) []difference {
	a, b := before.Environment, after.Environment
	s, t := before.Settings, after.Settings
	all := []difference{
		{"processor", a.Processor, b.Processor},
		{"number of processors", a.Processors, b.Processors},
		{"size of memory in GiB", math.Round(a.MemoryGiB), math.Round(b.MemoryGiB)},
		{"kernel", a.Kernel, b.Kernel},
		{"toolchain", a.Toolchain, b.Toolchain},
		{"set of limits", a.Limits, b.Limits},
		{"place of the generator: beside the server", a.SameHost, b.SameHost},
		{"transport", s.Transport, t.Transport},
		{"duration in seconds", s.Seconds, t.Seconds},
		{"warm-up in seconds", s.Warmup, t.Warmup},
		{"seed", s.Seed, t.Seed},
	}
	if s.Loop != "closed" {
		all = append(all, difference{"limit of requests on their way", s.Callers, t.Callers})
	}
	return all
}
