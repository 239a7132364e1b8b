package cluster

import (
	"sync/atomic"
	"time"
)

// durationBounds are the upper ends of the buckets: from the sync of a fast SSD to the patience of the watchdog.
var durationBounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, time.Second,
	5 * time.Second, 20 * time.Second,
}

// durations counts how long something took, by buckets. It takes no lock.
type durations struct {
	counts [len(durationBounds) + 1]atomic.Uint64 // the last for what took longer than all bounds
	sum    atomic.Int64
}

func (d *durations) add(took time.Duration) {
	bucket := 0
	for bucket < len(durationBounds) && took > durationBounds[bucket] {
		bucket++
	}
	d.counts[bucket].Add(1)
	d.sum.Add(int64(took))
}

// Durations are how often something was done, and how long it took.
type Durations struct {
	Count  uint64
	Sum    time.Duration
	AtMost map[time.Duration]uint64 // how often it took no longer than that
}

func (d *durations) read() Durations {
	out := Durations{Sum: time.Duration(d.sum.Load()), AtMost: map[time.Duration]uint64{}}
	for i, bound := range durationBounds {
		out.Count += d.counts[i].Load()
		out.AtMost[bound] = out.Count
	}
	out.Count += d.counts[len(durationBounds)].Load()
	return out
}
