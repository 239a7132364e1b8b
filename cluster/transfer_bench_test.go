package cluster

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"
)

// BenchmarkTransfer hands leadership over, and measures how long no write is accepted meanwhile: the longest time between two that are, on
// whichever replica. Writers write to all replicas, one every two milliseconds on each. An iteration is a transfer.
func BenchmarkTransfer(b *testing.B) {
	c := newRealCluster(b, 3)
	steady := watchWrites(b, c)
	var gaps []time.Duration
	b.ResetTimer()
	for range b.N {
		leader, _ := c.leader()
		began := time.Now()
		if _, err := leader.TransferLeadership(context.Background(), ""); err != nil {
			b.Fatal(err)
		}
		c.leader()
		gaps = append(gaps, steady.longestGap(began))
	}
	b.StopTimer()
	steady.stop()
	reportMS(b, "outage", gaps)
}

// acceptance is when writes were accepted.
type acceptance struct {
	mu   sync.Mutex
	at   []time.Time
	stop func()
}

// watchWrites writes to all replicas until it is stopped, and notes when writes are accepted.
func watchWrites(b *testing.B, c *realCluster) *acceptance {
	b.Helper()
	a := &acceptance{}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	a.stop = func() { cancel(); all.Wait() }
	b.Cleanup(a.stop)
	for _, r := range c.replicas {
		all.Go(func() {
			pace := time.NewTicker(2 * time.Millisecond)
			defer pace.Stop()
			for ctx.Err() == nil {
				<-pace.C
				all.Go(func() {
					if _, err := r.Write(context.Background(), grantsOfNew(b, 1)); err != nil {
						b.Error(err)
					}
					a.mu.Lock()
					defer a.mu.Unlock()
					a.at = append(a.at, time.Now())
				})
			}
		})
	}
	return a
}

// longestGap returns the longest time without an accepted write from a moment on, after waiting until writes have been accepted steadily
// again.
func (a *acceptance) longestGap(from time.Time) (longest time.Duration) {
	settle := time.NewTimer(500 * time.Millisecond)
	<-settle.C
	a.mu.Lock()
	defer a.mu.Unlock()
	slices.SortFunc(a.at, time.Time.Compare)
	last := from
	for _, at := range a.at {
		if at.After(from) {
			longest, last = max(longest, at.Sub(last)), at
		}
	}
	a.at = a.at[:0]
	return longest
}
