package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/consentd/consentd/consent"
	peerv1 "github.com/consentd/consentd/proto/peer/v1"
)

// Join has a new replica join the cluster of a member that answers at one of the addresses, and returns that cluster's id once it is bound
// to it. consent.ErrMembership says why it isn't taken in, and consent.ErrNoLeader that nobody can right now.
func (n *Node) Join(ctx context.Context, addresses []string) (clusterID string, err error) {
	if n.options.isolated() {
		return "", refuse("%s can't be reached by other replicas: start it with --raft-listen", n.dir.nodeID)
	}
	seen, err := n.look(ctx, addresses)
	if err != nil {
		return "", refuse("%w", err)
	}
	members := seen.which(func(s sighting) bool { return s.is(peerv1.NodeState_NODE_STATE_MEMBER) })
	if len(members) == 0 {
		return "", fmt.Errorf("%w (no member of a cluster answers at %s%s)", consent.ErrNoLeader, strings.Join(addresses, ", "), seen.silence())
	}
	s, err := joinOneOf(members)
	if err != nil {
		return "", refuse("%w", err)
	}
	return n.enrolAt(ctx, s.join)
}

// enrolAt has one of the members of a cluster take this replica in, and binds it to that cluster. Where it is bound to it already, there is
// nothing to do.
func (n *Node) enrolAt(ctx context.Context, members []sighting) (clusterID string, err error) {
	n.forming.Lock()
	defer n.forming.Unlock()
	clusterID = members[0].GetClusterId()
	switch standing := n.dir.standing(); {
	case standing.clusterID == clusterID:
		return clusterID, nil
	case standing.state != stateNew:
		return "", refuse("%w", &boundError{n.dir.nodeID, standing})
	}
	if err := n.askForPlaceAt(ctx, members, ""); err != nil {
		return "", err
	}
	if err := n.bind(clusterID, ""); err != nil {
		return "", err
	}
	n.options.Logger.Info("was taken into a cluster", "cluster", clusterID, "by", members[0].String())
	return clusterID, nil
}

// askForPlaceAt asks members, one after the other, to take this replica in at its address. What it is bound to is empty while it is new.
func (n *Node) askForPlaceAt(ctx context.Context, members []sighting, boundTo string) (err error) {
	check := n.door.CheckValue()
	request := &peerv1.EnrolRequest{
		NodeId: n.dir.nodeID, Address: string(n.address()), KeyCheck: check[:], Learner: n.options.Learner,
		ClusterId: boundTo, Instance: n.instance[:],
	}
	for _, m := range members {
		reply, failed := n.enrolBy(ctx, m, request)
		switch {
		case failed == nil && reply.GetClusterId() == m.GetClusterId():
			return nil
		case failed == nil:
			failed = fmt.Errorf("%s answered for cluster %s", m, reply.GetClusterId())
		case errors.Is(failed, consent.ErrMembership), errors.Is(failed, consent.ErrUnknownMember):
			return failed // another member says the same
		}
		err = errors.Join(err, failed)
	}
	return err
}

func (n *Node) enrolBy(ctx context.Context, m sighting, request *peerv1.EnrolRequest) (*peerv1.EnrolResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, changeWait)
	defer cancel()
	return n.options.Peers.Enrol(ctx, m.api, request)
}

// Enrol takes a replica into this one's cluster as a learner, or gives one that belongs to it its new address. consent.ErrMembership says
// why it is refused, consent.ErrUnknownMember that the cluster doesn't know a replica that says it belongs to it, and consent.ErrNoLeader
// that nobody can take it in right now.
func (n *Node) Enrol(ctx context.Context, e *peerv1.EnrolRequest) (*peerv1.EnrolResponse, error) {
	if err := n.running(); err != nil {
		return nil, err
	}
	if err := n.mayEnrol(e); err != nil {
		n.options.Logger.Warn("refused to take a replica into the cluster", "id", e.GetNodeId(), "address", e.GetAddress(), "reason", err)
		return nil, err
	}
	ctx, cancel := answerable(ctx, changeWait)
	defer cancel()
	if _, err := n.passOn(ctx, addition(e.GetNodeId(), e.GetAddress(), e.GetLearner(), e.GetClusterId() != "", e.GetInstance())); err != nil {
		return nil, err
	}
	return &peerv1.EnrolResponse{ClusterId: n.dir.standing().clusterID}, nil
}

func (n *Node) mayEnrol(e *peerv1.EnrolRequest) error {
	check, standing := n.door.CheckValue(), n.dir.standing()
	switch {
	case n.options.isolated():
		return refuse("%s can't be reached by other replicas: restart it with --raft-listen", n.dir.nodeID)
	case standing.state != stateMember:
		return fmt.Errorf("%w (%s doesn't belong to a cluster yet)", consent.ErrNoLeader, n.dir.nodeID)
	case e.GetClusterId() != "" && e.GetClusterId() != standing.clusterID:
		return refuse("%s belongs to cluster %s, and %s to cluster %s: check its addresses", e.GetNodeId(), e.GetClusterId(), n.dir.nodeID,
			standing.clusterID)
	case e.GetNodeId() == n.dir.nodeID:
		return refuse("two replicas call themselves %s: give one of them another node id", n.dir.nodeID)
	case !bytes.Equal(e.GetKeyCheck(), check[:]):
		return refuse("%s has another pseudonym key than the cluster: copy %s of %s to the file that its --pseudonym-key-file names, and "+
			"restart it", e.GetNodeId(), n.options.PseudonymKeyFile, n.dir.nodeID)
	}
	return nil
}

// addition is the change that takes a replica in, or gives it its new address.
func addition(id, address string, learner, bound bool, instance []byte) *peerv1.ChangeMembershipRequest {
	return &peerv1.ChangeMembershipRequest{
		Change: peerv1.MembershipChange_MEMBERSHIP_CHANGE_ADD,
		NodeId: id, Address: address, Learner: learner, Bound: bound, Instance: instance,
	}
}

// admits returns nil if an addition may be made, given what the leader knows of a member of that id, if there is one. A voter that comes
// without what it had has forgotten how it voted, and mustn't vote again under its name.
func admits(known *member, c *peerv1.ChangeMembershipRequest) error {
	switch {
	case known == nil && c.GetBound():
		return fmt.Errorf("%w (%s was removed from the cluster, or never was in it)", consent.ErrUnknownMember, c.GetNodeId())
	case known == nil:
		return nil
	case known.report != nil && bytes.Equal(known.report.GetInstance(), c.GetInstance()):
		return nil // the one that asks runs in the cluster
	case known.report != nil:
		return refuse("two replicas call themselves %s: the one at %s belongs to the cluster, so give the one at %s another node id", known.ID,
			known.Address, c.GetAddress())
	case known.voter && !c.GetBound():
		return refuse("%s is a voter, and the replica at %s that calls itself so has an empty data directory: give it another node id, and once "+
			"it has caught up remove %s", known.ID, c.GetAddress(), known.ID)
	}
	return nil
}
