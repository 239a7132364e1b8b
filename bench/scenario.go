package bench

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Scenario is what is asked of a server.
type Scenario struct {
	Name string
	Doc  string // what a request is
	Unit string // what Result.Units counts

	rate         float64 // requests/s, if nothing is said
	open         func(*load) (request, error)
	beside       beside                                        // what happens while the load runs. nil: nothing
	phases       func(context.Context, *load) (*Result, error) // takes the place of the one run. nil: there is one
	needsCluster bool
}

// request makes the i-th request of all, and is one caller's own. The context ends with the request's time.
type request func(ctx context.Context, i uint64) outcome

// beside happens once while a load runs, within a time, and returns what came of it.
type beside func(ctx context.Context, l *load, within time.Duration) ([]Figure, error)

var scenarios = []Scenario{
	{Name: "check", Doc: "Check of one permission, each a call of its own", Unit: "checks", rate: 2000, open: openCheck},
	{Name: "check-stream", Doc: "checks by the Go SDK, whose callers share one stream", Unit: "checks", rate: 10_000, open: openStream},
	{Name: "batch-10", Doc: "BatchCheck of 10 subjects", Unit: "decisions", rate: 1000, open: openBatch(10)},
	{Name: "batch-100", Doc: "BatchCheck of 100 subjects", Unit: "decisions", rate: 500, open: openBatch(100)},
	{Name: "batch-1000", Doc: "BatchCheck of 1,000 subjects", Unit: "decisions", rate: 100, open: openBatch(1000)},
	{Name: "segment-10k", Doc: "CheckSegment of 10,000 subjects in one chunk", Unit: "decisions", rate: 20, open: openSegment(10_000)},
	{Name: "segment-100k", Doc: "CheckSegment of 100,000 subjects in ten chunks", Unit: "decisions", rate: 2, open: openSegment(100_000)},
	{Name: "write", Doc: "WriteEvents of one grant of a new subject, acknowledged when it can't be lost", Unit: "events", rate: 200, open: openWrite},
	{Name: "import", Doc: "1,000 rows of ImportEvents, one event each", Unit: "events", rate: 20, open: openImport},
	{Name: "mixed", Doc: "95 % checks and 5 % writes", Unit: "requests", rate: 2000, open: openMixed},
	{
		Name: "withdraw", Doc: "checks, while consents are withdrawn: how long after the acknowledgement anybody still gets ALLOW",
		Unit: "checks", rate: 1000, open: openCheck, beside: withdrawals,
	},
	{
		Name: "leader-kill", Doc: "writes and checks, while the leader is killed: how long until a write succeeds",
		Unit: "requests", rate: 200, open: openMixed, beside: killing, needsCluster: true,
	},
	{
		Name: "overload", Doc: "checks and batches of 100, as many as can be answered, and 2 and 10 times as many", Unit: "requests", rate: 1,
		open: openBoth, phases: overload,
	},
}

// Scenarios returns all that there are.
func Scenarios() []Scenario { return append([]Scenario(nil), scenarios...) }

func scenarioOf(name string) (*Scenario, error) {
	var names []string
	for i := range scenarios {
		if scenarios[i].Name == name {
			return &scenarios[i], nil
		}
		names = append(names, scenarios[i].Name)
	}
	return nil, fmt.Errorf("%w: there is no scenario %q: choose %s", ErrOptions, name, strings.Join(names, ", "))
}
