package cluster

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// powerTrap loses the power of a replica just before a step of its disk. Nothing of what the replica still does then reaches anybody.
type powerTrap struct {
	armed    atomic.Bool           // once the replica is started
	counts   func(errorfs.Op) bool // which steps
	left     atomic.Int64          // until the one that isn't done any more
	survives vfs.CrashCloneCfg
	sprung   chan *vfs.MemFS // holds what is left of the disk
	corpse   *Node
}

// set returns the disk of a house, with the trap in it.
func (p *powerTrap) set(h *house, wire *Wire) vfs.FS {
	fs := h.fs
	p.sprung = make(chan *vfs.MemFS, 1)
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !p.armed.Load() || !p.counts(op) || p.left.Add(-1) != 0 {
			return nil
		}
		p.corpse = h.unplug()
		_ = wire.Close() // all it tells is that a connection was closed
		p.sprung <- fs.CrashClone(p.survives)
		return nil
	}))
}

// isDurableStep reports whether something may be durable after a step that wasn't before.
func isDurableStep(op errorfs.Op) bool {
	return op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo || op.Kind == errorfs.OpRename
}

// isStepOfBond is the same for what a replica is bound to, and what Raft writes.
func isStepOfBond(op errorfs.Op) bool {
	name := filepath.Base(op.Path)
	return isDurableStep(op) && (strings.HasPrefix(name, formatFile) || name == "data" || strings.HasSuffix(name, ".log"))
}

// TestFoundingSurvivesPowerLoss loses the power of one of three replicas at some step of its way into the cluster, and starts it again with
// the same options. The cluster has to come about, and to be one.
func TestFoundingSurvivesPowerLoss(t *testing.T) {
	rng := rand.New(rand.NewPCG(crashSeed(t), 11))
	losses, cycles := 0, 24
	if testing.Short() {
		cycles = 6
	}
	for cycle := range cycles {
		t.Run(strconv.Itoa(cycle), func(t *testing.T) {
			all := newStreet(t).buildAll("a", "b", "c")
			victim := all[cycle%3]
			victim.trap = newPowerTrap(rng)
			for _, h := range all {
				h.start()
			}
			if victim.dies() {
				losses++
				victim.start()
			}
			wantOneCluster(t, all)
		})
	}
	t.Logf("%d power losses in %d foundings", losses, cycles)
}

// TestJoiningSurvivesPowerLoss does the same to replicas that come to a cluster.
func TestJoiningSurvivesPowerLoss(t *testing.T) {
	rng := rand.New(rand.NewPCG(crashSeed(t), 13))
	s, _ := foundThree(t)
	losses, cycles := 0, 12
	if testing.Short() {
		cycles = 4
	}
	for cycle := range cycles {
		victim := s.build(fmt.Sprintf("l%d", cycle), 3, "a", "b", "c")
		victim.o.Learner = true
		victim.trap = newPowerTrap(rng)
		victim.start()
		if victim.dies() {
			losses++
			victim.start()
		}
		victim.wantAnna(t)
		victim.stop()
	}
	t.Logf("%d power losses of %d replicas", losses, cycles)
}

func newPowerTrap(rng *rand.Rand) *powerTrap {
	p := &powerTrap{counts: isDurableStep, survives: crashConfig(rng)}
	p.left.Store(1 + rng.Int64N(60))
	if rng.IntN(2) == 0 {
		p.counts = isStepOfBond
		p.left.Store(1 + rng.Int64N(16))
	}
	return p
}

// wantOneCluster waits until replicas are all there is of a cluster.
func wantOneCluster(t *testing.T, all []*house) {
	t.Helper()
	for _, h := range all {
		h.wantReady()
		h.wantMembers(all[0].voter(), all[1].voter(), all[2].voter())
		if got, want := h.node.dir.standing(), all[0].node.dir.standing(); got != want {
			t.Errorf("%s is %+v, and a is %+v", h.id, got, want)
		}
		mustWrite(t, h.node, grant(t, h.id))
	}
}

// dies waits until the trap has sprung, and reports whether it has before the replica was ready. Then it doesn't run any more.
func (h *house) dies() bool {
	h.street.tb.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case left := <-h.trap.sprung:
			h.close(h.trap.corpse)
			h.fs, h.trap = left, nil
			return true
		case <-tick.C:
			if !h.runs() {
				continue
			}
			h.trap.left.Store(0) // it doesn't spring any more
			if len(h.trap.sprung) == 0 {
				return false
			}
		}
	}
}

// runs reports whether the replica has started and is ready.
func (h *house) runs() bool {
	h.street.mu.Lock()
	node := h.node
	h.street.mu.Unlock()
	return node != nil && node.running() == nil && node.Ready() == nil
}
