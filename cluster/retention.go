package cluster

import (
	"time"

	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/store"
	"github.com/hashicorp/raft"
)

// retention has evidence removed whose time has come. Entries do that, and where nothing is written for long, none would come: then the
// leader proposes some that do nothing else.
type retention struct {
	leads   func() bool
	nextDue func() consent.Time
	clock   *stamper
	apply   func(entry []byte) raft.ApplyFuture
}

const retentionInterval = time.Minute

// run looks every minute, until stop is closed.
func (r *retention) run(stop <-chan struct{}) {
	tick := time.NewTicker(retentionInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.remove(stop)
		case <-stop:
			return
		}
	}
}

// remove proposes entries until nothing is due any more. Each removes a bounded number of events.
func (r *retention) remove(stop <-chan struct{}) {
	for r.leads() {
		now, err := r.clock.peek()
		if err != nil || r.nextDue() > now {
			return
		}
		stamp, err := r.clock.next()
		if err != nil {
			return
		}
		if _, err := resultsOf(r.apply(store.EncodeEntry(stamp, nil)), 0); err != nil {
			return // whoever leads then looks too
		}
		select {
		case <-stop:
			return
		default:
		}
	}
}
