package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/consentd/consentd/consent"
	peerv1 "github.com/consentd/consentd/proto/peer/v1"
	"github.com/consentd/consentd/store"
	"github.com/hashicorp/raft"
)

// crew is Raft on its own: replicas in memory without stores, for what concerns members alone. Wishes are kept by the crew, and reports
// are those of Raft unless the test says others.
type crew struct {
	tb      testing.TB
	nodes   map[string]*crewNode
	mu      sync.Mutex
	wishes  map[string]bool
	altered map[string]func(*peerv1.ReportResponse) error
}

type crewNode struct {
	*membership
	raft      *raft.Raft
	transport *raft.InmemTransport
}

// nothing takes entries and does nothing.
type nothing struct{}

func (nothing) Apply(*raft.Log) any                 { return nil }
func (nothing) Snapshot() (raft.FSMSnapshot, error) { return nil, errors.New("no snapshots here") }
func (nothing) Restore(io.ReadCloser) error         { return errors.New("no snapshots here") }

// newCrew starts voters, and waits until one leads and the others follow.
func newCrew(tb testing.TB, voters ...string) *crew {
	tb.Helper()
	c := &crew{tb: tb, nodes: map[string]*crewNode{}, wishes: map[string]bool{}, altered: map[string]func(*peerv1.ReportResponse) error{}}
	for _, id := range voters {
		c.start(id)
	}
	if err := c.nodes[voters[0]].raft.BootstrapCluster(raft.Configuration{Servers: serversOf(voters...)}).Error(); err != nil {
		tb.Fatal(err)
	}
	c.settle()
	return c
}

