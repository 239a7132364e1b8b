package bench

import (
	"context"
	"fmt"
	"time"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// writeWithin is how long a cluster may take until it takes writes again.
const writeWithin = time.Minute

// killing kills the leader a third into the time, and finds how long it takes until a write succeeds. The writes of the load go on meanwhile.
func killing(ctx context.Context, l *load, within time.Duration) ([]Figure, error) {
	if !rest(ctx, within/3) {
		return nil, nil
	}
	name, err := l.o.Cluster.KillLeader()
	if err != nil {
		return nil, fmt.Errorf("killing the leader: %w", err)
	}
	killed := time.Now()
	l.o.Message("killed %s, which led", name)
	took, err := l.firstWrite(context.WithoutCancel(ctx), killed)
	if err != nil {
		return nil, fmt.Errorf("no write succeeded within %s of the leader's end: %w", writeWithin, err)
	}
	l.o.Message("a write succeeded %s after that", took.Round(time.Millisecond))
	if err := l.o.Cluster.Restart(name); err != nil {
		return nil, fmt.Errorf("starting %s again: %w", name, err)
	}
	return []Figure{{Name: "first-write", Value: float64(took) / float64(time.Microsecond), Unit: "µs"}}, nil
}

// firstWrite writes until that succeeds.
func (l *load) firstWrite(ctx context.Context, since time.Time) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, writeWithin)
	defer cancel()
	records := consentv1.NewRecordServiceClient(l.conns[0])
	for {
		one, stop := context.WithTimeout(ctx, 200*time.Millisecond)
		_, err := records.WriteEvents(one, &consentv1.WriteEventsRequest{
			Tenant: l.o.Tenant, Events: []*consentv1.Event{granted(l.newcomer(), time.Now())},
		})
		stop()
		if err == nil {
			return time.Since(since), nil
		}
		if !rest(ctx, 5*time.Millisecond) {
			return 0, err
		}
	}
}
