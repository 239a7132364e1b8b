package bench

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/consentd/consentd/client"
)

// Options say what to measure, and how.
type Options struct {
	Scenario string             // one of Scenarios
	Target   string             // as client.Connect takes it
	Conn     client.ConnOptions // how to connect
	Tenant   string             // "bench" if empty. Run gives it a policy of its own, and writes to it
	Ops      []string           // addresses of /metrics of the servers: their processor time is asked for, and profiles
	Reach    []string           // addresses that withdrawals have to reach. Empty: those of Target
	Cluster  Cluster            // of scenarios that end processes

	Closed   bool     // callers ask again when they have an answer; else the schedule says when
	Rate     float64  // requests/s of the schedule. 0: what the scenario is usually asked
	Arrivals Arrivals // of the schedule. Empty: Even
	Callers  int      // of a closed loop, and how many requests may be on their way in an open one. 0: 64, and 256
	Conns    int      // connections that the callers share. 0: 1

	Duration time.Duration // of a run. 0: 10 s
	Warmup   time.Duration // before it, that isn't counted. 0: a fifth of Duration, at most 5 s; negative: none
	Timeout  time.Duration // of a request. 0: 5 s
	Repeats  int           // runs. 0: 1

	Subjects int     // in the data set. 0: 100,000
	Skew     float64 // of Zipf's law, by which they are asked about, below 1. 0: evenly
	Allowed  float64 // share of subjects whose answer is ALLOW. 0: 0.5; negative: none
	Seed     uint64  // of data set and questions

	Profiles string // the folder for profiles of the steady window. Empty: none

	Version, Commit string                             // of this program, for the report
	Message         func(text string, args ...any)     // is told what happens besides. nil: nobody is
	Observe         func(m Moment, left time.Duration) // is told how a run goes, about each second. nil: nobody is
}

// Arrivals is how the requests of a schedule follow each other.
type Arrivals string

const (
	// Even sends them at equal distances.
	Even Arrivals = "even"
	// Poisson sends them as independent callers do, at distances that are drawn.
	Poisson Arrivals = "poisson"
)

// Cluster is a cluster whose processes the caller may end.
type Cluster interface {
	// KillLeader ends the process that leads, as a crash does, and returns its name.
	KillLeader() (name string, err error)
	// Restart starts it again, and waits until it is ready.
	Restart(name string) error
}

// ErrOptions is returned for options that can't be.
var ErrOptions = errors.New("can't be measured so")

const (
	defaultTenant = "bench"
	mostWarmup    = 5 * time.Second
	mostSubjects  = 100_000_000
	mostCallers   = 16_384
)

// setDefaults fills in what was left out.
func (o *Options) setDefaults(s *Scenario) {
	set(&o.Tenant, defaultTenant)
	set(&o.Arrivals, Even)
	if !o.Closed {
		set(&o.Rate, s.rate)
		set(&o.Callers, 256)
	}
	set(&o.Callers, 64)
	set(&o.Conns, 1)
	set(&o.Duration, 10*time.Second)
	set(&o.Warmup, min(o.Duration/5, mostWarmup))
	o.Warmup = max(o.Warmup, 0)
	set(&o.Timeout, 5*time.Second)
	set(&o.Repeats, 1)
	set(&o.Subjects, 100_000)
	set(&o.Allowed, 0.5)
	o.Allowed = max(o.Allowed, 0)
	if o.Message == nil {
		o.Message = func(string, ...any) {}
	}
	if o.Observe == nil {
		o.Observe = func(Moment, time.Duration) {}
	}
}

func set[T comparable](to *T, value T) {
	var zero T
	if *to == zero {
		*to = value
	}
}

// Validate returns ErrOptions for what can't be, whatever the target is.
func (o Options) Validate() error {
	s, err := scenarioOf(o.Scenario)
	if err != nil {
		return err
	}
	o.setDefaults(s)
	return o.validate()
}

// validate returns what can't be, of options that are filled in.
func (o *Options) validate() error {
	for _, wrong := range []struct {
		is   bool
		text string
	}{
		{!o.Closed && !(o.Rate > 0 && o.Rate <= 1e8), fmt.Sprintf("a rate of %v requests/s", o.Rate)},
		{o.Arrivals != Even && o.Arrivals != Poisson, fmt.Sprintf("arrivals %q: choose %s or %s", o.Arrivals, Even, Poisson)},
		{o.Callers < 1 || o.Callers > mostCallers, fmt.Sprintf("%d callers: 1 to %d", o.Callers, mostCallers)},
		{o.Conns < 1 || o.Conns > 1024, fmt.Sprintf("%d connections: 1 to 1024", o.Conns)},
		{o.Duration < 100*time.Millisecond, fmt.Sprintf("a duration of %s: 100ms at least", o.Duration)},
		{o.Timeout <= 0, fmt.Sprintf("a timeout of %s", o.Timeout)},
		{o.Repeats < 1 || o.Repeats > 1000, fmt.Sprintf("%d repeats: 1 to 1000", o.Repeats)},
		{o.Subjects < 1 || o.Subjects > mostSubjects, fmt.Sprintf("%d subjects: 1 to %d", o.Subjects, mostSubjects)},
		{o.Skew < 0 || o.Skew >= 1 || math.IsNaN(o.Skew), fmt.Sprintf("a skew of %v: 0 to 0.99", o.Skew)},
		{!(o.Allowed >= 0 && o.Allowed <= 1), fmt.Sprintf("a share of %v that is allowed: 0 to 1", o.Allowed)},
	} {
		if wrong.is {
			return fmt.Errorf("%w: %s", ErrOptions, wrong.text)
		}
	}
	return nil
}

// validateTarget returns what can't be asked of these servers.
func (o *Options) validateTarget(s *Scenario) error {
	switch {
	case o.Target == "":
		return fmt.Errorf("%w: there is no target", ErrOptions)
	case s.needsCluster && o.Cluster == nil:
		return fmt.Errorf("%w: %s ends processes, and may only do so with those of its own", ErrOptions, s.Name)
	case o.Profiles != "" && len(o.Ops) == 0:
		return fmt.Errorf("%w: profiles are fetched from the servers' ops addresses, and none is known", ErrOptions)
	}
	return nil
}

// settings are the options as the report names them.
func (o *Options) settings() Settings {
	s := Settings{
		Scenario: o.Scenario, Target: o.Target, Transport: o.transport(), Loop: "open", Rate: o.Rate, Arrivals: string(o.Arrivals),
		Callers: o.Callers, Seconds: o.Duration.Seconds(), Warmup: o.Warmup.Seconds(), Repeats: o.Repeats, Seed: o.Seed,
		Subjects: o.Subjects, Skew: o.Skew, Allowed: o.Allowed,
	}
	if o.Closed {
		s.Loop, s.Rate, s.Arrivals = "closed", 0, ""
	}
	return s
}

func (o *Options) transport() string {
	switch {
	case o.Conn.TLS != nil:
		return "tls"
	case strings.HasPrefix(o.Target, "unix:"):
		return "unix"
	}
	return "tcp"
}

// local reports whether all servers run on this machine.
func (o *Options) local() bool {
	return !slices.ContainsFunc(strings.Split(o.Target, ","), func(address string) bool {
		return !strings.HasPrefix(address, "unix:") && !strings.HasPrefix(address, "127.") && !strings.HasPrefix(address, "[::1]") &&
			!strings.HasPrefix(address, "localhost:")
	})
}