// start starts a replica that waits to be told of a cluster.
func (c *crew) start(id string) {
	c.tb.Helper()
	config := raftConfig(Options{Logger: slog.New(slog.DiscardHandler), tuning: quick}.withDefaults(), id, make(chan bool, 64))
	logs := raft.NewInmemStore()
	address, transport := raft.NewInmemTransport(raft.ServerAddress(id + ":7444"))
	for _, other := range c.nodes {
		transport.Connect(other.transport.LocalAddr(), other.transport)
		other.transport.Connect(address, transport)
	}
	config.BatchApplyCh = false
	r, err := raft.NewRaft(config, nothing{}, logs, logs, raft.NewDiscardSnapshotStore(), transport)
	if err != nil {
		c.tb.Fatal(err)
	}
	c.tb.Cleanup(func() {
		if err := r.Shutdown().Error(); err != nil {
			c.tb.Error(err)
		}
	})
	n := &crewNode{raft: r, transport: transport}
	n.membership = &membership{
		self: id, raft: r, roster: func(ctx context.Context) roster { return c.roster(ctx, r) }, write: c.write, stays: c.stays,
		away: func(string) bool { return false }, logger: slog.New(slog.DiscardHandler), patience: 4 * quick.election, turn: make(chan struct{}, 1),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[id] = n
}

// leader waits until one leads whom all voters that it can reach follow.
func (c *crew) leader() *crewNode {
	c.tb.Helper()
	var leads *crewNode
	waitFor(c.tb, "a leader", func() bool {
		for _, n := range c.nodes {
			if n.raft.State() == raft.Leader && n.raft.VerifyLeader().Error() == nil {
				leads = n
				return true
			}
		}
		return false
	})
	return leads
}

func (c *crew) roster(ctx context.Context, r *raft.Raft) roster {
	_, leader := r.LeaderWithID()
	return callRoll(ctx, r.GetConfiguration().Configuration().Servers, string(leader), time.Second, c.report)
}

func (c *crew) report(_ context.Context, of Peer) (*peerv1.ReportResponse, error) {
	c.mu.Lock()
	n := c.nodes[of.ID]
	c.mu.Unlock()
	if n == nil || n.raft.State() == raft.Shutdown {
		return nil, errors.New("connection refused")
	}
	term, last := n.raft.CurrentTerm(), n.raft.LastIndex()
	r := &peerv1.ReportResponse{Term: term, LastTerm: term, LastIndex: last, Applied: last + 10_000, Ready: true}
	c.mu.Lock()
	defer c.mu.Unlock()
	if alter := c.altered[of.ID]; alter != nil {
		return r, alter(r)
	}
	return r, nil
}

// alter changes what a member reports from now on.
func (c *crew) alter(id string, f func(*peerv1.ReportResponse) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.altered[id] = f
}

func (c *crew) write(_ context.Context, command store.Command) (store.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wishes[command.Member.ID] = command.Member.StaysLearner && !command.Member.Removed
	return store.Result{}, nil
}

func (c *crew) stays(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wishes[id]
}

// settle waits until all members are healthy.
func (c *crew) settle() {
	c.tb.Helper()
	waitFor(c.tb, "all to be healthy", func() bool {
		r := c.leader().roster(c.tb.Context())
		return healthyOf(r.members) == len(r.members)
	})
}

// change has the leader make a change.
func (c *crew) change(what string, id string) error {
	c.tb.Helper()
	kind := peerv1.MembershipChange(peerv1.MembershipChange_value["MEMBERSHIP_CHANGE_"+what])
	change := &peerv1.ChangeMembershipRequest{Change: kind, NodeId: strings.TrimSuffix(id, "?"), Learner: strings.HasSuffix(id, "?")}
	if what == "ADD" {
		change.Address = change.GetNodeId() + ":7444"
	}
	return c.leader().change(c.tb.Context(), change)
}

// must makes changes that are allowed, again if an election came between.
func (c *crew) must(what string, ids ...string) {
	c.tb.Helper()
	for _, id := range ids {
		waitFor(c.tb, what+" "+id, func() bool {
			err := c.change(what, id)
			if err != nil {
				c.tb.Logf("%s %s: %v", what, id, err)
			}
			return err == nil || what == "REMOVE" && errors.Is(err, consent.ErrUnknownMember)
		})
	}
}

// members returns the members as the leader has them: voters, and learners with a question mark.
func (c *crew) members() string {
	c.tb.Helper()
	var ids []string
	for _, m := range c.leader().roster(c.tb.Context()).members {
		if m.voter {
			ids = append(ids, m.ID)
		} else {
			ids = append(ids, m.ID+"?")
		}
	}
	return strings.Join(ids, " ")
}

// followers returns the ids of the voters that don't lead, the smaller first.
func (c *crew) followers() []string {
	c.tb.Helper()
	var ids []string
	r := c.leader().roster(c.tb.Context())
	for _, m := range r.voters(r.leader) {
		ids = append(ids, m.ID)
	}
	return ids
}

func (c *crew) expect(want string) {
	c.tb.Helper()
	if got := c.members(); got != want {
		c.tb.Errorf("the members are %s, want %s", got, want)
	}
}

func TestMembersComeAndGo(t *testing.T) {
	t.Parallel()
	c := newCrew(t, "n1")
	c.start("n2")
	c.start("n3")
	c.must("ADD", "n2", "n3?", "n2") // the same again changes nothing
	c.expect("n1 n2? n3?")
	if c.stays("n2") || !c.stays("n3") {
		t.Error("n3 alone was to stay a learner")
	}
	c.settle()
	c.must("PROMOTE", "n2", "n3", "n3")
	c.expect("n1 n2 n3")
	if c.stays("n3") {
		t.Error("n3 still is to stay a learner")
	}
	gone, demoted := c.followers()[0], c.followers()[1]
	c.must("DEMOTE", demoted, demoted)
	if !c.stays(demoted) {
		t.Errorf("%s isn't to stay a learner", demoted)
	}
	c.must("REMOVE", gone, demoted)
	c.expect(c.leader().self)
	if c.stays(demoted) {
		t.Errorf("something is still wished of %s", demoted)
	}
}

func TestMembersMove(t *testing.T) {
	t.Parallel()
	c := newCrew(t, "n1", "n2", "n3")
	moved := c.followers()[1]
	move := &peerv1.ChangeMembershipRequest{
		Change: peerv1.MembershipChange_MEMBERSHIP_CHANGE_ADD, NodeId: moved, Address: "elsewhere:7444", Learner: true,
	}
	if err := c.leader().change(t.Context(), move); err != nil {
		t.Fatal(err)
	}
	c.expect("n1 n2 n3")
	r := c.leader().roster(t.Context())
	if got := r.find(moved).Address; got != "elsewhere:7444" {
		t.Errorf("%s is at %s", moved, got)
	}
	if c.stays(moved) {
		t.Error("a change of address changed what is wished of a voter")
	}
}

func TestMembershipRefusals(t *testing.T) {
	t.Parallel()
	dead := func(*peerv1.ReportResponse) error { return errors.New("connection refused") }
	behind := func(r *peerv1.ReportResponse) error {
		r.Applied -= 5000
		return nil
	}
	for _, test := range []struct {
		name   string
		voters int
		change string
		whom   string // L: the leader, F: a follower, else an id
		ill    func(*peerv1.ReportResponse) error
		want   error
		words  string
	}{
		{"the last voter", 1, "REMOVE", "L", nil, consent.ErrMembership, "the last voter: add another replica"},
		{"the last vote", 1, "DEMOTE", "L", nil, consent.ErrMembership, "the last voter: add another replica"},
		{"too few left", 3, "REMOVE", "F", dead, consent.ErrMembership, "of the 2 voters that this leaves, 1 would be healthy"},
		{"too few votes", 3, "DEMOTE", "F", dead, consent.ErrMembership, "(X can't be asked (connection refused)): mend or remove"},
		{"the leader, and too few left", 3, "REMOVE", "L", dead, consent.ErrMembership, "1 would be healthy"},
		{"nobody to lead", 2, "TRANSFER", "", dead, consent.ErrMembership, "no other voter is fit to lead (X can't be asked"},
		{"not fit to lead", 3, "TRANSFER", "X", dead, consent.ErrMembership, "only a healthy voter can lead"},
		{"a learner to lead", 1, "TRANSFER", "l1", nil, consent.ErrMembership, "l1 is a learner, and only a voter can lead: promote it"},
		{"a learner that trails", 1, "PROMOTE", "l1", behind, consent.ErrMembership, "l1 trails the leader by 5000 entries"},
		{"a learner that trails in company", 3, "PROMOTE", "l1", behind, consent.ErrMembership, "l1 trails the leader by 5000 entries: a voter has"},
		{"a dead learner", 1, "PROMOTE", "l1", dead, consent.ErrMembership, "l1 can't be asked (connection refused)"},
		{"a stranger", 1, "REMOVE", "n9", nil, consent.ErrUnknownMember, `the members are l1, n1, and not "n9"`},
		{"a strange learner", 1, "PROMOTE", "n9", nil, consent.ErrUnknownMember, `not "n9"`},
		{"no id", 1, "ADD", "", nil, consent.ErrMembership, "a member needs an id"},
		{"no change", 1, "NONE", "L", nil, consent.ErrMembership, "doesn't know the change"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			refused := func(t *testing.T) bool {
				t.Helper()
				c := newCrew(t, []string{"n1", "n2", "n3"}[:test.voters]...)
				c.start("l1")
				c.must("ADD", "l1?")
				c.settle()
				leader := c.leader()
				before, led, term := c.members(), leader.self, leader.raft.CurrentTerm()
				ill, whom := "l1", test.whom
				if f := c.followers(); len(f) > 0 && whom != "l1" {
					ill, whom = f[0], strings.NewReplacer("X", f[0], "F", f[len(f)-1]).Replace(whom)
				}
				whom = strings.ReplaceAll(whom, "L", led)
				if test.ill != nil {
					c.alter(ill, test.ill)
				}
				err := c.change(test.change, whom)
				if now := c.leader(); now != leader || now.raft.CurrentTerm() != term {
					return false
				}
				if words := strings.ReplaceAll(test.words, "X", ill); !errors.Is(err, test.want) || !strings.Contains(err.Error(), words) {
					t.Errorf("got %v, want %v with the words %q", err, test.want, words)
				}
				c.expect(before)
				return true
			}
			// A busy machine may elect another leader meanwhile, who may be the one that is ill. Each attempt ends its crew, which would only add to that.
			waitFor(t, "an attempt without another election", func() (done bool) {
				return !t.Run("attempt", func(t *testing.T) { done = refused(t) }) || done
			})
		})
	}
}

