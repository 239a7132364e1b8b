package cluster

import (
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"
)

// joiningNode returns as much of a node as there is before Raft runs, bound to a cluster.
func joiningNode(t *testing.T, fs vfs.FS) *Node {
	t.Helper()
	d, err := openDataDir(fs, "data", "n1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := d.bind("7c9e6679-7425-40de-944b-e07fc1f90ae7", ""); err != nil {
		t.Fatal(err)
	}
	n := &Node{dir: d, logs: openTestLog(t, fs), failure: newFailure(slog.New(slog.DiscardHandler), func() {})}
	n.logs.acknowledge = n.becomeMember
	return n
}

// A replica is a member with the first thing that it may tell others: a term, a vote or an entry.
func TestFirstWriteMakesAMember(t *testing.T) {
	tests := []struct {
		name  string
		write func(*logStore) error
		want  nodeState
	}{
		{"a term", func(s *logStore) error { return s.SetUint64(currentTermKey, 1) }, stateMember},
		{"a vote", func(s *logStore) error { return s.Set([]byte("LastVoteCand"), []byte("n2")) }, stateMember},
		{"a vote's term", func(s *logStore) error { return s.SetUint64([]byte("LastVoteTerm"), 1) }, stateMember},
		{"an entry", func(s *logStore) error { return s.StoreLog(&raft.Log{Index: 1, Term: 1}) }, stateMember},
		{"no term yet", func(s *logStore) error { return s.SetUint64(currentTermKey, 0) }, stateJoining},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := joiningNode(t, vfs.NewMem())
			if err := tt.write(n.logs); err != nil {
				t.Fatal(err)
			}
			if got := n.dir.standing().state; got != tt.want {
				t.Errorf("the replica is %s, want %s", got, tt.want)
			}
		})
	}
}

// A disk that fails the step to member ends the process: nothing is acknowledged in it, also when the disk is well again.
func TestFailedStepToMemberIsFinal(t *testing.T) {
	var fails atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if fails.Load() && op.Kind == errorfs.OpFileSync && strings.Contains(op.Path, formatFile) {
			return errorfs.ErrInjected
		}
		return nil
	}))
	n := joiningNode(t, fs)
	fails.Store(true)
	if err := n.logs.SetUint64(currentTermKey, 1); !errors.Is(err, errorfs.ErrInjected) {
		t.Errorf("the first term: %v", err)
	}
	if err := n.failure.err(); !errors.Is(err, errorfs.ErrInjected) {
		t.Errorf("the failure is %v", err)
	}
	fails.Store(false)
	if err := n.logs.StoreLog(&raft.Log{Index: 1, Term: 1}); !errors.Is(err, errorfs.ErrInjected) {
		t.Errorf("an entry after it: %v", err)
	}
	if got := n.dir.standing().state; got != stateJoining {
		t.Errorf("the replica is %s", got)
	}
}
