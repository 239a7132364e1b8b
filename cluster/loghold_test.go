package cluster

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// TestLogHolds cuts a log while snapshots are sent: never what follows one that is, or was a moment ago.
func TestLogHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h logHolds
		first, second := h.behind(10), h.behind(20)
		check := func(when string, want uint64) {
			t.Helper()
			if got := h.bound(100); got != want {
				t.Errorf("%s: cut up to %d, want %d", when, got, want)
			}
		}
		check("while both are sent", 10)
		first()
		check("right after the first", 10)
		time.Sleep(holdAfter + 1)
		check("long after the first", 20)
		if got := h.bound(15); got != 15 {
			t.Errorf("cut up to %d, where nothing is in the way of 15", got)
		}
		full := true
		h.waived = func() bool { return full }
		check("while the disk is full", 100)
		full = false
		check("while there is space again", 20)
		second()
		time.Sleep(holdAfter + 1)
		check("long after both", 100)
	})
}

// TestHeldLog: Raft's cuts stop at what is held. Taking back entries, or all of them, isn't a cut.
func TestHeldLog(t *testing.T) {
	s := openTestLog(t, vfs.NewMem())
	for index := uint64(1); index <= 30; index++ {
		if err := s.StoreLog(&raft.Log{Index: index, Data: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	s.holds.behind(10)
	for _, tt := range []struct{ lowest, highest, first, last uint64 }{
		{1, 5, 6, 30},
		{6, 20, 11, 30},
		{11, 20, 11, 30},
		{25, 30, 11, 24},
		{11, 24, 0, 0},
	} {
		if err := s.DeleteRange(tt.lowest, tt.highest); err != nil {
			t.Fatal(err)
		}
		wantEnds(t, s, tt.first, tt.last)
	}
}

// TestSnapshotWhileOneIsSent leaves in the log what the receiver of the first needs next, and what Raft compares that with.
func TestSnapshotWhileOneIsSent(t *testing.T) {
	o := memoryOptions(t, vfs.NewMem())
	o.tuning.trailingLogs = 1
	n := openNode(t, o)
	mustWrite(t, n, grant(t, "anna"))
	takeSnapshot(t, n)
	meta, stream, err := n.snapshots.Open(n.snapshots.latest().meta.ID)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		mustWrite(t, n, grant(t, fmt.Sprint("bert ", i)))
	}
	takeSnapshot(t, n)
	if newest := n.snapshots.latest().meta.Index; newest < meta.Index+10 {
		t.Fatalf("the newest snapshot is at %d, and the one that is sent at %d", newest, meta.Index)
	}
	for index := meta.Index; index <= meta.Index+10; index++ {
		if err := n.logs.GetLog(index, new(raft.Log)); err != nil {
			t.Errorf("entry %d: %v", index, err)
		}
	}
	for range 2 { // Raft closes it, and so does who waits for the receiver
		if err := stream.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