func TestAddressesAreNotShared(t *testing.T) {
	t.Parallel()
	c := newCrew(t, "n1")
	err := c.leader().change(t.Context(), &peerv1.ChangeMembershipRequest{
		Change: peerv1.MembershipChange_MEMBERSHIP_CHANGE_ADD, NodeId: "n2", Address: "n1:7444",
	})
	if !errors.Is(err, consent.ErrMembership) || !strings.Contains(err.Error(), "n1:7444 is the address of n1") {
		t.Errorf("got %v, want a refusal that names whose address it is", err)
	}
}

// Taking the leader's own vote hands leadership over first, and leaves the change to the next leader.
func TestLeaderGivesItsVoteAwayLast(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"REMOVE", "DEMOTE"} {
		c := newCrew(t, "n1", "n2", "n3")
		old := c.leader().self
		if err := c.change(what, old); !errors.Is(err, errMoved) {
			t.Fatalf("%s: %v, want %v", what, err, errMoved)
		}
		waitFor(t, "another leader", func() bool { return c.leader().self != old })
		c.expect("n1 n2 n3")
		c.must(what, old)
		if got := c.members(); strings.Contains(got+" ", old+" ") {
			t.Errorf("after %s of %s the members are %s", what, old, got)
		}
	}
}

func TestTransferToOneByName(t *testing.T) {
	t.Parallel()
	c := newCrew(t, "n1", "n2", "n3")
	next := c.followers()[1]
	waitFor(t, next+" to lead", func() bool {
		c.must("TRANSFER", next) // it may lead already
		return c.leader().self == next
	})
	c.must("TRANSFER", "")
	waitFor(t, "another to lead", func() bool { return c.leader().self != next })
}

