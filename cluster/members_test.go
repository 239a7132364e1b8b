package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/hashicorp/raft"
)

// load writes to replicas until it is stopped, one subject after the other.
type load struct {
	acknowledged atomic.Int64
	stop         func()
}

// startLoad has one writer for each of some replicas. A write that isn't acknowledged fails the test.
func startLoad(tb testing.TB, c *testCluster, ids ...string) *load {
	tb.Helper()
	l := &load{}
	stopped := make(chan struct{})
	var writers sync.WaitGroup
	for _, id := range ids {
		n := c.node(id)
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stopped:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // of a slow machine: seamless isn't fast
				_, err := n.Write(ctx, grant(tb, fmt.Sprintf("%s-%d", id, i)))
				cancel()
				if err != nil {
					tb.Errorf("writing to %s: %v", id, err)
					return
				}
				l.acknowledged.Add(1)
			}
		})
	}
	l.stop = sync.OnceFunc(func() { close(stopped); writers.Wait() })
	tb.Cleanup(l.stop)
	return l
}

// more waits until so many more writes were acknowledged.
func (l *load) more(tb testing.TB, writes int64) {
	tb.Helper()
	enough := l.acknowledged.Load() + writes
	waitFor(tb, fmt.Sprintf("%d more writes", writes), func() bool { return l.acknowledged.Load() >= enough })
}

// verify stops the writers, and looks whether all that was acknowledged is on every replica.
func (l *load) verify(tb testing.TB, c *testCluster) {
	tb.Helper()
	l.stop()
	c.waitEqual()
	for _, id := range c.running() {
		if got := int64(c.node(id).store.Stats().Subjects); got != l.acknowledged.Load() {
			tb.Errorf("%s holds %d subjects, and %d were acknowledged", id, got, l.acknowledged.Load())
		}
	}
}

func TestRemovalUnderLoad(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 0, nil)
	gone := c.followers()[1]
	stay := slices.DeleteFunc(c.running(), func(id string) bool { return id == gone })
	l := startLoad(t, c, stay...)
	l.more(t, 20)
	if err := c.node(stay[0]).RemoveMember(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	l.more(t, 20)
	if got := memberIDs(status(t, c.node(stay[1]))); got != strings.Join(stay, " ") {
		t.Errorf("the members are %s, want %v", got, stay)
	}
	c.stop(gone)
	l.verify(t, c)
}

// Any replica takes the removal of the leader, also the leader itself. Leadership is handed over first.
func TestLeaderIsRemovedUnderLoad(t *testing.T) {
	t.Parallel()
	for _, asked := range []string{"a learner", "itself"} {
		t.Run(asked, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 3, 1, nil)
			gone := c.leader()
			stay := slices.DeleteFunc(c.running(), func(id string) bool { return id == gone })
			l := startLoad(t, c, stay...)
			l.more(t, 20)
			n := c.node("l1")
			if asked == "itself" {
				n = c.node(gone)
			}
			if err := n.RemoveMember(t.Context(), gone); err != nil {
				t.Fatal(err)
			}
			l.more(t, 20)
			if got := memberIDs(status(t, c.node("l1"))); got != strings.Join(stay, " ") {
				t.Errorf("after the removal of %s the members are %s, want %v", gone, got, stay)
			}
			c.stop(gone)
			l.verify(t, c)
		})
	}
}

func TestTransferUnderLoadLosesNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 0, nil)
	l := startLoad(t, c, c.ids...)
	handed := 0
	for i := range 6 {
		l.more(t, 10)
		from := c.leader()
		to := ""
		if i%2 == 1 {
			to = c.followers()[0]
		}
		led, err := c.node(c.ids[i%3]).TransferLeadership(t.Context(), to)
		if err != nil {
			t.Logf("from %s to %q: %v", from, to, err) // an election may come between
			continue
		}
		if led == from || to != "" && led != to {
			t.Errorf("from %s to %q: %s leads", from, to, led)
		}
		handed++
	}
	if handed == 0 {
		t.Error("leadership was never handed over")
	}
	l.verify(t, c)
}

