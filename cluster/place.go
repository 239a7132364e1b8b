package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/consentd/consentd/consent"
	peerv1 "github.com/consentd/consentd/proto/peer/v1"
)

// place keeps a replica's place in its cluster. As long as it doesn't hear from a leader, or the cluster knows it by another address than
// it has, it asks for its place: the leader may look for it where it isn't any more. So it also finds out that it was removed, of which
// Raft tells it nothing: its leader just falls silent.
type place struct {
	node     *Node
	progress progress
	began    time.Time
	unknown  int // how often the leader has said that it doesn't know this replica, since it was last in touch
}

const (
	placeSilence = 8 // a leader that isn't heard of for so many elections may be looking elsewhere
	// A leader that has just lost its leadership may not know of a change that its successor has made. The second answer comes later than
	// such a leader lasts.
	unknownAnswers = 2
)

// run looks after the place until the context ends.
func (p *place) run(ctx context.Context) {
	tick := time.NewTicker(p.node.options.tuning.place)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.look(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// look asks for the place if that is needed.
func (p *place) look(ctx context.Context) {
	n := p.node
	if n.raft.State() == raft.Shutdown && ctx.Err() == nil { // as it is on a leader that has removed itself
		n.failure.report(p.removed())
		return
	}
	if p.kept() {
		p.unknown = 0
		p.progress.done()
		return
	}
	switch err := n.askForPlace(ctx); {
	case errors.Is(err, consent.ErrUnknownMember):
		if p.unknown++; p.unknown == unknownAnswers {
			n.failure.report(p.removed())
		}
	case err != nil && ctx.Err() == nil:
		p.tell(err)
	default:
		p.unknown = 0
	}
}

func (p *place) removed() error {
	n := p.node
	return fmt.Errorf("%w: cluster %s has removed %s, or was founded without it. To have it back, start it with an empty data directory: it "+
		"comes in as a new replica", ErrRemoved, n.dir.standing().clusterID, n.dir.nodeID)
}

// tell says what a replica without its place waits for.
func (p *place) tell(why error) {
	switch standing := p.node.dir.standing(); {
	case standing.founder != "":
		p.progress.tell("waiting for "+standing.founder+", which founds the cluster. If it is lost, empty the data directories of all that have "+
			"promised, and start again", "cluster", standing.clusterID, "reason", why)
	case standing.state == stateJoining:
		p.progress.tell("waiting for the leader of the cluster", "cluster", standing.clusterID, "reason", why)
	default:
		p.progress.tell("looking for the leader of the cluster, which hasn't been heard of", "cluster", standing.clusterID, "reason", why)
	}
}

// kept reports whether the cluster knows this replica by its address, and it is in touch with the leader, or leads.
func (p *place) kept() bool {
	n := p.node
	for _, s := range n.servers() {
		if string(s.ID) == n.dir.nodeID && s.Address != n.address() {
			return false
		}
	}
	heard := n.raft.LastContact()
	if heard.Before(p.began) {
		heard = p.began
	}
	return n.raft.State() == raft.Leader || time.Since(heard) < placeSilence*n.options.tuning.election
}

func (n *Node) servers() []raft.Server { return n.raft.GetConfiguration().Configuration().Servers }

// askForPlace has the leader make sure that this replica is in the configuration with its address.
func (n *Node) askForPlace(ctx context.Context) error {
	change := addition(n.dir.nodeID, string(n.address()), n.options.Learner, true, n.instance[:])
	if n.raft.State() == raft.Leader {
		return n.ChangeMembership(ctx, change)
	}
	err := n.askPeersForPlace(ctx, change)
	if err == nil || errors.Is(err, consent.ErrUnknownMember) || len(n.options.Join) == 0 {
		return err
	}
	return n.askAddressesForPlace(ctx)
}

var errNobodyKnown = errors.New("no other member is known here")

// askPeersForPlace asks the others in this replica's own configuration, of whom one may lead.
func (n *Node) askPeersForPlace(ctx context.Context, change *peerv1.ChangeMembershipRequest) error {
	err := errNobodyKnown
	for _, s := range n.servers() {
		if string(s.ID) == n.dir.nodeID {
			continue
		}
		if err = n.askPeerForPlace(ctx, Peer{ID: string(s.ID), Address: string(s.Address)}, change); err == nil ||
			errors.Is(err, consent.ErrUnknownMember) {
			return err
		}
	}
	return err
}

func (n *Node) askPeerForPlace(ctx context.Context, of Peer, change *peerv1.ChangeMembershipRequest) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	return n.options.Peers.ChangeMembership(ctx, of, change)
}

// askAddressesForPlace asks those members of the cluster that answer where this replica was told to find them.
func (n *Node) askAddressesForPlace(ctx context.Context) error {
	seen, err := n.look(ctx, n.options.Join)
	if err != nil {
		return err
	}
	clusterID := n.dir.standing().clusterID
	members := seen.which(func(s sighting) bool {
		return s.is(peerv1.NodeState_NODE_STATE_MEMBER) && s.GetClusterId() == clusterID
	})
	if len(members) == 0 {
		return fmt.Errorf("no member of the cluster answers%s", seen.silence())
	}
	return n.askForPlaceAt(ctx, members, clusterID)
}
