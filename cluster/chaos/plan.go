package chaos

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Step is a fault of a plan.
type Step struct {
	Fault string
	At    time.Duration // since the plan began
	For   time.Duration // how long it lasts
	Dice  uint64        // where the randomness of its details starts
}

// Plan is the faults of a run, in the order in which they begin. Some of them overlap.
type Plan []Step

// NewPlan returns the plan of a seed: so many of the faults, each at some time in a window.
func NewPlan(seed uint64, faults []string, count int, window time.Duration) Plan {
	dice := rand.New(rand.NewPCG(seed, 1))
	plan := make(Plan, count)
	for i := range plan {
		plan[i] = Step{
			Fault: faults[dice.IntN(len(faults))],
			At:    time.Duration(dice.Int64N(int64(window))),
			For:   window/16 + time.Duration(dice.Int64N(int64(window/2))),
			Dice:  dice.Uint64(),
		}
	}
	slices.SortFunc(plan, func(a, b Step) int { return cmp.Compare(a.At, b.At) })
	return plan
}

// overlaps reports whether some of the faults last at the same time.
func (p Plan) overlaps() bool {
	var until time.Duration
	for _, s := range p {
		if s.At < until {
			return true
		}
		until = max(until, s.At+s.For)
	}
	return false
}

func (p Plan) String() string {
	texts := make([]string, len(p))
	for i, s := range p {
		texts[i] = fmt.Sprintf("%s at %s for %s", s.Fault, s.At.Round(time.Millisecond), s.For.Round(time.Millisecond))
	}
	return strings.Join(texts, ", ")
}

// Random returns the dice of a step.
func (s Step) Random() *rand.Rand { return rand.New(rand.NewPCG(s.Dice, 2)) }

// Play carries out a plan: it calls begin at the time of each step, and what that returned, if not nil, when the step is over. All calls
// are made from this goroutine, one at a time.
func Play(plan Plan, begin func(Step) (end func())) {
	began := time.Now()
	type ending struct {
		at  time.Duration
		end func()
	}
	var endings []ending
	finish := func(until time.Duration) {
		slices.SortStableFunc(endings, func(a, b ending) int { return cmp.Compare(a.at, b.at) })
		for len(endings) > 0 && endings[0].at <= until {
			<-time.After(endings[0].at - time.Since(began))
			endings[0].end()
			endings = endings[1:]
		}
	}
	for _, s := range plan {
		finish(s.At)
		<-time.After(s.At - time.Since(began))
		if end := begin(s); end != nil {
			endings = append(endings, ending{s.At + s.For, end})
		}
	}
	finish(math.MaxInt64)
}
