package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Run measures, and returns the report. It writes the data set first, unless it is there. When the context ends, what was measured until then
// is returned, with Interrupted set, and no error. Its errors are ErrOptions, and what kept it from measuring: what a server answers to the
// load is in the report.
func Run(ctx context.Context, o Options) (*Report, error) {
	s, err := scenarioOf(o.Scenario)
	if err != nil {
		return nil, err
	}
	o.setDefaults(s)
	if err := errors.Join(o.validate(), o.validateTarget(s)); err != nil {
		return nil, err
	}
	report := &Report{Schema: Schema, Began: time.Now(), Settings: o.settings(), Environment: environmentOf(&o)}
	l, err := newLoad(ctx, &o, s)
	if err != nil {
		return nil, err
	}
	report.Environment.ServerInfo = l.serverInfo(ctx)
	for range o.Repeats {
		result, err := l.measure(ctx)
		if err != nil {
			return nil, errors.Join(err, l.close())
		}
		report.Runs = append(report.Runs, *result)
		if report.Interrupted = ctx.Err() != nil; report.Interrupted {
			break
		}
	}
	return report, l.close()
}

func (l *load) measure(ctx context.Context) (*Result, error) {
	if l.scenario.phases != nil {
		return l.scenario.phases(ctx, l)
	}
	return l.runOnce(ctx, l.plan())
}

// plan is one load, for a while.
type plan struct {
	closed           bool
	most             int // callers
	waiting          int // requests, at most, for a caller
	schedule         schedule
	warmup, duration time.Duration
	timeout          time.Duration
	beside           beside
	profiles         string
}

func (l *load) plan() plan {
	o := l.o
	return plan{
		closed: o.Closed, most: o.Callers, waiting: o.Callers, schedule: newSchedule(o), warmup: o.Warmup, duration: o.Duration, timeout: o.Timeout,
		beside: l.scenario.beside, profiles: o.Profiles,
	}
}

// engine runs one plan.
type engine struct {
	plan
	load     *load
	requests []request
	callers  []*recorder // one for each
	unsent   *recorder   // of requests that nobody could send
	began    time.Time
	work     chan uint64   // open loop: requests that are due
	asked    atomic.Uint64 // closed loop: requests
	over     atomic.Bool   // closed loop: nobody asks again
}

func (l *load) runOnce(ctx context.Context, p plan) (*Result, error) {
	e := &engine{plan: p, load: l, unsent: new(recorder), work: make(chan uint64, p.waiting)}
	for range p.most {
		r, err := l.scenario.open(l)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.scenario.Name, err)
		}
		e.requests, e.callers = append(e.requests, r), append(e.callers, new(recorder))
	}
	return e.run(ctx)
}

// run puts the load on, watches it, and returns what came of it.
func (e *engine) run(ctx context.Context) (*Result, error) {
	ctx, stop := context.WithTimeout(ctx, e.warmup+e.duration)
	defer stop()
	e.began = time.Now()
	var all sync.WaitGroup
	for i := range e.requests {
		all.Go(func() { e.call(e.requests[i], e.callers[i]) })
	}
	w := newWatch(e)
	var others errgroup.Group
	others.Go(func() error { w.run(ctx); return nil })
	others.Go(func() error { return w.beside(ctx) })
	if e.closed {
		<-ctx.Done()
		e.over.Store(true)
	} else {
		e.pace(ctx)
		close(e.work)
	}
	err := others.Wait()
	all.Wait()
	if err != nil {
		return nil, err
	}
	return w.result()
}

// pace gives requests to callers as they come due. One that comes due while as many wait as may is dropped.
func (e *engine) pace(ctx context.Context) {
	defer beOnTime()()
	last := e.schedule.before(e.warmup + e.duration)
	i := uint64(0)
	for i < last && ctx.Err() == nil {
		if wait := e.schedule.due(i) - time.Since(e.began); wait > 0 {
			sleep(min(wait, 50*time.Millisecond)) // to see an interruption
			continue
		}
		select {
		case e.work <- i:
		default:
			e.drop(i)
		}
		i++
	}
	for ; i < last && e.schedule.due(i) < time.Since(e.began); i++ { // that there was no time for
		e.drop(i)
	}
}

func (e *engine) drop(i uint64) {
	if e.counts(e.schedule.due(i)) {
		e.unsent.drop()
	}
}

// counts reports whether a request that began at a time belongs to the window that is reported.
func (e *engine) counts(at time.Duration) bool { return at >= e.warmup && at < e.warmup+e.duration }

// call makes a caller's requests, until there are no more.
func (e *engine) call(r request, to *recorder) {
	if !e.closed {
		for i := range e.work {
			e.make(r, i, e.began.Add(e.schedule.due(i)), to)
		}
		return
	}
	for !e.over.Load() {
		e.make(r, e.asked.Add(1)-1, time.Time{}, to)
	}
}

// make makes a request that is due at a time, or at once if there is none.
func (e *engine) make(r request, i uint64, due time.Time, to *recorder) {
	ctx, cancel := context.WithTimeout(context.Background(), e.timeout)
	sent := time.Now()
	if due.IsZero() {
		due = sent
	}
	o := r(ctx, i)
	answered := time.Now()
	cancel()
	if e.counts(due.Sub(e.began)) && (!e.closed || e.counts(answered.Sub(e.began))) {
		to.record(o, due, sent, answered)
	}
}
