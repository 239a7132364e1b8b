package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"google.golang.org/grpc"

	"github.com/consentd/consentd/client"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

const (
	askEvery     = 500 * time.Microsecond // of each address, while a withdrawal is on its way
	deniedEnough = 5                      // after so many in a row, nothing is expected to change
	reachWithin  = 10 * time.Second
)

// withdrawals has one consent after the other withdrawn, and finds how long after the acknowledgement the last ALLOW came from any address.
func withdrawals(ctx context.Context, l *load, within time.Duration) (figures []Figure, err error) {
	asked, err := l.dialEach()
	defer func() {
		for _, conn := range asked {
			err = errors.Join(err, conn.Close())
		}
	}()
	if err != nil {
		return nil, err
	}
	took, end := newHistogram(), time.Now().Add(within)
	longest := time.Duration(0)
	for time.Now().Before(end) && ctx.Err() == nil {
		one, err := l.withdraw(context.WithoutCancel(ctx), asked)
		if err != nil {
			return nil, fmt.Errorf("withdrawing: %w", err)
		}
		_ = took.RecordValue(int64(ticks(one)))
		longest = max(longest, one)
	}
	return lastAllowFigures(took, longest), nil
}

func lastAllowFigures(took *hdrhistogram.Histogram, longest time.Duration) []Figure {
	return []Figure{
		{Name: "last-allow-p50", Value: micros(took, 50), Unit: "µs"},
		{Name: "last-allow-p99", Value: micros(took, 99), Unit: "µs"},
		{Name: "last-allow", Value: float64(longest) / float64(time.Microsecond), Unit: "µs"},
		{Name: "withdrawal-count", Value: float64(took.TotalCount())},
	}
}

// dialEach connects to every address by itself.
func (l *load) dialEach() (all []*grpc.ClientConn, err error) {
	addresses := l.o.Reach
	if len(addresses) == 0 {
		addresses = strings.Split(l.o.Target, ",")
	}
	for _, address := range addresses {
		conn, err := client.Connect(address, l.o.Conn)
		if err != nil {
			return all, err
		}
		all = append(all, conn)
	}
	return all, nil
}

// withdraw has a subject confirm, waits until everybody says so, withdraws, and returns how long the last ALLOW came after that was acknowledged.
func (l *load) withdraw(ctx context.Context, asked []*grpc.ClientConn) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	subject, records := l.newcomer(), consentv1.NewRecordServiceClient(l.conns[0])
	write := func(events ...*consentv1.Event) error {
		return patiently(ctx, func(ctx context.Context) error {
			_, err := records.WriteEvents(ctx, &consentv1.WriteEventsRequest{Tenant: l.o.Tenant, Events: events})
			return err
		})
	}
	if err := write(confirmed(subject, time.Now().Add(-time.Hour))...); err != nil {
		return 0, err
	}
	watchers := make([]*watcher, len(asked))
	for i, conn := range asked {
		watchers[i] = &watcher{l.o.Tenant, subject, consentv1.NewPermissionServiceClient(conn)}
		if err := watchers[i].until(ctx, true); err != nil {
			return 0, err
		}
	}
	last, failed := make([]time.Time, len(asked)), make([]error, len(asked))
	var all sync.WaitGroup
	for i, w := range watchers {
		all.Go(func() { last[i], failed[i] = w.lastAllow(ctx) })
	}
	err := write(withdrawn(subject, time.Now()))
	acknowledged := time.Now()
	all.Wait()
	if err := errors.Join(err, errors.Join(failed...)); err != nil {
		return 0, err
	}
	return max(slices.MaxFunc(last, time.Time.Compare).Sub(acknowledged), 0), nil
}

// watcher asks one address about one subject.
type watcher struct {
	tenant, subject string
	permissions     consentv1.PermissionServiceClient
}

// allowed reports whether the answer is ALLOW. What passes by itself, as a server that is stale, is no ALLOW.
func (w *watcher) allowed(ctx context.Context) (bool, error) {
	reply, err := w.permissions.Check(ctx, &consentv1.CheckRequest{Tenant: w.tenant, Subject: w.subject, Permissions: []string{permission}})
	if err != nil && passes(err) && ctx.Err() == nil {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return allows(reply), nil
}

// until asks until the answer is that.
func (w *watcher) until(ctx context.Context, want bool) error {
	for {
		if got, err := w.allowed(ctx); err != nil || got == want {
			return err
		}
		if !rest(ctx, askEvery) {
			return ctx.Err()
		}
	}
}

// lastAllow asks until the answer is no and stays it, and returns when the last ALLOW came.
func (w *watcher) lastAllow(ctx context.Context) (last time.Time, err error) {
	for denied := 0; denied < deniedEnough; denied++ {
		allowed, err := w.allowed(ctx)
		if err != nil {
			return last, err
		}
		if allowed {
			last, denied = time.Now(), -1
		}
		if !rest(ctx, askEvery) {
			return last, ctx.Err()
		}
	}
	return last, nil
}