// A change waits for the one before it, and says so when its time is up.
func TestOneChangeAtATime(t *testing.T) {
	t.Parallel()
	c := newCrew(t, "n1")
	leader := c.leader()
	leader.turn <- struct{}{}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	add := &peerv1.ChangeMembershipRequest{Change: peerv1.MembershipChange_MEMBERSHIP_CHANGE_ADD, NodeId: "n2", Address: "n2:7444"}
	if err := leader.change(ctx, add); !errors.Is(err, consent.ErrMembership) || !strings.Contains(err.Error(), "another change") {
		t.Errorf("got %v, want a refusal because of another change", err)
	}
	<-leader.turn
	if err := leader.change(t.Context(), add); err != nil {
		t.Error(err)
	}
}

func TestChangesAreTheLeaders(t *testing.T) {
	t.Parallel()
	c := newCrew(t, "n1", "n2")
	follower := c.nodes[c.followers()[0]]
	err := follower.change(t.Context(), &peerv1.ChangeMembershipRequest{
		Change: peerv1.MembershipChange_MEMBERSHIP_CHANGE_ADD, NodeId: "n3", Address: "n3:7444",
	})
	if !errors.Is(err, consent.ErrNoLeader) {
		t.Errorf("got %v, want %v", err, consent.ErrNoLeader)
	}
}

// runPilot runs autopilot on every node of the crew, as leaders come and go.
func (c *crew) runPilot() {
	for _, n := range c.nodes {
		ctx, cancel := context.WithCancel(context.Background())
		leads := func() (bool, <-chan struct{}) {
			soon, cancel := context.WithTimeout(ctx, time.Millisecond)
			context.AfterFunc(soon, cancel)
			return n.raft.State() == raft.Leader, soon.Done()
		}
		var running sync.WaitGroup
		running.Go(func() { newPilot(n.membership, quick).run(ctx, leads) })
		c.tb.Cleanup(func() { cancel(); running.Wait() })
	}
}

func TestAutopilotPromotesWhoHasCaughtUp(t *testing.T) {
	t.Parallel()
	c := newCrew(t, "n1", "n2", "n3")
	for i := range 3 {
		c.start(fmt.Sprintf("l%d", i))
	}
	c.alter("l2", func(r *peerv1.ReportResponse) error { r.Ready = false; return nil })
	c.runPilot()
	c.must("ADD", "l0", "l1?", "l2")
	waitFor(t, "the promotion", func() bool { return strings.HasPrefix(c.members(), "l0 ") })
	c.expect("l0 l1? l2? n1 n2 n3")
	c.alter("l2", nil)
	waitFor(t, "another promotion", func() bool { return c.members() == "l0 l1? l2 n1 n2 n3" })
	c.must("DEMOTE", "l0")
	c.start("l3")
	c.must("ADD", "l3")
	waitFor(t, "the last promotion", func() bool { return strings.Contains(c.members(), "l3 ") })
	c.expect("l0? l1? l2 l3 n1 n2 n3")
}

// What autopilot saw may be over when it asks for a promotion.
func TestPromotionsUnasked(t *testing.T) {
	t.Parallel()
	c := newCrew(t, "n1", "n2", "n3")
	for _, id := range []string{"fit", "wished", "ill"} {
		c.start(id)
	}
	c.must("ADD", "fit", "wished?", "ill")
	c.settle()
	c.alter("ill", func(r *peerv1.ReportResponse) error { r.Ready = false; return nil })
	for _, id := range []string{"gone", "n2", "wished", "ill"} {
		if err := c.leader().promoteUnasked(t.Context(), id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	c.expect("fit? ill? n1 n2 n3 wished?")
	waitFor(t, "the promotion", func() bool {
		err := c.leader().promoteUnasked(t.Context(), "fit") // there may be an election
		return err == nil && c.members() == "fit ill? n1 n2 n3 wished?"
	})
}
