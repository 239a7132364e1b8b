package cluster

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/consentd/consentd/consent"
)

// writing has writers write until it is stopped. It returns how many writes were acknowledged.
func writing(t *testing.T, c *testCluster, writers int) (stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var mu sync.Mutex
	acknowledged := 0
	n := c.node(c.leader())
	for writer := range writers {
		all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if _, err := n.Write(t.Context(), grant(t, fmt.Sprintf("subject %d of %d", i%50, writer))); err != nil {
					t.Errorf("a write: %v", err)
					return
				}
				mu.Lock()
				acknowledged++
				mu.Unlock()
			}
		})
	}
	return func() int {
		cancel()
		all.Wait()
		return acknowledged
	}
}

// TestFarBehind lets a voter and a learner fall behind the leader's log. Both get the state as a stream, at the same time and while others
// write, and go on from there.
func TestFarBehind(t *testing.T) {
	c := newCluster(t, 3, 1, func(o *Options) { o.tuning.trailingLogs = 1 })
	leader := c.leader()
	behind := []string{"l1", c.followers()[len(c.followers())-1]}
	if behind[1] == "l1" {
		behind[1] = c.followers()[0]
	}
	for _, id := range behind {
		c.stop(id)
	}
	for i := range 3 {
		mustWrite(t, c.node(leader), grants(t, fmt.Sprint("before ", i), 20))
	}
	for _, id := range c.running() { // so that whoever leads then has cut its log
		takeSnapshot(t, c.node(id))
	}
	stop := writing(t, c, 4)
	for _, id := range behind {
		c.start(id)
	}
	for _, id := range behind {
		waitFor(t, id+" to get a stream", func() bool {
			newest := c.node(id).snapshots.latest()
			return newest != nil && newest.streamed
		})
	}
	c.waitReady(behind...)
	if n := stop(); n == 0 {
		t.Error("nothing was written meanwhile")
	}
	c.waitEqual()
	for _, id := range c.ids {
		names, err := c.node(id).dir.fs.List(c.node(id).dir.join(snapshotsDir))
		if err != nil || strings.Contains(strings.Join(names, " "), temporarySuffix) {
			t.Errorf("%s: left behind: %q, %v", id, names, err)
		}
	}
	for _, id := range behind {
		c.crash(id, vfs.CrashCloneCfg{})
		c.start(id)
	}
	c.waitReady(behind...)
	mustWrite(t, c.node(c.leader()), grant(t, "after"))
	c.waitEqual()
}

// TestStateIsWholeWhileItIsExchanged reads on a follower while a stream takes its place: every view has the tenant that was there, and every
// record is read by its names.
func TestStateIsWholeWhileItIsExchanged(t *testing.T) {
	c := newCluster(t, 3, 0, func(o *Options) { o.tuning.trailingLogs = 1 })
	leader := c.node(c.leader())
	mustWrite(t, leader, grant(t, "anna"))
	id := c.followers()[0]
	n := c.node(id)
	waitFor(t, "the write on the follower", func() bool { return len(historyOf(t, n, "anna")) == 1 })
	for other := range c.replicas {
		if other != id {
			c.cut(other, id)
		}
	}
	// Raft tries again after a pause that grows with how long it couldn't, so that is short.
	for i := range 3 {
		mustWrite(t, leader, grants(t, fmt.Sprint("meanwhile ", i), 20))
	}
	takeSnapshot(t, leader)
	c.heal()
	want := leader.store.Applied()
	var buf consent.Buffer
	waitFor(t, "the follower to catch up", func() bool {
		tenant := n.store.Head().Tenants["shop"]
		if tenant == nil {
			t.Fatal("the tenant is gone")
		}
		record, err := n.Record(t.Context(), tenant, "anna", &buf)
		if err != nil || record.Tenant() != tenant.Number {
			t.Fatalf("read the record %x, %v", record, err)
		}
		return n.store.Applied() >= want
	})
	c.waitReady(id)
	c.waitEqual()
}
