package cluster

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"

	peerv1 "github.com/consentd/consentd/proto/peer/v1"
)

// foundsAlone says whether a new replica becomes a cluster of one.
func (o Options) foundsAlone() bool { return o.BootstrapExpect <= 1 && len(o.Join) == 0 && !o.Learner }

// expects returns how many replicas a new one founds a cluster with, itself included; 0 if it only joins one.
func (o Options) expects() int {
	if o.Learner {
		return 0
	}
	return o.BootstrapExpect
}

// foundAlone makes this replica a cluster of one.
func (n *Node) foundAlone() error {
	if err := n.beginFounding(); err != nil {
		return err
	}
	return n.bootstrap(nil)
}

// beginFounding makes this replica the founder of a cluster, unless it is already.
func (n *Node) beginFounding() error {
	if n.dir.standing().state != stateNew {
		return nil
	}
	return n.dir.bind(uuid.NewString(), n.dir.nodeID)
}

// bootstrap makes the cluster that consists of this replica and the others, on this one, and returns once it is a member. It may follow an
// attempt that a crash cut short, of which the term, or the term and the first entry may be left.
func (n *Node) bootstrap(others []raft.Server) error {
	if n.logs.last == 0 {
		// Raft writes the term before the first entry, and refuses to bootstrap where there is a term.
		if err := n.logs.SetUint64(currentTermKey, 0); err != nil {
			return err
		}
		self := raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(n.dir.nodeID), Address: n.address()}
		all := raft.Configuration{Servers: append([]raft.Server{self}, others...)}
		if n.options.tuning.members != nil {
			all.Servers = n.options.tuning.members
		}
		config := raftConfig(n.options, n.dir.nodeID, nil)
		if err := raft.BootstrapCluster(config, n.logs, n.logs, n.snapshots, nil, all); err != nil {
			return fmt.Errorf("bootstrapping a cluster of %d: %w", len(all.Servers), err)
		}
		n.options.Logger.Info("founded a cluster", "cluster", n.dir.standing().clusterID, "members", len(all.Servers))
	}
	return n.dir.becomeMember()
}

// foundWith founds a cluster with others, or returns why it has to wait. Nothing of it is in any log before all have promised durably
// to belong to this cluster and no other; so there is never a second one.
func (n *Node) foundWith(ctx context.Context, others []sighting) (wait string, err error) {
	if err := n.beginFounding(); err != nil {
		return "", err
	}
	if refused := n.promises(ctx, others); len(refused) > 0 {
		return "waiting for all expected replicas to promise that they take part: " + strings.Join(refused, "; "), nil
	}
	servers := make([]raft.Server, len(others))
	for i, o := range others {
		servers[i] = raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(o.GetNodeId()), Address: raft.ServerAddress(o.GetAddress())}
	}
	return "", n.bootstrap(servers)
}

// promises asks all at once to promise, and returns why some don't.
func (n *Node) promises(ctx context.Context, of []sighting) (refused []string) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	check := n.door.CheckValue()
	promise := &peerv1.PromiseRequest{FounderId: n.dir.nodeID, ClusterId: n.dir.standing().clusterID, KeyCheck: check[:]}
	errs := make([]error, len(of))
	var asking sync.WaitGroup
	for i, s := range of {
		asking.Go(func() { errs[i] = n.options.Peers.Promise(ctx, s.api, promise) })
	}
	asking.Wait()
	for i, err := range errs {
		if err != nil {
			refused = append(refused, fmt.Sprintf("%s: %s", of[i].GetNodeId(), err))
		}
	}
	return refused
}

// Promise binds this replica to a cluster that another one founds, and returns once that is durable. consent.ErrMembership says why it
// refuses.
func (n *Node) Promise(_ context.Context, p *peerv1.PromiseRequest) error {
	if err := n.mayPromise(p); err != nil {
		n.options.Logger.Warn("refused to found a cluster with another replica", "founder", p.GetFounderId(), "reason", err)
		return err
	}
	n.forming.Lock()
	defer n.forming.Unlock()
	was := n.dir.standing()
	err := n.bind(p.GetClusterId(), p.GetFounderId())
	if err == nil && was.state == stateNew {
		n.options.Logger.Info("promised to found a cluster", "founder", p.GetFounderId(), "cluster", p.GetClusterId())
	}
	return err
}

func (n *Node) mayPromise(p *peerv1.PromiseRequest) error {
	check, id := n.door.CheckValue(), n.dir.nodeID
	switch {
	case uuid.Validate(p.GetClusterId()) != nil || !nodeIDs.MatchString(p.GetFounderId()):
		return refuse("%q of %q is no cluster", p.GetClusterId(), p.GetFounderId())
	case p.GetFounderId() == id:
		return refuse("two replicas call themselves %s: give one of them another node id", id)
	case n.options.expects() < 2:
		return refuse("%s isn't to found a cluster with others: start it with the same --bootstrap-expect", id)
	case !bytes.Equal(p.GetKeyCheck(), check[:]):
		return refuse("%s has another pseudonym key than %s: copy the key file of %s to %s on %s, and restart it", id, p.GetFounderId(),
			p.GetFounderId(), n.options.PseudonymKeyFile, id)
	}
	return nil
}

