package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/consentd/consentd/consent"
)

// changesUpTo returns all that a node tells of after a position, once it has come to another.
func changesUpTo(t *testing.T, n *Node, after, to consent.Revision) (buckets []uint32, at consent.Revision) {
	t.Helper()
	for at = after; at.Index < to.Index; {
		reached, leave := n.Beyond(at.Index)
		<-reached
		leave()
		changes, err := n.Changes(at, 3, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range changes.Subjects {
			buckets = append(buckets, s.Bucket)
		}
		at = changes.To
	}
	return buckets, at
}

// TestChangesOnEveryReplica: a position is the same everywhere, and so is what changed between two of them, and a copy made at one.
func TestChangesOnEveryReplica(t *testing.T) {
	c := newCluster(t, 3, 1, nil)
	leader := c.node(c.leader())
	first := mustWrite(t, leader, grant(t, "anna")).Revision
	last := first
	for i := range 20 {
		last = mustWrite(t, c.node(c.ids[i%len(c.ids)]), grant(t, fmt.Sprint("subject ", i))).Revision
	}
	want, _ := changesUpTo(t, leader, first, last)
	if len(want) != 20 {
		t.Errorf("%d subjects changed, want 20", len(want))
	}
	filled, err := leader.Fill(t.Context(), "shop", "anna", first)
	if err != nil || filled.Record == nil || filled.Record.Index() != first.Index || filled.Revision.Index < first.Index {
		t.Fatalf("%+v, %v", filled, err)
	}
	for _, id := range c.ids {
		n := c.node(id)
		if got, at := changesUpTo(t, n, first, last); !slices.Equal(got, want) || at.Epoch != last.Epoch || at.Index < last.Index {
			t.Errorf("%s: the buckets %d up to %v, want %d up to %v", id, got, at, want, last)
		}
		got, err := n.Fill(t.Context(), "shop", "anna", last)
		if err != nil || got.Bucket != filled.Bucket || got.Revision.Index < last.Index || !slices.Equal(got.Record, filled.Record) {
			t.Errorf("%s: %+v, %v; want %+v", id, got, err, filled)
		}
		if bound := n.ClusterBound(); bound != leader.ClusterBound() || bound == 0 {
			t.Errorf("%s: the bound is %s", id, bound)
		}
	}
}

func TestFillRefuses(t *testing.T) {
	c := newCluster(t, 3, 0, nil)
	at := mustWrite(t, c.node(c.leader()), grant(t, "anna")).Revision
	n := c.node(c.followers()[0])
	if _, err := n.Fill(t.Context(), "nobody", "anna", at); !errors.Is(err, consent.ErrUnknownTenant) {
		t.Errorf("of an unknown tenant: %v", err)
	}
	if _, err := c.node(c.leader()).Fill(t.Context(), "shop", "anna", consent.Revision{Epoch: at.Epoch + 1}); !errors.Is(err, consent.ErrEpoch) {
		t.Errorf("of another epoch: %v", err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := n.Fill(soon, "shop", "anna", consent.Revision{Epoch: at.Epoch, Index: at.Index + 1000}); !errors.Is(err, consent.ErrStale) {
		t.Errorf("at a position to come: %v", err)
	}
	n.failure.report(errors.New("a fault of the test"))
	if _, err := n.Fill(t.Context(), "shop", "anna", at); !errors.Is(err, consent.ErrNotReady) {
		t.Errorf("after a fault: %v", err)
	}
}

// TestChangesBehindASnapshot: a replica that got the state as a stream doesn't know how it came to be, and says so to who comes from before.
func TestChangesBehindASnapshot(t *testing.T) {
	c := newCluster(t, 3, 0, func(o *Options) { o.tuning.trailingLogs = 1 })
	behind := c.followers()[0]
	at := mustWrite(t, c.node(c.leader()), grant(t, "anna")).Revision
	c.stop(behind)
	for i := range 3 {
		mustWrite(t, c.node(c.leader()), grants(t, fmt.Sprint("meanwhile ", i), 20))
	}
	for _, id := range c.running() {
		takeSnapshot(t, c.node(id))
	}
	c.start(behind)
	c.waitReady(behind)
	n := c.node(behind)
	waitFor(t, "the stream", func() bool { newest := n.snapshots.latest(); return newest != nil && newest.streamed })
	c.waitEqual()
	if _, err := n.Changes(at, 10, nil); !errors.Is(err, consent.ErrPositionGone) || errors.Is(err, consent.ErrOverrun) {
		t.Errorf("from before the stream: %v", err)
	}
	now, err := n.Changes(consent.Revision{}, 10, nil)
	if err != nil || now.To != n.store.Head().Revision || len(now.Tenants) != 1 {
		t.Fatalf("beginning anew: %+v, %v", now, err)
	}
	next := mustWrite(t, n, grant(t, "bert")).Revision
	if got, _ := changesUpTo(t, n, now.To, next); len(got) != 1 {
		t.Errorf("the first change behind the stream: %d", got)
	}
}

func TestChangesAcrossARestore(t *testing.T) {
	c := newCluster(t, 3, 0, nil)
	file := backedUp(t, c.keyOf(), 10)
	n := c.node(c.followers()[0])
	before := mustWrite(t, n, grant(t, "anna")).Revision
	restored := restoreInto(t, n, true, file)
	for _, id := range c.ids {
		n := c.node(id)
		if err := n.store.WaitApplied(t.Context(), restored.Index); err != nil {
			t.Fatal(err)
		}
		if _, err := n.Changes(before, 10, nil); !errors.Is(err, consent.ErrEpoch) {
			t.Errorf("%s: from before the restore: %v", id, err)
		}
		if _, err := n.Fill(t.Context(), "shop", "anna", before); !errors.Is(err, consent.ErrEpoch) {
			t.Errorf("%s: a copy for who knows the state of before: %v", id, err)
		}
		if now, err := n.Changes(consent.Revision{}, 10, nil); err != nil || now.To.Epoch != restored.Epoch || now.To.Index < restored.Index {
			t.Errorf("%s: beginning anew: %+v, %v", id, now, err)
		}
	}
}

func TestChangesBeforeTheStartAndAfterTheEnd(t *testing.T) {
	n, err := New(memoryOptions(t, vfs.NewMem()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Changes(consent.Revision{}, 10, nil); !errors.Is(err, consent.ErrNotReady) {
		t.Errorf("before the start: %v", err)
	}
	if _, err := n.Fill(t.Context(), "shop", "anna", consent.Revision{Epoch: 1}); !errors.Is(err, consent.ErrNotReady) {
		t.Errorf("a copy before the start: %v", err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitReady(t, n)
	if _, err := n.Changes(consent.Revision{}, 10, nil); err != nil {
		t.Error(err)
	}
	closeNode(t, n)
	if _, err := n.Changes(consent.Revision{}, 10, nil); !errors.Is(err, consent.ErrNotReady) {
		t.Errorf("after the end: %v", err)
	}
}