func TestAutopilotPromotesUnderLoad(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 1, func(o *Options) { o.tuning.inspection = 50 * time.Millisecond })
	l := startLoad(t, c, "n1", "l1")
	waitFor(t, "the learner to become a voter", func() bool {
		return !slices.ContainsFunc(status(t, c.node("l1")).GetMembers(), func(m *consentv1.Member) bool {
			return m.GetRole() == consentv1.MemberRole_MEMBER_ROLE_LEARNER
		})
	})
	l.more(t, 10)
	l.verify(t, c)
}

// TestDemotedLeaderFollows: a demotion that another leader began may take effect when this replica leads already.
func TestDemotedLeaderFollows(t *testing.T) {
	c := newCluster(t, 3, 0, nil)
	demoted := c.leader()
	if err := c.node(demoted).raft.DemoteVoter(raft.ServerID(demoted), 0, 0).Error(); err != nil {
		t.Fatal(err)
	}
	next := c.otherLeader(demoted)
	mustWrite(t, c.node(next), grant(t, "after"))
	c.waitReady(demoted)
	c.waitEqual()
}

// A learner that was demoted by hand stays one, whoever leads, until it is promoted by hand.
func TestDemotedStaysALearner(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 1, nil)
	demoted := c.followers()[1]
	if err := c.node(demoted).DemoteMember(t.Context(), demoted); err != nil {
		t.Fatal(err)
	}
	for _, id := range c.ids {
		waitFor(t, "the wish on "+id, func() bool { return c.node(id).store.StaysLearner(demoted) })
	}
	fit := func() bool {
		return !slices.ContainsFunc(status(t, c.node("l1")).GetMembers(), func(m *consentv1.Member) bool { return !m.GetHealthy() })
	}
	waitFor(t, "all to be healthy", fit)
	if err := c.node("l1").PromoteMember(t.Context(), demoted); err != nil {
		t.Fatal(err)
	}
	if c.node(c.leader()).store.StaysLearner(demoted) {
		t.Errorf("%s was promoted, and is still to stay a learner", demoted)
	}
}

func TestMembersWithoutALeader(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 0, nil)
	left := c.followers()[0]
	for _, id := range c.ids {
		if id != left {
			c.stop(id)
		}
	}
	n := c.node(left)
	waitFor(t, "the leader to be missed", func() bool { return status(t, n).GetLeader() == "" })
	s := status(t, n)
	if memberIDs(s) != "n1 n2 n3" || s.GetFailuresTolerated() != 0 || s.GetNodeId() != left {
		t.Errorf("got %v", s)
	}
	if err := n.RemoveMember(t.Context(), c.ids[0]); !errors.Is(err, consent.ErrNoLeader) {
		t.Errorf("removing without a leader: %v, want %v", err, consent.ErrNoLeader)
	}
	if _, err := n.TransferLeadership(t.Context(), ""); !errors.Is(err, consent.ErrNoLeader) {
		t.Errorf("transferring without a leader: %v, want %v", err, consent.ErrNoLeader)
	}
	if err := n.BackUp(t.Context(), io.Discard); !errors.Is(err, consent.ErrNoLeader) {
		t.Errorf("backing up without a leader: %v, want %v", err, consent.ErrNoLeader)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := n.DemoteMember(ctx, left); !errors.Is(err, consent.ErrNoLeader) {
		t.Errorf("demoting without a leader, by a deadline: %v, want %v", err, consent.ErrNoLeader)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 1, func(o *Options) { o.Version, o.Listen = "v9", []string{"there:7433"} })
	mustWrite(t, c.node("l1"), grant(t, "anna"))
	c.waitEqual()
	leader := c.leader()
	for _, id := range c.ids {
		var s *consentv1.GetClusterStatusResponse
		waitFor(t, "all to be healthy and current", func() bool {
			s = status(t, c.node(id))
			return s.GetLeader() == leader && !slices.ContainsFunc(s.GetMembers(), func(m *consentv1.Member) bool { return !m.GetHealthy() })
		})
		if s.GetNodeId() != id || memberIDs(s) != "l1 n1 n2 n3" || s.GetFailuresTolerated() != 1 || s.GetTerm() == 0 {
			t.Errorf("%s says %v", id, s)
		}
		if s.GetMaxStaleness().AsDuration() != 2*time.Second {
			t.Errorf("%s says that the bound is %s", id, s.GetMaxStaleness().AsDuration())
		}
		for _, m := range s.GetMembers() {
			want := consentv1.MemberRole_MEMBER_ROLE_VOTER
			switch m.GetId() {
			case leader:
				want = consentv1.MemberRole_MEMBER_ROLE_LEADER
			case "l1":
				want = consentv1.MemberRole_MEMBER_ROLE_LEARNER
			}
			if m.GetRole() != want || m.GetAddress() != m.GetId() || m.GetVersion() != "v9" || m.GetListen()[0] != "there:7433" ||
				m.GetApplied() == 0 || m.GetTrailsLeaderBy() != 0 || m.GetLastContact() == nil {
				t.Errorf("%s says of %s: %v, want role %s", id, m.GetId(), m, want)
			}
		}
	}
}

