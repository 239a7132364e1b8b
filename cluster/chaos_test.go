package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/consentd/consentd/cluster/chaos"
	"github.com/consentd/consentd/consent"
)

// TestChaosInProcess breaks clusters of three voters and a learner, in one process, with disks that lose power, clocks that are wrong, and
// logs that are cut as short as Raft allows. The judges look at what callers saw.
//
// CHAOSRUNS says how many, and CHAOSSEED where the seeds start: a run that failed is repeated by its seed and CHAOSRUNS=1. CHAOSLOG=1 shows
// what the replicas log.
func TestChaosInProcess(t *testing.T) {
	report := chaos.NewReport(t, "in one process")
	for seed := range chaos.Seeds(t, chaos.Runs(t, 3)) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			plan := chaos.NewPlan(seed, chaos.Faults(t, chaosFaults), 3, 2500*time.Millisecond)
			run := report.Begin(t, seed, plan)
			r := newChaosRun(t, seed)
			run.Ops, run.Judged = r.run(plan), true
			run.Refused, run.Took = r.load.Recorder.Refused(), r.took
		})
	}
}

// chaosRun is a cluster with a load on it.
type chaosRun struct {
	tb       testing.TB
	c        *testCluster
	odd      *oddErrors
	disks    map[string]*chaosDisk
	ahead    map[string]*atomic.Int64 // by how much their clocks are wrong
	load     *chaos.Load
	subjects []string
	bound    time.Duration
	step     string         // the fault that begins or ends
	took     map[string]int // how often each has done something

	apis    *chaosAPIs
	near    []*chaosNear
	trouble *chaosTrouble
	renewed int            // near caches that were replaced
	large   consent.Record // of each subject of the crowd

	restored    *chaos.Restore // nil if none was asked for
	replaced    uint64         // the epoch before
	restoring   chan struct{}
	restoration string // the fault that has restored
}

// chaosChanges are so few that near caches which were away have to begin anew.
const chaosChanges = 64

// chaosSubjects are few enough that callers meet.
const chaosSubjects = 12

func newChaosRun(tb testing.TB, seed uint64) *chaosRun {
	tb.Helper()
	r := &chaosRun{
		tb: tb, odd: &oddErrors{}, disks: map[string]*chaosDisk{}, ahead: map[string]*atomic.Int64{}, bound: 500 * time.Millisecond,
		took: map[string]int{},
	}
	dice := rand.New(rand.NewPCG(seed, 3))
	r.c = newCluster(tb, 3, 1, func(o *Options) {
		disk := &chaosDisk{}
		r.disks[o.NodeID] = disk
		o.MaxStaleness, o.MinFreeBytes = r.bound, 1<<20
		ahead := &atomic.Int64{}
		ahead.Store(int64(dice.IntN(20_000)-10_000) * int64(time.Millisecond))
		r.ahead[o.NodeID], o.Now = ahead, skewed(ahead)
		o.tuning.trailingLogs, o.tuning.snapshotInterval, o.tuning.snapshotEntries = 1, 50*time.Millisecond, 32
		o.tuning.changes = chaosChanges
		o.FS = chaosFS{disk: disk}
		if os.Getenv("CHAOSLOG") != "" {
			o.Logger = slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", o.NodeID)
		}
	})
	r.prepare()
	replicas := map[string]chaos.Replica{}
	for _, id := range r.c.ids {
		replicas[id] = &chaosReplica{net: r.c.net, id: id, odd: r.odd}
	}
	r.subjects = append(r.subjects, chaos.PolicySubject)
	for i := range chaosSubjects {
		r.subjects = append(r.subjects, fmt.Sprintf("subject-%d", i))
	}
	r.load = &chaos.Load{
		Replicas: replicas, Subjects: r.subjects, Writers: 6, Checkers: 6, Pause: 8 * time.Millisecond,
		WriteWait: 700 * time.Millisecond, CheckWait: 300 * time.Millisecond, Seed: seed, Recorder: chaos.NewRecorder(),
	}
	r.addCaches(seed)
	return r
}

// prepare puts the policies under which the load is judged.
func (r *chaosRun) prepare() {
	r.tb.Helper()
	n, ctx := r.c.node("n1"), r.tb.Context()
	holder := chaos.Write{Kind: chaos.Grant, Subject: chaos.PolicyHolder, Reference: "holder", RequestID: newRequestID(r.tb)}
	for tenant, document := range map[string]string{
		"shop": chaosPolicy, chaos.PolicyTenant: string(chaos.PolicyOf(chaos.Write{Kind: chaos.Withdraw})),
	} {
		if _, _, err := n.PutPolicy(ctx, consent.PolicyPut{
			Tenant: tenant, RequestID: newRequestID(r.tb), Document: []byte(document),
		}); err != nil {
			r.tb.Fatal(err)
		}
	}
	if _, err := n.Write(ctx, chaosEvent(chaos.PolicyTenant, holder)); err != nil {
		r.tb.Fatal(err)
	}
}

// run carries out a plan, and judges. It returns the calls.
func (r *chaosRun) run(plan chaos.Plan) []chaos.Op {
	r.tb.Helper()
	ops := r.carryOut(plan)
	if err := r.judge(ops); err != nil {
		r.tb.Error(err)
	}
	return ops
}

// carryOut breaks the cluster as planned, mends it, and returns the calls.
func (r *chaosRun) carryOut(plan chaos.Plan) []chaos.Op {
	r.tb.Helper()
	loading, stopLoad := context.WithCancel(context.Background())
	calm, stopCalm := context.WithCancel(context.Background())
	defer stopCalm()
	done := make(chan struct{})
	go func() { defer close(done); r.load.Run(loading, calm) }()
	defer func() { stopLoad(); stopCalm(); <-done }()

	chaos.Play(plan, r.carryOutStep)
	r.mend()
	stopLoad() // with one trailing entry, who is behind may never catch up under load
	r.c.waitReady(r.c.ids...)
	patience := time.AfterFunc(time.Minute, stopCalm)
	defer patience.Stop()
	<-done
	return r.load.Recorder.Ops()
}

func (r *chaosRun) carryOutStep(s chaos.Step) (end func()) {
	r.step = s.Fault
	ends := chaosFaults[s.Fault](r, s.Random())
	if ends == nil {
		return nil
	}
	return func() { r.step = s.Fault; ends() }
}

// take notes that the step being carried out has done something.
func (r *chaosRun) take() { r.took[r.step]++ }

// mend ends all faults.
func (r *chaosRun) mend() {
	r.tb.Helper()
	r.c.heal()
	r.trouble.heal()
	r.trouble.calm.Store(true)
	for _, disk := range r.disks {
		disk.full.Store(false)
	}
	r.restart(r.c.ids)
	waitFor(r.tb, "the learner to be a member", func() bool { return r.addLearner() == nil })
	r.endRestoring()
}

// judge returns what the judges find.
func (r *chaosRun) judge(ops []chaos.Op) error {
	r.tb.Helper()
	r.c.waitEqual()
	r.waitCaches()
	h := &chaos.History{Bound: r.bound, Ops: ops, Recorded: map[string]map[string][]chaos.Event{}}
	for _, id := range r.c.ids {
		var err error
		if h.Recorded[id], err = recorded(r.c.node(id), r.subjects); err != nil {
			return err
		}
	}
	err := r.settle(h)
	return errors.Join(append(r.odd.all, err, chaos.Judge(h), r.compareCaches())...)
}
