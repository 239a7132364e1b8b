package chaos

import (
	"fmt"
	"maps"
	"slices"
)

// Totals counts what histories held.
type Totals struct {
	Runs, Done, NotDone, Unknown int
	Checks                       [3]int // answered, by level
	Faults                       map[string]int
}

// Add counts a run.
func (t *Totals) Add(p Plan, ops []Op) {
	t.Runs++
	if t.Faults == nil {
		t.Faults = map[string]int{}
	}
	for _, s := range p {
		t.Faults[s.Fault]++
	}
	for i := range ops {
		switch o := &ops[i]; {
		case o.Kind == Check:
			t.Checks[o.Level]++
		case o.Outcome == Done:
			t.Done++
		case o.Outcome == NotDone:
			t.NotDone++
		default:
			t.Unknown++
		}
	}
}

func (t *Totals) String() string {
	faults := ""
	for _, name := range slices.Sorted(maps.Keys(t.Faults)) {
		faults += fmt.Sprintf("\n  %4d  %s", t.Faults[name], name)
	}
	return fmt.Sprintf("%d runs: %d writes acknowledged, %d not written, %d of unknown outcome; answered checks: %d minimize_latency, %d at_least, "+
		"%d fully_consistent; faults:%s", t.Runs, t.Done, t.NotDone, t.Unknown, t.Checks[Fast], t.Checks[AtLeast], t.Checks[Full], faults)
}