// A member that can't be reached delays the answer by half a second, and is told apart from one that is well.
func TestStatusOfADeadMember(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 0, nil)
	dead := c.followers()[0]
	c.isolate(dead)
	began := time.Now()
	s := status(t, c.node(c.leader()))
	if took := time.Since(began); took > reportWait+2*time.Second {
		t.Errorf("it took %s", took)
	}
	for _, m := range s.GetMembers() {
		if m.GetHealthy() != (m.GetId() != dead) || (m.GetLastContact() == nil) != (m.GetId() == dead) {
			t.Errorf("with %s cut off, %v", dead, m)
		}
	}
	if s.GetFailuresTolerated() != 0 {
		t.Errorf("%d failures are tolerated, want none", s.GetFailuresTolerated())
	}
}

// The figures of members and leaders are told by those that know them.
func TestStatsOfMembers(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 1, func(o *Options) { o.tuning.inspection = 50 * time.Millisecond })
	for _, id := range c.ids {
		waitFor(t, "the learner to become a voter on "+id, func() bool { return c.node(id).Stats().Voters == 4 })
	}
	leader := c.leader()
	waitFor(t, "the leader to look around", func() bool { return c.node(leader).Stats().FailuresTolerated == 1 })
	changes := c.node("l1").Stats().LeaderChanges
	mustWrite(t, c.node(c.followers()[0]), grant(t, "anna"))
	for _, id := range c.ids {
		s := c.node(id).Stats()
		if s.Leads != (id == leader) || !s.LeaderKnown || s.LeaderChanges == 0 || s.Members != 4 || s.Voters != 4 ||
			(s.FailuresTolerated < 0) != (id != leader) || (s.Forwarded > 0) != (id == c.followers()[0]) || s.LastContact < 0 {
			t.Errorf("%s, while %s leads: %+v", id, leader, s)
		}
	}
	c.stop(leader)
	waitFor(t, "another leader to be seen", func() bool { return c.node(c.running()[0]).Stats().LeaderChanges > changes })
}

func TestTakeSnapshot(t *testing.T) {
	t.Parallel()
	n := openNode(t, memoryOptions(t, vfs.NewMem()))
	wrote := mustWrite(t, n, grant(t, "anna"))
	for range 2 { // the second time nothing is new
		index, err := n.TakeSnapshot(t.Context())
		if err != nil || index < wrote.Revision.Index {
			t.Errorf("got index %d, %v; want at least %d", index, err, wrote.Revision.Index)
		}
	}
}

func status(tb testing.TB, n *Node) *consentv1.GetClusterStatusResponse {
	tb.Helper()
	s, err := n.Status(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func memberIDs(s *consentv1.GetClusterStatusResponse) string {
	var ids []string
	for _, m := range s.GetMembers() {
		ids = append(ids, m.GetId())
	}
	return strings.Join(ids, " ")
}
