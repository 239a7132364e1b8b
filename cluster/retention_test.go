package cluster

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/consentd/consentd/consent"
)

// TestRetention has a leader propose entries for as long as something is due, and nobody else.
func TestRetention(t *testing.T) {
	n := openNode(t, memoryOptions(t, vfs.NewMem()))
	due := 3
	r := *n.retention
	r.nextDue = func() consent.Time {
		if due == 0 {
			return consent.MaxTime
		}
		due--
		return 1
	}
	before := n.store.Applied()
	r.remove(nil)
	if got := n.store.Applied() - before; got != 3 || due != 0 {
		t.Errorf("%d entries were applied, want 3", got)
	}
	if next := n.store.NextDue(); next <= consent.MaxTime {
		t.Errorf("where nothing is due, the next is at %s", next)
	}
	due, r.leads = 1, func() bool { return false }
	if r.remove(nil); due != 1 {
		t.Error("a replica that doesn't lead has proposed something")
	}
}
