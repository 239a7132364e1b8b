package bench_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/consentd/consentd/client"
	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/server"
)

// BenchmarkSidecarHit measures a Check that a sidecar answers from its memory, over a unix socket, beside a handler that decodes the same
// messages and does nothing: answers in a second.
func BenchmarkSidecarHit(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			sidecar, empty := startSidecar(b, "unix"), startEmpty(b, "unix")
			pairs(b, sidecar.checks(b, "sidecar/s", callers), empty.checks(b, "empty/s", callers))
		})
	}
}

// checks has callers ask one check after the other, each by a call of its own.
func (s service) checks(b *testing.B, unit string, callers int) side {
	return side{unit, func() float64 {
		return rate(b, callers, func(_, number int) error { return s.check(s.ids[number%len(s.ids)]) })
	}}
}

// startSidecar runs a sidecar beside a replica, and has it hold the records of all subjects.
func startSidecar(tb testing.TB, transport string) service {
	tb.Helper()
	replica := startReplica(tb, "unix")
	near, err := client.NewNearCache(client.NearOptions{Conn: replica.conn, MaxBytes: 64 << 20})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(near.Close)
	await(tb, "the sidecar to be ready", func() bool { return near.Ready() == nil })
	s := serve(tb, transport, server.Options{
		State: near, Upstream: replica.conn, Ready: near.Ready, Logger: slog.New(slog.DiscardHandler),
	})
	await(tb, "all records to be held", func() bool { return holdsAll(tb, near, s.ids) })
	return s
}

// holdsAll has a near cache fetch the records of all subjects, and reports whether it held them already.
func holdsAll(tb testing.TB, near *client.NearCache, ids []string) bool {
	tb.Helper()
	ctx := context.Background()
	view, err := near.View(ctx, consent.Consistency{})
	if err != nil {
		tb.Fatal(err)
	}
	all := true
	for _, id := range ids {
		if _, _, held := near.Held(view.Tenants[tenant], id); held {
			continue
		}
		all = false
		_, err := near.Record(ctx, view.Tenants[tenant], id, nil)
		if err != nil && !errors.Is(err, consent.ErrStale) { // on a crowded machine
			tb.Fatal(err)
		}
	}
	return all
}