// nextOfNew returns what a new replica does after a look, if so many are expected to found a cluster.
func (c *census) nextOfNew(expect int) (step, error) {
	if members := c.which(func(s sighting) bool { return s.is(peerv1.NodeState_NODE_STATE_MEMBER) }); len(members) > 0 {
		return joinOneOf(members)
	}
	if expect < 2 {
		return step{wait: "waiting for a replica that belongs to a cluster"}, nil
	}
	if err := c.checkExpectations(expect); err != nil {
		return step{}, err
	}
	if bound := c.which(func(s sighting) bool { return s.is(peerv1.NodeState_NODE_STATE_JOINING) }); len(bound) > 0 {
		return c.waitForFounder(bound)
	}
	companions := c.companions(expect)
	switch missing := expect - 1 - len(companions); {
	case missing < 0:
		return step{}, tooMany(expect, c.self.GetNodeId(), companions)
	case missing > 0:
		return step{wait: waitingFor(missing, expect)}, nil
	}
	if first := companions[0]; first.GetNodeId() < c.self.GetNodeId() {
		return step{wait: fmt.Sprintf("waiting for %s to found the cluster", first)}, nil
	}
	return foundWith(c.self, companions)
}

// nextOfFounder returns what a replica does after a look that has begun to found a cluster.
func (c *census) nextOfFounder(expect int) (step, error) {
	if members := c.which(func(s sighting) bool { return s.is(peerv1.NodeState_NODE_STATE_MEMBER) }); len(members) > 0 {
		return step{}, fmt.Errorf("%w: %s began to found cluster %s, and %s belong to one already: start %s with an empty data directory",
			ErrForming, c.self.GetNodeId(), c.self.GetClusterId(), names(members), c.self.GetNodeId())
	}
	if expect < 2 {
		return step{}, fmt.Errorf("%w: %s began to found cluster %s with others: start it with the options of that time, or with an empty data "+
			"directory", ErrForming, c.self.GetNodeId(), c.self.GetClusterId())
	}
	if err := c.checkExpectations(expect); err != nil {
		return step{}, err
	}
	promised := c.which(func(s sighting) bool {
		return s.is(peerv1.NodeState_NODE_STATE_JOINING) && s.GetClusterId() == c.self.GetClusterId()
	})
	if len(promised) >= expect-1 {
		return foundWith(c.self, promised[:expect-1])
	}
	companions := slices.Concat(promised, c.companions(expect))
	switch missing := expect - 1 - len(companions); {
	case missing < 0:
		return step{}, tooMany(expect, c.self.GetNodeId(), companions)
	case missing > 0:
		return step{wait: waitingFor(missing, expect)}, nil
	}
	return foundWith(c.self, companions)
}

// companions returns the new replicas that expect as many as this one.
func (c *census) companions(expect int) []sighting {
	return c.which(func(s sighting) bool {
		return s.is(peerv1.NodeState_NODE_STATE_NEW) && int(s.GetBootstrapExpect()) == expect
	})
}

// checkExpectations returns an error if another new replica expects another number. One that only joins a cluster expects none.
func (c *census) checkExpectations(expect int) error {
	for _, s := range c.others {
		if theirs := int(s.GetBootstrapExpect()); s.is(peerv1.NodeState_NODE_STATE_NEW) && theirs > 1 && theirs != expect {
			return fmt.Errorf("%w: %s expects %d replicas, and %s expects %d: start both with the same --bootstrap-expect", ErrForming,
				c.self.GetNodeId(), expect, s, theirs)
		}
	}
	return nil
}

// waitForFounder returns that a new replica waits for those that have promised to found a cluster.
func (c *census) waitForFounder(bound []sighting) (step, error) {
	founder := bound[0].GetFounderId()
	if founder == c.self.GetNodeId() {
		return step{}, fmt.Errorf("%w: %s promised to be in cluster %s, which %s began to found before its data directory was emptied: empty "+
			"theirs too, and start again", ErrForming, names(bound), bound[0].GetClusterId(), founder)
	}
	return step{wait: fmt.Sprintf("waiting for the cluster that %s is founding", cmp.Or(founder, "another replica"))}, nil
}

// foundWith returns that a cluster is founded with some, unless two have the same name or address.
func foundWith(self *peerv1.IntroduceResponse, others []sighting) (step, error) {
	for i, s := range others {
		if i > 0 && s.GetNodeId() == others[i-1].GetNodeId() {
			return step{wait: fmt.Sprintf("waiting until only one of %s and %s has its node id", others[i-1], s)}, nil
		}
		sharers := slices.DeleteFunc(slices.Clone(others), func(o sighting) bool { return o.GetAddress() != s.GetAddress() })
		if s.GetAddress() == self.GetAddress() || len(sharers) > 1 {
			return step{}, fmt.Errorf("%w: %s has the address %s for peers, and so has another replica: give each its own --advertise",
				ErrForming, s, s.GetAddress())
		}
	}
	return step{found: others}, nil
}

// joinOneOf returns that a cluster is joined, unless they are members of several.
func joinOneOf(members []sighting) (step, error) {
	for _, m := range members[1:] {
		if m.GetClusterId() != members[0].GetClusterId() {
			return step{}, fmt.Errorf("%w: %s belongs to cluster %s, and %s to cluster %s: name addresses of one cluster only", ErrForming,
				members[0], members[0].GetClusterId(), m, m.GetClusterId())
		}
	}
	return step{join: members}, nil
}

func tooMany(expect int, self string, companions []sighting) error {
	return fmt.Errorf("%w: %d replicas are expected, and there are %d new ones: %s, %s. Stop those that are too many, and start them again "+
		"once the cluster is there", ErrForming, expect, len(companions)+1, self, names(companions))
}

func waitingFor(missing, expect int) string {
	return fmt.Sprintf("waiting for %d of %d expected replicas", missing, expect)
}
