package bench

import (
	"context"
	"fmt"
	"time"
)

// The parts of an overload: each takes so much of the duration.
const (
	peakCallers   = 64
	overCallers   = 1024 // as many as four connections carry
	overloadParts = 5
	calmShare     = 0.1 // of the peak: nobody waits for anybody
	recovered     = 2.0 // times the p99 of the same load before
)

// overload finds how much a server answers at most, asks 2 and 10 times as much, and then half as much. The result is that of 10 times.
func overload(ctx context.Context, l *load) (*Result, error) {
	part := l.o.Duration / overloadParts
	run := func(rate float64, d, warmup time.Duration) (*Result, error) {
		p := l.plan()
		p.duration, p.warmup, p.closed = d, warmup, rate == 0
		if p.most = peakCallers; rate > 0 {
			o := *l.o
			o.Rate = rate
			p.most, p.waiting, p.schedule = max(l.o.Callers, overCallers), peakCallers, newSchedule(&o)
		}
		return l.runOnce(ctx, p)
	}
	peak, err := run(0, part, l.o.Warmup)
	if err != nil || peak.Rate == 0 {
		return peak, err
	}
	l.o.Message("at most %.0f checks/s", peak.Rate)
	calm, err := run(calmShare*peak.Rate, part, 0)
	if err != nil {
		return nil, err
	}
	half, err := run(peak.Rate/2, part, 0)
	if err != nil {
		return nil, err
	}
	figures := []Figure{{"peak-rate", peak.Rate, "requests/s"}, {"calm-p99", calm.Latency.P99, "µs"}}
	var last *Result
	for _, times := range []float64{2, 10} {
		if last, err = run(times*peak.Rate, part, 0); err != nil {
			return nil, err
		}
		name := fmt.Sprintf("%.0fx-", times)
		figures = append(figures,
			Figure{name + "goodput", ratio(last.Rate, peak.Rate), "of the peak"},
			Figure{name + "p99", ratio(last.Latency.P99, calm.Latency.P99), "of the calm p99"},
			Figure{name + "refused-checks", ratio(float64(last.ErrorsBy[refused]), float64(last.Requests/2)), "of the checks"},
			Figure{name + "refused-batches", ratio(float64(last.ErrorsBy["batch: "+refused]), float64(last.Requests/2)), "of the batches"},
			Figure{name + "unsent", ratio(float64(last.Dropped), float64(last.Requests)), "of the requests"},
		)
	}
	after, err := run(peak.Rate/2, max(part, 5*time.Second), 0)
	if err != nil {
		return nil, err
	}
	figures = append(figures, Figure{"normal-after", normalAfter(after.Series, recovered*half.Latency.P99), "s"})
	last.Extra = figures
	last.Notes = nil // it was meant to come to less than its rate
	if last.Wrong > 0 {
		last.Notes = append(last.Notes, fmt.Sprintf("%d of %d answers are wrong: nothing else here counts", last.Wrong, last.Checked))
	}
	return last, nil
}

// ratio returns 0 for what was beside nothing.
func ratio(of, to float64) float64 {
	if to == 0 {
		return 0
	}
	return of / to
}

// refused is how a server refuses what is too much.
const refused = "ResourceExhausted OVERLOADED"

// normalAfter returns when the p99 came below a limit for good, or the end if it never did.
func normalAfter(series []Moment, limit float64) (seconds float64) {
	for _, m := range series {
		if m.P99 > limit || m.Errors > 0 {
			seconds = m.At
		}
	}
	return seconds
}
