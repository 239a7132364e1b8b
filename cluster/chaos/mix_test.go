package chaos

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/consentd/consentd/store"
)

// TestProcesses breaks clusters of real processes, whose links go through proxies, while callers write and check on all of them. The judges
// look at what callers saw, and at what is on the disks afterwards.
//
// CHAOSRUNS says how many, and CHAOSSEED where the seeds start: a run that failed is repeated by its seed and CHAOSRUNS=1.
func TestProcesses(t *testing.T) {
	var totals Totals
	for seed := range Seeds(t, Runs(t, 1)) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			plan := NewPlan(seed, slices.Sorted(maps.Keys(nemeses)), 3, 4*time.Second)
			t.Logf("repeat with CHAOSSEED=%d CHAOSRUNS=1: %s", seed, plan)
			r := newRun(t, seed)
			ops := r.carryOut(plan)
			if err := r.judge(ops); err != nil {
				t.Error(err)
			}
			totals.Add(plan, ops)
		})
	}
	t.Log(&totals)
}

// run is a cluster of processes with a load on it.
type run struct {
	*processes
	load     *Load
	subjects []string
	demoted  []string
	added    int        // members beyond the first ones
	joining  []*replica // that aren't known to have joined
	refused  int        // changes of the cluster
}

// chaosSubjects are few enough that callers meet.
const chaosSubjects = 16

func newRun(t *testing.T, seed uint64) *run {
	t.Helper()
	dice := rand.New(rand.NewPCG(seed, 3))
	voters := 3
	if dice.IntN(5) == 0 {
		voters = 5
	}
	return newRunOf(t, seed, voters, dice.IntN(2))
}

func newRunOf(t *testing.T, seed uint64, voters, learners int) *run {
	t.Helper()
	r := &run{processes: newProcesses(t, voters, learners)}
	for i := range chaosSubjects {
		r.subjects = append(r.subjects, fmt.Sprintf("subject-%d", i))
	}
	replicas := map[string]Replica{}
	for _, o := range r.replicas {
		replicas[o.id] = o
		waitFor(t, "the policy on "+o.id, func() bool { // which another one has put
			_, err := o.recorded(r.subjects[:1])
			return err == nil
		})
	}
	r.load = &Load{
		Replicas: replicas, Subjects: r.subjects, Writers: 6, Checkers: 6, Pause: 15 * time.Millisecond,
		WriteWait: time.Second, CheckWait: 500 * time.Millisecond, Seed: seed, Recorder: NewRecorder(),
	}
	return r
}

// carryOut breaks the cluster as planned, mends it, and returns the calls.
func (r *run) carryOut(plan Plan) []Op {
	r.t.Helper()
	loading, stopLoad := context.WithCancel(context.Background())
	calm, stopCalm := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); r.load.Run(loading, calm) }()
	defer func() { stopLoad(); stopCalm(); <-done }()

	Play(plan, func(s Step) func() { return nemeses[s.Fault](r, s.Random()) })
	r.mend()
	stopLoad()
	patience := time.AfterFunc(20*time.Second, stopCalm)
	defer patience.Stop()
	<-done
	return r.load.Recorder.Ops()
}

// mend ends all faults, while the load goes on, and waits until all is well.
func (r *run) mend() {
	r.t.Helper()
	r.links.Heal()
	for _, o := range r.replicas {
		if o.stopped {
			r.pause(o)()
		}
	}
	r.restart(r.replicas)
	r.waitReady()
	for _, o := range r.joining {
		o.waitReady()
		r.replicas = append(r.replicas, o)
	}
	r.joining = nil
	waitFor(r.t, "all to be voters again", func() bool { r.promote(); return len(r.demoted) == 0 })
}

// judge returns what the judges find.
func (r *run) judge(ops []Op) error {
	r.t.Helper()
	h := &History{Bound: r.bound, Ops: ops, Recorded: map[string]map[string][]Event{}}
	for _, o := range r.replicas {
		waitFor(r.t, "what "+o.id+" has recorded", func() bool {
			var err error
			h.Recorded[o.id], err = o.recorded(r.subjects)
			return err == nil
		})
	}
	return errors.Join(r.odd.err(), Judge(h), r.judgeDisks())
}

// judgeDisks stops all at the same index and compares what is on their disks. An election may come between: then it tries again.
func (r *run) judgeDisks() error {
	r.t.Helper()
	for range 5 {
		waitFor(r.t, "the replicas to stand at the same index", r.level)
		r.stopAll()
		level, err := r.compareDisks()
		if level || err != nil {
			return err
		}
		r.restart(r.replicas)
		r.waitReady()
	}
	return errors.New("the replicas never stop at the same index")
}

// stopAll stops the leader last, so that nobody takes over and writes.
func (r *run) stopAll() {
	leader := r.leader()
	others := slices.DeleteFunc(slices.Clone(r.replicas), func(o *replica) bool { return o == leader })
	for _, o := range append(others, leader) {
		o.signal(syscall.SIGTERM)
		o.reap()
	}
}

// compareDisks returns whether all stand at the same index, and an error if their states differ then.
func (r *run) compareDisks() (level bool, err error) {
	r.t.Helper()
	type state struct {
		index uint64 // of the last entry that changed it
		hash  [32]byte
	}
	states := map[state]string{}
	indexes := map[uint64]bool{}
	for _, o := range r.replicas {
		s, err := store.Open(store.Options{Dir: filepath.Join(o.dir, "data", "ledger"), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return false, fmt.Errorf("opening the ledger of %s: %w", o.id, err)
		}
		is := state{index: s.Head().Revision.Index}
		is.hash, err = s.StateHash()
		if err := errors.Join(err, s.Close()); err != nil {
			return false, fmt.Errorf("the state of %s: %w", o.id, err)
		}
		states[is], indexes[is.index] = o.id, true
	}
	if len(indexes) == 1 && len(states) > 1 {
		return true, fmt.Errorf("replicas stand at the same index with different states: %v", slices.Sorted(maps.Values(states)))
	}
	return len(indexes) == 1, nil
}

// level reports whether all have applied the same index, and are known to have.
func (r *run) level() bool {
	status := r.status()
	if status == nil || len(status.GetMembers()) != len(r.replicas) {
		return false
	}
	same := func(m *consentv1.Member) bool {
		return m.GetHealthy() && m.GetApplied() == status.GetMembers()[0].GetApplied()
	}
	return !slices.ContainsFunc(status.GetMembers(), func(m *consentv1.Member) bool { return !same(m) })
}
