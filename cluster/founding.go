package cluster

import (
	"context"
	"errors"
	"fmt"

	peerv1 "github.com/consentd/consentd/proto/peer/v1"
	"github.com/google/uuid"
	"github.com/hashicorp/raft"
)

// foundsAlone says whether a new replica becomes a cluster of one.
func (o Options) foundsAlone() bool { return o.BootstrapExpect <= 1 && len(o.Join) == 0 && !o.Learner }

// form returns once this replica is bound to a cluster, so that Raft may run.
func (n *Node) form(ctx context.Context) error {
	switch b := n.dir.standing(); {
	case b.state == stateMember, b.state == stateJoining && b.founder != n.dir.nodeID:
		return nil
	case n.options.foundsAlone():
		return n.foundAlone()
	default:
		return n.discover(ctx)
	}
}

// discover is how a replica finds the others.
func (n *Node) discover(context.Context) error {
	return errors.New("clusters of more than one aren't formed yet")
}

// foundAlone makes this replica a cluster of one.
func (n *Node) foundAlone() error {
	clusterID := n.dir.standing().clusterID
	if clusterID == "" {
		clusterID = uuid.NewString()
	}
	if err := n.dir.bind(clusterID, n.dir.nodeID); err != nil {
		return err
	}
	return n.bootstrap(nil)
}

// bootstrap makes the cluster that consists of this replica and the others, on this one. It may follow an attempt that a crash cut short.
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
	}
	return n.dir.becomeMember()
}

// Introduce says who this replica is.
func (n *Node) Introduce(context.Context) (*peerv1.IntroduceResponse, error) {
	standing := n.dir.standing()
	return &peerv1.IntroduceResponse{
		NodeId: n.dir.nodeID, Address: string(n.address()), State: states[standing.state], ClusterId: standing.clusterID,
		FounderId: standing.founder, BootstrapExpect: uint32(n.expects()), Version: n.options.Version, Instance: n.instance[:],
	}, nil
}

var states = map[nodeState]peerv1.NodeState{
	stateNew:     peerv1.NodeState_NODE_STATE_NEW,
	stateJoining: peerv1.NodeState_NODE_STATE_JOINING,
	stateMember:  peerv1.NodeState_NODE_STATE_MEMBER,
}

// expects returns how many replicas this one would found a cluster with, itself included; 0 if it only joins one.
func (n *Node) expects() int {
	if n.options.Learner {
		return 0
	}
	return n.options.BootstrapExpect
}

// Promise binds this replica to a cluster that another one founds, durably. consent.ErrMembership says why it refuses.
func (n *Node) Promise(_ context.Context, p *peerv1.PromiseRequest) error {
	return errors.New("clusters of more than one aren't formed yet")
}
