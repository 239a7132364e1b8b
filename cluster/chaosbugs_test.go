//go:build consentd_bugs

package cluster

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/consentd/consentd/cluster/chaos"
)

// bugAttempts is how many runs a judge may take to find a bug.
const bugAttempts = 20

// chaosBugs are deliberate bugs, and the faults that bring them to light. What is wrong with each is at its name in the code.
var chaosBugs = map[string][]string{
	"skip the sync of the log":              {"power loss of all"},
	"acknowledge before commit":             {"leader can't send", "leader cut off by a coup"},
	"call lost leadership not written":      {"leader can't hear", "leader cut off by a coup"},
	"read under the lease":                  {"leader cut off by a coup"},
	"trust VerifyLeader":                    {"leader cut off by a coup"},
	"join a round that has begun":           {"slow links"},
	"stamp freshness when it was answered":  {"slow links"},
	"answer before the first proof":         {"power loss of a follower", "learner away past the log"},
	"forget the staleness bound":            {"follower cut off"},
	"lead before the term start is applied": {"commits untold", "kill of the leader", "slow disks"},
	"skip an entry":                         {"snapshots"},
	"apply again what is applied":           {"learner away past the log", "power loss of a follower"},
	"read the clock while applying":         {"snapshots"},
	"forget request ids":                    {"leader can't send", "leader can't hear"},
	"repeat with a new request id":          {"leader can't send", "leader can't hear"},

	"count records of moments to come":          {"stream messages slow"},
	"forget the floors":                         {"fills slow"},
	"raise the floors late":                     {"fills slow"},
	"keep the floors over a gap":                {"near caches cut off"},
	"let policies take effect early":            {"fills slow"},
	"take messages out of turn":                 {"stream messages lost"},
	"forget the age of a proof":                 {"follower cut off", "slow links"},
	"answer without a round":                    {"stream messages slow"},
	"date a record by what was asked for":       {"stream messages slow"},
	"forget the staleness bound of near caches": {"near caches cut off"},
	"forget changes":                            {"fills slow"},
	"take a fill's position late":               {"fills slow"},
	"pong before its changes":                   {"stream messages doubled"},
	"answer from the front without judging":     {"fills slow"},
}

// TestBugsAreCaught turns on one bug after the other: a judge has to find it. What the judges say without bugs is TestChaosInProcess.
func TestBugsAreCaught(t *testing.T) {
	for name, faults := range chaosBugs {
		t.Run(name, func(t *testing.T) {
			t.Setenv("CONSENTD_BUG", name)
			attempt := 0
			for seed := range chaos.Seeds(t, bugAttempts) {
				attempt++
				plan := chaos.NewPlan(seed, faults, 4, 3*time.Second)
				if verdict := tryBug(t, seed, plan); verdict != nil {
					t.Logf("found in run %d, seed %d: %.400s", attempt, seed, verdict)
					return
				}
			}
			t.Errorf("%d runs, and no judge has found it", attempt)
		})
	}
}

// tryBug returns what the judges say of a run, or what else went wrong.
func tryBug(t *testing.T, seed uint64, plan chaos.Plan) (verdict error) {
	t.Helper()
	w := &witness{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer w.cleanUp()
		r := newChaosRun(w, seed)
		ops := r.carryOut(plan)
		verdict = r.judge(ops)
	}()
	<-done
	return errors.Join(verdict, w.err())
}

// witness takes down what fails instead of failing.
type witness struct {
	testing.TB
	mu       sync.Mutex
	faults   []error
	cleanups []func()
}

func (w *witness) fault(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, err)
}

func (w *witness) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return errors.Join(w.faults...)
}

func (w *witness) Helper() {}

func (w *witness) Context() context.Context { return context.Background() }

func (w *witness) Cleanup(f func()) { w.cleanups = append(w.cleanups, f) }

func (w *witness) cleanUp() {
	for i := len(w.cleanups) - 1; i >= 0; i-- {
		w.cleanups[i]()
	}
}

func (w *witness) Error(args ...any)                 { w.fault(errors.New(fmt.Sprint(args...))) }
func (w *witness) Errorf(format string, args ...any) { w.fault(fmt.Errorf(format, args...)) }

func (w *witness) Fatal(args ...any) {
	w.Error(args...)
	runtime.Goexit()
}

func (w *witness) Fatalf(format string, args ...any) {
	w.Errorf(format, args...)
	runtime.Goexit()
}
