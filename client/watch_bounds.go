package client

import (
	"cmp"
	"sync/atomic"
	"time"
)

// A replica is asked how fresh it is this many times within the bound. One that doesn't answer within this part of it, or that proves
// nothing for so long, is left for another, so that it needn't come to STALE.
const (
	renewals     = 8
	silentPart   = 4
	unprovenPart = 2
)

const (
	// assumedBound is taken for the cluster's until the first pong tells it.
	assumedBound = 2 * time.Second
	// leastPatience is how long an answer is waited for at least, however low the bound: that long is on its way without being lost.
	leastPatience = 50 * time.Millisecond
)

// bounds are how old a proof may be: for the cluster, and here.
type bounds struct {
	own     time.Duration // 0: the cluster's
	cluster atomic.Int64  // 0: not told yet
}

// all returns the cluster's bound, 0 before it is told.
func (b *bounds) all() time.Duration { return time.Duration(b.cluster.Load()) }

// here returns the bound that counts here: the lower one.
func (b *bounds) here() time.Duration {
	all := cmp.Or(b.all(), assumedBound)
	if bug("forget the staleness bound of near caches") {
		return time.Hour
	}
	if b.own > 0 {
		return min(b.own, all)
	}
	return all
}

// renew is how often a proof is renewed.
func (b *bounds) renew() time.Duration { return max(b.here()/renewals, time.Millisecond) }

// silent is how long a pong is waited for.
func (b *bounds) silent() time.Duration { return max(b.here()/silentPart, leastPatience) }

// unproven is how long a stream may go on without a proof. Replicas renew theirs by the cluster's bound, whatever the one here.
func (b *bounds) unproven() time.Duration {
	return max(cmp.Or(b.all(), assumedBound)/unprovenPart, leastPatience)
}
