package client

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// A stream that broke is begun anew after a pause, which grows as long as streams prove nothing.
const (
	firstRest = 25 * time.Millisecond
	lastRest  = 500 * time.Millisecond
)

// complainEvery is how often a log is told at most that streams break.
const complainEvery = 10 * time.Second

// watch keeps the cache true by one change stream after the other.
type watch struct {
	rpc     consentv1.WatchServiceClient
	cache   publisher
	tenants []string
	bounds  bounds
	rounds  *rounds
	now     func() time.Time
	log     *slog.Logger

	left            []uint64      // epochs
	lastPing        atomic.Uint64 // id
	streams, resets atomic.Uint64
}

// run holds change streams until the context ends.
func (w *watch) run(ctx context.Context) {
	defer w.rounds.end()
	rest, complained := firstRest, time.Time{}
	for {
		proved, err := w.hold(ctx)
		if ctx.Err() != nil {
			return
		}
		if proved {
			rest = firstRest
		}
		if now := w.now(); complained.IsZero() || now.Sub(complained) >= complainEvery {
			complained = now
			if w.cache.Reached() == (consent.Revision{}) {
				w.log.Warn("no replica tells yet what changes: nothing can be answered until one does", "why", err)
			} else {
				w.log.Warn("the change stream has ended, and is begun anew: what is here grows old until then", "why", err)
			}
		}
		if wait(ctx, rest/2+rand.N(rest/2)) != nil { // not in step with other readers of a replica that went
			return
		}
		rest = min(2*rest, lastRest)
	}
}

// hold reads one change stream until it ends. It returns why, and whether the stream has proven anything.
func (w *watch) hold(ctx context.Context) (proved bool, err error) {
	w.streams.Add(1)
	s := &stream{
		reader: reader{
			cache: w.cache, wanted: w.tenants, bounds: &w.bounds, pings: newPings(&w.lastPing), left: &w.left, resets: &w.resets,
			caughtUp: make(chan struct{}),
		},
		rounds: w.rounds, bounds: &w.bounds, now: w.now,
	}
	err = s.run(ctx, w.rpc)
	return !s.reader.proven.IsZero(), err
}
