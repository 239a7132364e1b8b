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
// CHAOSRUNS says how many, and CHAOSSEED where the seeds start: a run that failed is repeated by its seed and CHAOSRUNS=1. CHAOSFAULTS names
// the faults, separated by commas; otherwise there are all.
func TestProcesses(t *testing.T) {
	report := NewReport(t, "processes")
	if _, err := binary(); err != nil { // which takes longer than a run
		t.Fatal(err)
	}
	for seed := range Seeds(t, Runs(t, 1)) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			plan := stretch(NewPlan(seed, Faults(t, nemeses), 3, 4*time.Second))
			told := report.Begin(t, seed, plan)
			r := newRun(t, seed, plan)
			told.Ops = r.carryOut(plan)
			if err := r.judge(told.Ops); err != nil {
				t.Error(err)
			}
			told.Refused, told.Took, told.Judged = r.load.Recorder.Refused(), r.took, true
		})
	}
}

// run is a cluster of processes with a load on it.
type run struct {
	*processes
	sidecars []*sidecar
	load     *Load
	subjects []string
	step     string         // the fault that begins or ends
	took     map[string]int // how often each has done something

	demoted []string
	added   int // members beyond the first ones
	joining []joining
	removed *replica // which may not be known yet to be
	removal string   // the fault that has removed it
	damaged string   // what was done to its disk
	behind  []*replica

	copies      int
	backups     []*copied
	restored    *Restore // nil if none was asked for
	brings      *copied  // what it brings back
	restoring   chan struct{}
	restoration string // the fault that has restored
}

// chaosSubjects are few enough that callers meet.
const chaosSubjects = 16

func newRun(t *testing.T, seed uint64, plan Plan) *run {
	t.Helper()
	dice := rand.New(rand.NewPCG(seed, 3))
	voters, learners := 3, dice.IntN(2)
	if dice.IntN(5) == 0 {
		voters = 5
	}
	if slices.ContainsFunc(plan, func(s Step) bool { return s.Fault == leftWithLearners }) {
		learners = 1
	}
	r := newRunOf(t, seed, voters, learners)
	r.addSidecars()
	return r
}

func newRunOf(t *testing.T, seed uint64, voters, learners int) *run {
	t.Helper()
	r := &run{processes: newProcesses(t, voters, learners), took: map[string]int{}}
	r.replicas[0].preparePolicy()
	r.subjects = []string{PolicySubject}
	for i := range chaosSubjects {
		r.subjects = append(r.subjects, fmt.Sprintf("subject-%d", i))
	}
	replicas := map[string]Replica{}
	for _, o := range r.replicas {
		replicas[o.id] = o
		waitFor(t, "the policy on "+o.id, func() bool { // which another one has put
			_, err := o.recorded(r.subjects[1:2])
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

	Play(plan, func(s Step) func() {
		r.step = s.Fault
		end := nemeses[s.Fault](r, s.Random())
		if end == nil {
			return nil
		}
		return func() { r.step = s.Fault; end() }
	})
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
	r.mendSidecars()
	r.endRemoval()
	r.waitReady()
	for _, o := range r.joining {
		o.waitReady()
		r.replicas = append(r.replicas, o.replica)
		if o.fault != "" {
			r.took[o.fault]++
		}
	}
	r.joining = nil
	waitFor(r.t, "all to be voters again", func() bool { r.promote(); return len(r.demoted) == 0 })
	for _, o := range r.behind {
		if o.received() {
			r.took[awayPastTheLog]++
		}
	}
	r.endRestoring()
}

// endRestoring waits for the end of a restore, and for calls after it.
func (r *run) endRestoring() {
	r.t.Helper()
	if r.restored == nil {
		return
	}
	<-r.restoring
	calls := len(r.load.Recorder.Ops())
	waitFor(r.t, "calls after the restore", func() bool { return len(r.load.Recorder.Ops()) > calls+100 })
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
	err := r.settle(h)
	return errors.Join(err, r.odd.err(), Judge(h), r.judgeBackups(h), r.judgeDisks())
}

// settle finds out whether a restore has happened, which may be more than is known of it.
func (r *run) settle(h *History) error {
	if r.restored == nil {
		return nil
	}
	epoch := h.epoch()
	acknowledged := r.restored.Return != Never
	switch before := r.brings.epoch; {
	case epoch == before && acknowledged:
		return fmt.Errorf("a restore was acknowledged, and the epoch is still %016x", epoch)
	case epoch == before:
		return nil
	case acknowledged && r.restored.Revision.Epoch != epoch:
		return fmt.Errorf("a restore was acknowledged with the epoch %016x, and it is %016x", r.restored.Revision.Epoch, epoch)
	}
	r.restored.Revision.Epoch = epoch
	h.Restore = r.restored
	r.took[r.restoration]++
	return nil
}

// judgeBackups compares what backups were said to hold with what there is.
func (r *run) judgeBackups(h *History) error {
	r.t.Helper()
	if len(r.backups) == 0 {
		return nil
	}
	noise, err := r.leader().recorded(noiseSubjects())
	if err != nil {
		return err
	}
	all := maps.Clone(h.anyRecorded())
	maps.Copy(all, noise)
	var errs []error
	for _, c := range r.backups {
		errs = append(errs, c.judgeTimes(h), c.judgeEvents(h, all))
	}
	return errors.Join(errs...)
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
