package bench

import (
	"context"
	"fmt"
	"time"
)

// FindMax finds the highest rate of an open loop at which the thresholds are met, by trials that double or halve the rate and then the distance,
// and returns the report of a whole run at that rate, with the figure "max-rate". If no rate meets them, max-rate is 0.
func FindMax(ctx context.Context, o Options, slo []Threshold) (*Report, error) {
	const (
		near    = 0.05 // of the rate
		longest = 3 * time.Second
	)
	if o.Closed || len(slo) == 0 {
		return nil, fmt.Errorf("%w: the highest rate is that of an open loop which meets a threshold", ErrOptions)
	}
	s, err := scenarioOf(o.Scenario)
	if err != nil {
		return nil, err
	}
	trial := o
	trial.setDefaults(s)
	trial.Duration, trial.Warmup, trial.Repeats, trial.Profiles = min(trial.Duration, longest), min(trial.Warmup, longest/3), 1, ""
	meets := func(rate float64) (bool, error) {
		trial.Rate = rate
		r, err := Run(ctx, trial)
		if err != nil {
			return false, err
		}
		fine := r.Judge(slo) && r.Runs[0].Rate >= enough*rate
		trial.Message("%.0f requests/s: p99 %.0f µs, %s", rate, r.Runs[0].Latency.P99, map[bool]string{true: "met", false: "not met"}[fine])
		return fine, nil
	}
	low, high, err := bracket(ctx, trial.Rate, meets)
	for err == nil && ctx.Err() == nil && low > 0 && high-low > near*low {
		var fine bool
		if fine, err = meets((low + high) / 2); fine {
			low = (low + high) / 2
		} else {
			high = (low + high) / 2
		}
	}
	if err != nil {
		return nil, err
	}
	if o.Rate = low; low == 0 {
		o.Rate = high
	}
	r, err := Run(ctx, o)
	if err != nil {
		return nil, err
	}
	for i := range r.Runs {
		r.Runs[i].Extra = append(r.Runs[i].Extra, Figure{"max-rate", low, "requests/s"})
	}
	r.Judge(slo)
	return r, nil
}

// bracket returns a rate that meets and one, at most twice as high, that doesn't; 0 for the first if none down to a thousandth does.
func bracket(ctx context.Context, first float64, meets func(float64) (bool, error)) (low, high float64, err error) {
	const most = 1e8
	fine, err := meets(first)
	if err != nil {
		return 0, 0, err
	}
	for low, high = first, first; fine && ctx.Err() == nil && high < most; {
		low, high = high, 2*high
		if fine, err = meets(high); err != nil || !fine {
			return low, high, err
		}
	}
	for ; !fine && ctx.Err() == nil && low > first/1000; low /= 2 {
		high = low
		if fine, err = meets(low / 2); err != nil || fine {
			return low / 2, high, err
		}
	}
	if !fine {
		low = 0
	}
	return low, high, err
}
