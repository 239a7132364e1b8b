package chaos

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// Report writes down what became of a series of runs: a line for each as it ends, and what they all held at the end. It goes to the test's
// log, and to the end of the file that CHAOSOUT names.
type Report struct {
	tb    testing.TB
	name  string
	out   *os.File // nil without CHAOSOUT
	began time.Time
	runs  []*RunReport
}

// RunReport is what became of a run. Whoever carries it out fills in what it held.
type RunReport struct {
	Seed uint64
	Plan Plan
	// Ops are the calls that the judges were shown, and Refused is what came of the others.
	Ops     []Op
	Refused Refusals
	// Took are the faults of the plan that are known to have done something. Nil means that nobody looked.
	Took map[string]int
	// Judged is set once the judges have spoken.
	Judged bool

	clean bool
	lasts time.Duration
}

// NewReport begins the report of a series, which ends with the test.
func NewReport(tb testing.TB, name string) *Report {
	tb.Helper()
	r := &Report{tb: tb, name: name, began: time.Now()}
	if path := os.Getenv("CHAOSOUT"); path != "" {
		var err error
		if r.out, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil { //nolint:gosec // whoever runs it names it
			tb.Fatalf("CHAOSOUT: %v", err)
		}
	}
	r.say(tb, "## %s, %s", name, r.began.UTC().Format(time.RFC3339))
	tb.Cleanup(r.end)
	return r
}

// neverTook is how often a fault may be planned without ever doing anything.
const neverTook = 8

// Begin begins the report of a run, which ends with its test.
func (r *Report) Begin(tb testing.TB, seed uint64, plan Plan) *RunReport {
	tb.Helper()
	run := &RunReport{Seed: seed, Plan: plan}
	began := time.Now()
	tb.Logf("repeat with CHAOSSEED=%d CHAOSRUNS=1: %s", seed, plan)
	tb.Cleanup(func() {
		run.clean, run.lasts = !tb.Failed() && run.Judged, time.Since(began)
		r.runs = append(r.runs, run)
		r.say(tb, "%s", run)
	})
	return run
}

// say writes a line.
func (r *Report) say(tb testing.TB, format string, args ...any) {
	tb.Helper()
	line := fmt.Sprintf(format, args...)
	tb.Log(line)
	if r.out != nil {
		if _, err := fmt.Fprintln(r.out, line); err != nil {
			tb.Errorf("CHAOSOUT: %v", err)
		}
	}
}

func (r *RunReport) verdict() string {
	switch {
	case r.clean:
		return "clean"
	case r.Judged:
		return "NOT CLEAN"
	default:
		return "NOT JUDGED"
	}
}

func (r *RunReport) String() string {
	return fmt.Sprintf("seed %d: %s, %.1fs: %s", r.Seed, r.verdict(), r.lasts.Seconds(), r.Plan)
}

// end writes the totals, and fails the test for a fault that never did anything.
func (r *Report) end() {
	r.tb.Helper()
	total, planned, took, looked := r.total()
	r.say(r.tb, "%s%s", total, faultTable(planned, took, looked))
	if looked {
		for _, name := range idle(planned, took) {
			r.tb.Errorf("%q was planned %d times, and never did anything", name, planned[name])
		}
	}
	if r.out != nil {
		if err := r.out.Close(); err != nil {
			r.tb.Errorf("CHAOSOUT: %v", err)
		}
	}
}

// idle returns the faults that were planned often, and never did anything.
func idle(planned, took map[string]int) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(planned)) {
		if planned[name] >= neverTook && took[name] == 0 {
			names = append(names, name)
		}
	}
	return names
}

// total returns all runs together, in words, and how often each fault was planned and did something.
func (r *Report) total() (text string, planned, took map[string]int, looked bool) {
	planned, took = map[string]int{}, map[string]int{}
	var c count
	judged, overlapping := 0, 0
	var unclean []string
	for _, run := range r.runs {
		c.add(run)
		if run.Judged {
			judged++
		}
		if run.Plan.overlaps() {
			overlapping++
		}
		if !run.clean {
			unclean = append(unclean, fmt.Sprint(run.Seed))
		}
		for _, s := range run.Plan {
			planned[s.Fault]++
		}
		for name, times := range run.Took {
			took[name] += times
		}
		looked = looked || run.Took != nil
	}
	if unclean == nil {
		unclean = []string{"none"}
	}
	return fmt.Sprintf("%s: %d runs in %s, %d judged, %d with two faults at once; seeds of those that weren't clean: %s\n%s", r.name,
		len(r.runs), time.Since(r.began).Round(time.Second), judged, overlapping, strings.Join(unclean, ", "), &c), planned, took, looked
}

func faultTable(planned, took map[string]int, looked bool) string {
	if len(planned) == 0 {
		return ""
	}
	text := "\nplanned  took effect  fault"
	for _, name := range slices.Sorted(maps.Keys(planned)) {
		effect := "-"
		if looked {
			effect = fmt.Sprint(took[name])
		}
		text += fmt.Sprintf("\n%7d  %11s  %s", planned[name], effect, name)
	}
	return text
}

// count counts calls.
type count struct {
	done, notDone, unknown int
	allow, deny            [3]int // by level
	near                   int
	refused                Refusals
}

func (c *count) add(r *RunReport) {
	for i := range r.Ops {
		if r.Ops[i].Near {
			c.near++
		}
		switch o := &r.Ops[i]; {
		case o.Kind == Check && o.Allowed:
			c.allow[o.Level]++
		case o.Kind == Check:
			c.deny[o.Level]++
		case o.Outcome == Done:
			c.done++
		case o.Outcome == NotDone:
			c.notDone++
		default:
			c.unknown++
		}
	}
	c.refused.Stale += r.Refused.Stale
	c.refused.Other += r.Refused.Other
}

func (c *count) String() string {
	text := fmt.Sprintf("writes: %d acknowledged, %d not written, %d of unknown outcome\nchecks: %d STALE, %d other errors",
		c.done, c.notDone, c.unknown, c.refused.Stale, c.refused.Other)
	for level := Fast; level <= Full; level++ {
		text += fmt.Sprintf("; %s %d ALLOW, %d DENY", level, c.allow[level], c.deny[level])
	}
	if c.near > 0 {
		text += fmt.Sprintf("; %d answered by near caches", c.near)
	}
	return text
}
