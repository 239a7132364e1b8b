package bench

import (
	"context"
	"fmt"
	"runtime"
	"time"
)

// watch sees how a run goes, and what it takes.
type watch struct {
	*engine
	total, interval *window
	series          []Moment
	read            time.Time // when the callers were last read
	before, after   usages
	figures         []Figure
	profiled        chan error // nil: nothing is profiled
}

func newWatch(e *engine) *watch { return &watch{engine: e, total: newWindow(), interval: newWindow()} }

// run reads what the callers have seen from the end of the warm-up to the end.
func (w *watch) run(ctx context.Context) {
	if !rest(ctx, w.warmup) {
		return
	}
	w.before, w.read = w.load.usages(ctx), time.Now()
	if w.profiles != "" {
		w.profiled = w.load.profile(ctx, w.profiles, w.duration)
	}
	every := time.NewTicker(min(time.Second, max(w.duration/20, 50*time.Millisecond)))
	defer every.Stop()
	for {
		select {
		case <-every.C:
			w.collect()
		case <-ctx.Done():
			w.after = w.load.usages(context.WithoutCancel(ctx))
			return
		}
	}
}

// beside does what happens while the load runs.
func (w *watch) beside(ctx context.Context) (err error) {
	if w.plan.beside == nil || !rest(ctx, w.warmup) {
		return nil
	}
	w.figures, err = w.plan.beside(ctx, w.load, w.duration)
	return err
}

// rest waits, and reports whether the context hasn't ended meanwhile.
func rest(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// collect moves what the callers have seen to the total, and tells of it.
func (w *watch) collect() {
	w.drain()
	now := time.Now()
	m := w.interval.moment(now.Sub(w.began)-w.warmup, now.Sub(w.read))
	w.series, w.read = append(w.series, m), now
	w.total.add(w.interval)
	w.interval.reset()
	w.load.o.Observe(m, max(0, w.warmup+w.duration-now.Sub(w.began)))
}

func (w *watch) drain() {
	w.unsent.empty(w.interval)
	for _, r := range w.callers {
		r.empty(w.interval)
	}
}

// result is called when all callers have ended.
func (w *watch) result() (*Result, error) {
	w.drain()
	w.total.add(w.interval)
	ran := min(max(time.Since(w.began)-w.warmup, 0), w.duration).Seconds()
	t := &w.total.tally
	r := &Result{
		Seconds: ran, Unit: w.load.scenario.Unit, Requests: t.requests, Late: t.late, Dropped: t.dropped, Errors: t.errors,
		ErrorsBy: t.errorsBy(), Wrong: t.wrong, Checked: t.checked, Series: w.series, Extra: w.figures,
	}
	if !w.closed {
		r.Offered = 1e9 / w.schedule.every
	}
	r.Client = w.after.own.since(w.before.own, t.units)
	if ran > 0 {
		r.Rate, r.Units = float64(w.total.good())/ran, float64(t.units)/ran
		r.Client.Share = r.Client.CPUSeconds / ran / float64(runtime.GOMAXPROCS(0))
	}
	r.Server = w.after.serversSince(w.before, t.units)
	if err := r.seal(w.total.latency); err != nil {
		return nil, err
	}
	w.note(r)
	if w.profiled != nil {
		if err := <-w.profiled; err != nil {
			r.Notes = append(r.Notes, fmt.Sprintf("profiles couldn't be fetched: %v", err))
		}
	}
	return r, nil
}

const (
	enough     = 0.99 // of the rate
	mostLate   = 0.01 // of the requests
	mostShare  = 0.85 // of the processors
	pacedRatio = 0.5
)

// note says what a reader has to know.
func (w *watch) note(r *Result) {
	say := func(text string, args ...any) { r.Notes = append(r.Notes, fmt.Sprintf(text, args...)) }
	if r.Wrong > 0 {
		say("%d of %d answers are wrong: nothing else here counts", r.Wrong, r.Checked)
	}
	if r.Requests == 0 {
		say("nothing was asked within the window")
		return
	}
	if !w.closed && r.Rate < enough*r.Offered {
		say("only %.1f %% of the rate were reached", 100*r.Rate/r.Offered)
	}
	if r.Dropped > 0 {
		say("%d requests were never sent: %d were on their way, and %d waited", r.Dropped, w.most, w.waiting)
	}
	lag := micros(w.total.lag, 99)
	switch late := float64(r.Late) / float64(r.Requests); {
	case r.Client.Share > mostShare:
		say("the generator was the bottleneck: it used %.0f %% of its processors", 100*r.Client.Share)
	case late > mostLate && r.Dropped == 0 && w.load.o.local():
		say("the generator was late with %.1f %% of the requests (p99 %.0f µs): it shares the processors with the server, which used the rest", 100*late, lag)
	case late > mostLate && r.Dropped == 0:
		say("the generator was the bottleneck: %.1f %% of the requests were sent late (p99 %.0f µs)", 100*late, lag)
	case !w.closed && lag > pacedRatio*r.Latency.P99:
		say("of the p99, up to %.0f µs passed before the request was sent", lag)
	}
}
