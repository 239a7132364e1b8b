package cluster

import (
	"testing"
	"time"
)

func TestDurations(t *testing.T) {
	var d durations
	for _, took := range []time.Duration{time.Microsecond, time.Millisecond, 2 * time.Millisecond, time.Minute} {
		d.add(took)
	}
	got := d.read()
	if got.Count != 4 || got.Sum != time.Minute+3*time.Millisecond+time.Microsecond {
		t.Errorf("%d of together %s", got.Count, got.Sum)
	}
	for bound, want := range map[time.Duration]uint64{
		100 * time.Microsecond: 1, 500 * time.Microsecond: 1, time.Millisecond: 2, 2500 * time.Microsecond: 3, 20 * time.Second: 3,
	} {
		if got.AtMost[bound] != want {
			t.Errorf("%d took at most %s, want %d", got.AtMost[bound], bound, want)
		}
	}
}

// TestStatsOfTheDisk has a write counted as a sync of the log, and the log take up space.
func TestStatsOfTheDisk(t *testing.T) {
	n := openNode(t, Options{DataDir: t.TempDir(), MaxStaleness: time.Hour, tuning: quick})
	before := n.Stats()
	mustWrite(t, n, grant(t, "anna"))
	after := n.Stats()
	if after.LogSyncs.Count <= before.LogSyncs.Count || after.LogSyncs.Sum <= before.LogSyncs.Sum {
		t.Errorf("syncs of the log before a write %+v, and after it %+v", before.LogSyncs, after.LogSyncs)
	}
	if after.LogBytes == 0 || after.FreeBytes <= 0 {
		t.Errorf("the log takes %d bytes, and %d are free", after.LogBytes, after.FreeBytes)
	}
	if _, stream, err := n.snapshots.Open(snapshotOf(t, n)); err != nil {
		t.Error(err)
	} else if err := stream.Close(); err != nil {
		t.Error(err)
	}
	if s := n.Stats(); s.Streams.Count != 1 || s.StreamBytes == 0 {
		t.Errorf("%d streams of %d bytes, want one", s.Streams.Count, s.StreamBytes)
	}
}

// snapshotOf takes a snapshot and returns its name.
func snapshotOf(t *testing.T, n *Node) string {
	t.Helper()
	if _, err := n.TakeSnapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n.snapshots.latest().meta.ID
}
