package bench_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/consentd/consentd/bench"
	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/server"
)

// stalling is a state that holds all who ask as long as a gate is shut.
type stalling struct {
	server.State
	shut atomic.Pointer[chan struct{}]
}

func (s *stalling) View(ctx context.Context, c consent.Consistency) (consent.View, error) {
	if shut := s.shut.Load(); shut != nil {
		select {
		case <-*shut:
		case <-ctx.Done():
		}
	}
	return s.State.View(ctx, c)
}

// stall shuts the gate for a while, as soon as a run is observed.
func (s *stalling) stall(o *bench.Options, d time.Duration) {
	var once sync.Once
	o.Observe = func(bench.Moment, time.Duration) {
		once.Do(func() {
			shut := make(chan struct{})
			s.shut.Store(&shut)
			time.AfterFunc(d, func() {
				s.shut.Store(nil)
				close(shut)
			})
		})
	}
}

// startMeasured runs a replica that can be stalled, and returns options that measure it shortly.
func startMeasured(t *testing.T) (*stalling, bench.Options) {
	t.Helper()
	o := replicaOptions(startNode(t))
	s := &stalling{State: o.State}
	o.State = s
	path := filepath.Join(shortDir(t), "s")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	startServer(t, listener, o)
	return s, bench.Options{
		Scenario: "check", Target: "unix://" + path, Tenant: "measured", Rate: 500, Duration: time.Second, Warmup: -1, Subjects: 1000, Seed: 1,
	}
}

func measure(t *testing.T, o bench.Options) *bench.Report {
	t.Helper()
	r, err := bench.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range r.Runs {
		if run.Wrong > 0 {
			t.Errorf("%d wrong answers", run.Wrong)
		}
	}
	return r
}

// Each scenario that needs no processes of its own gets right answers, and counts what it asked.
func TestScenarios(t *testing.T) {
	_, o := startMeasured(t)
	for _, s := range bench.Scenarios() {
		if s.Name == "leader-kill" {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			o := o
			o.Scenario, o.Rate = s.Name, 20
			if s.Name == "segment-100k" {
				o.Rate = 2
			}
			run := measure(t, o).Runs[0]
			t.Logf("%+v", run)
			if !pass(run.ErrorsBy) || run.Units == 0 || run.Checked == 0 || run.Unit != s.Unit {
				t.Errorf("%d errors %v, %.0f %s/s, %d of them compared", run.Errors, run.ErrorsBy, run.Units, run.Unit, run.Checked)
			}
		})
	}
}

// pass reports whether all errors are of a machine that was too busy for a while.
func pass(kinds map[string]uint64) bool {
	for kind := range kinds {
		if !strings.Contains(kind, "STALE") && !strings.Contains(kind, "OVERLOADED") && !strings.Contains(kind, "DeadlineExceeded") {
			return false
		}
	}
	return true
}

// A server that stalls is charged for all who would have come meanwhile by an open loop, and only for those who wait by a closed one.
func TestStallsAreChargedFor(t *testing.T) {
	s, o := startMeasured(t)
	measure(t, o) // which writes the data set
	const stall = 800 * time.Millisecond
	o.Duration = 2 * time.Second
	var shares [2]float64
	for i, closed := range []bool{false, true} {
		o.Closed, o.Callers, o.Rate = closed, 4, 500
		if closed {
			o.Rate = 0
		} else {
			o.Callers = 512
		}
		s.stall(&o, stall)
		run := measure(t, o).Runs[0]
		shares[i] = run.Latency.P90 / float64(stall.Microseconds())
		t.Logf("closed: %t: %+v, %d requests, %d late, %d dropped, errors %v, %v", closed, run.Latency, run.Requests, run.Late, run.Dropped, run.ErrorsBy, run.Series)
	}
	if shares[0] < 0.2 {
		t.Errorf("the open loop's p90 is %.2f of the stall, which held up two fifths of the requests", shares[0])
	}
	if shares[1] > shares[0] {
		t.Errorf("the closed loop's p90 is %.2f of the stall, which held up a few requests of thousands", shares[1])
	}
}

// What can't be sent is dropped, counted and told.
func TestDropsAreCounted(t *testing.T) {
	s, o := startMeasured(t)
	measure(t, o)
	s.stall(&o, 2*time.Second)
	o.Callers, o.Timeout = 2, 200*time.Millisecond
	run := measure(t, o).Runs[0]
	t.Logf("%+v", run)
	if run.Dropped < 300 || run.Errors == 0 || run.ErrorsBy["DeadlineExceeded"] == 0 || len(run.Notes) == 0 {
		t.Errorf("%d dropped, errors %v, notes %q", run.Dropped, run.ErrorsBy, run.Notes)
	}
	if run.Requests != 500 {
		t.Errorf("%d requests, want all 500 that were due", run.Requests)
	}
}

// An interruption keeps what was measured.
func TestInterruptionKeepsWhatWasMeasured(t *testing.T) {
	_, o := startMeasured(t)
	measure(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Duration, o.Repeats = time.Minute, 3
	o.Observe = func(m bench.Moment, _ time.Duration) {
		if m.Rate > 0 {
			cancel()
		}
	}
	r, err := bench.Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Interrupted || len(r.Runs) != 1 || r.Runs[0].Requests == 0 || r.Runs[0].Seconds > 30 {
		t.Errorf("interrupted: %t, %d runs: %+v", r.Interrupted, len(r.Runs), r.Runs)
	}
}

// A tenant that has a policy is somebody's.
func TestOthersTenantsAreLeftAlone(t *testing.T) {
	_, o := startMeasured(t)
	o.Tenant = tenant
	if _, err := bench.Run(t.Context(), o); err == nil {
		t.Error("a tenant was written to that has another policy")
	}
}

func TestOptionsThatCantBe(t *testing.T) {
	for name, change := range map[string]func(*bench.Options){
		"scenario":  func(o *bench.Options) { o.Scenario = "chek" },
		"target":    func(o *bench.Options) { o.Target = "" },
		"rate":      func(o *bench.Options) { o.Rate = -1 },
		"arrivals":  func(o *bench.Options) { o.Arrivals = "odd" },
		"callers":   func(o *bench.Options) { o.Callers = -1 },
		"duration":  func(o *bench.Options) { o.Duration = -time.Second },
		"subjects":  func(o *bench.Options) { o.Subjects = -1 },
		"skew":      func(o *bench.Options) { o.Skew = 1 },
		"allowed":   func(o *bench.Options) { o.Allowed = 2 },
		"processes": func(o *bench.Options) { o.Scenario = "leader-kill" },
		"profiles":  func(o *bench.Options) { o.Profiles = "profiles" },
	} {
		o := bench.Options{Scenario: "check", Target: "unix:///nowhere"}
		change(&o)
		if _, err := bench.Run(t.Context(), o); !errors.Is(err, bench.ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
