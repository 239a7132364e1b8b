package cluster

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/consentd/consentd/cluster/chaos"
	"github.com/consentd/consentd/consent"
)

// nearFaults are what can happen to near caches, and to what they are told.
func nearFaults() map[string]func(*chaosRun, *rand.Rand) func() {
	return map[string]func(*chaosRun, *rand.Rand) func(){
		"streams cut": func(r *chaosRun, _ *rand.Rand) func() { r.trouble.cut.Store(true); return r.onStreams() },
		"stream messages slow": func(r *chaosRun, d *rand.Rand) func() {
			r.trouble.slow.Store(int64(5+d.IntN(200)) * int64(time.Millisecond))
			return r.onStreams()
		},
		"fills slow": func(r *chaosRun, d *rand.Rand) func() {
			r.trouble.slowFills.Store(int64(5+d.IntN(200)) * int64(time.Millisecond))
			return r.onStreams()
		},
		"stream messages lost": func(r *chaosRun, d *rand.Rand) func() { r.trouble.lose.Store(2 + d.Int32N(8)); return r.onStreams() },
		"stream messages doubled": func(r *chaosRun, d *rand.Rand) func() {
			r.trouble.double.Store(2 + d.Int32N(8))
			return r.onStreams()
		},
		"stream messages reordered": func(r *chaosRun, d *rand.Rand) func() {
			r.trouble.swap.Store(2 + d.Int32N(8))
			return r.onStreams()
		},
		"near caches cut off":  (*chaosRun).cutCachesOff,
		"near cache suspended": (*chaosRun).suspend,
		"near cache replaced": func(r *chaosRun, d *rand.Rand) func() {
			r.replaceCache(d.IntN(len(r.near)), d.Uint64())
			r.take()
			return nil
		},
		"backup restored": (*chaosRun).restore,
	}
}

// onStreams returns how trouble of streams ends. It has done something if a message has met it.
func (r *chaosRun) onStreams() func() {
	before := r.trouble.done.Load()
	return func() {
		if r.trouble.done.Load() > before {
			r.take()
		}
		r.trouble.heal()
	}
}

// cutCachesOff lets no near cache reach a replica. It has done something if one had to say that it is stale.
func (r *chaosRun) cutCachesOff(*rand.Rand) func() {
	r.trouble.off.Store(true)
	return func() {
		for _, n := range r.near {
			if n.Ready() != nil {
				r.take()
				break
			}
		}
		r.trouble.off.Store(false)
	}
}

// suspend has the clock of a near cache jump ahead, as when the machine stood still.
func (r *chaosRun) suspend(d *rand.Rand) func() {
	n := r.near[d.IntN(len(r.near))]
	n.ahead.Add(int64(r.bound) + int64(d.IntN(3000))*int64(time.Millisecond))
	r.take()
	return nil
}

// restore makes a backup, and at the end brings it back, while the load goes on. Once a run is enough.
func (r *chaosRun) restore(d *rand.Rand) func() {
	running := r.c.running()
	if r.restored != nil || len(running) == 0 || !r.hasWritten() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var file bytes.Buffer
	restored := &chaos.Restore{Began: r.load.Recorder.Now(), Return: chaos.Never}
	if r.c.node(running[d.IntN(len(running))]).BackUp(ctx, &file) != nil {
		return nil
	}
	restored.Ended = r.load.Recorder.Now()
	return func() {
		running := r.c.running()
		if len(running) == 0 {
			return
		}
		n := r.c.node(running[d.IntN(len(running))])
		r.replaced = n.store.Head().Revision.Epoch
		restored.Call = r.load.Recorder.Now()
		r.restored, r.restoration, r.restoring = restored, r.step, make(chan struct{})
		go func() {
			defer close(r.restoring)
			r.bringBack(n, file.Bytes())
		}()
	}
}

// hasWritten reports whether there is anything that a backup is known to hold.
func (r *chaosRun) hasWritten() bool {
	return slices.ContainsFunc(r.load.Recorder.Ops(), func(o chaos.Op) bool { return o.Kind != chaos.Check && o.Outcome == chaos.Done })
}

// bringBack restores a backup. If that fails, what came of it is seen in the end.
func (r *chaosRun) bringBack(n *Node, file []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	answer, err := n.Restore(ctx, true, bytes.NewReader(file))
	if err != nil {
		return
	}
	r.restored.Return = r.load.Recorder.Now()
	if r.restored.Revision, err = consent.ParseRevision(answer.GetRevision()); err != nil {
		r.odd.add(err)
	}
}

// endRestoring waits for the end of a restore, and for calls after it.
func (r *chaosRun) endRestoring() {
	if r.restored == nil {
		return
	}
	<-r.restoring
	calls := len(r.load.Recorder.Ops())
	waitFor(r.tb, "calls after the restore", func() bool { return len(r.load.Recorder.Ops()) > calls+100 })
}

// settle finds out whether a restore has happened, which may be more than is known of it.
func (r *chaosRun) settle(h *chaos.History) error {
	if r.restored == nil {
		return nil
	}
	epoch := r.c.node(r.c.ids[0]).store.Head().Revision.Epoch
	acknowledged := r.restored.Return != chaos.Never
	switch {
	case epoch == r.replaced && acknowledged:
		return fmt.Errorf("a restore was acknowledged, and the epoch is still %016x", epoch)
	case epoch == r.replaced:
		return nil
	case acknowledged && r.restored.Revision.Epoch != epoch:
		return fmt.Errorf("a restore was acknowledged with the epoch %016x, and it is %016x", r.restored.Revision.Epoch, epoch)
	}
	r.restored.Revision.Epoch = epoch
	h.Restore = r.restored
	r.took[r.restoration]++
	return nil
}
