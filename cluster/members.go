package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/consentd/consentd/consent"
	peerv1 "github.com/consentd/consentd/proto/peer/v1"
	"github.com/hashicorp/raft"
)

// leaderless is how many election timeouts a change of the members waits for a leader. Who has waited for longer than an election takes
// wants to know.
const leaderless = 8

// RemoveMember takes a member out of the cluster. If it leads, another does so first. consent.ErrMembership says why it can't go, such as
// that too few healthy voters would be left; consent.ErrUnknownMember that there is none of that id; consent.ErrNoLeader that nobody is
// there to do it.
func (n *Node) RemoveMember(ctx context.Context, id string) error {
	_, err := n.change(ctx, peerv1.MembershipChange_MEMBERSHIP_CHANGE_REMOVE, id)
	return err
}

// PromoteMember makes a learner a voter, once it has caught up: consent.ErrMembership says how far it trails. The other errors are
// RemoveMember's.
func (n *Node) PromoteMember(ctx context.Context, id string) error {
	_, err := n.change(ctx, peerv1.MembershipChange_MEMBERSHIP_CHANGE_PROMOTE, id)
	return err
}

// DemoteMember makes a voter a learner, which it stays until it is promoted. The errors are RemoveMember's.
func (n *Node) DemoteMember(ctx context.Context, id string) error {
	_, err := n.change(ctx, peerv1.MembershipChange_MEMBERSHIP_CHANGE_DEMOTE, id)
	return err
}

// TransferLeadership makes a voter the leader, for an empty id the one that is the best for it, and returns who leads then. The errors are
// RemoveMember's.
func (n *Node) TransferLeadership(ctx context.Context, id string) (leader string, err error) {
	last, err := n.change(ctx, peerv1.MembershipChange_MEMBERSHIP_CHANGE_TRANSFER, id)
	if err != nil || last == id {
		return last, err
	}
	leader, err = n.nextLeader(ctx, last)
	if err == nil && id != "" && leader != id {
		return leader, refuse("%s was elected instead of %s: try again", leader, id)
	}
	return leader, err
}

// ChangeMembership changes who belongs to the cluster, if this replica leads; consent.ErrNoLeader if it doesn't. Before its own vote is
// taken away, it hands leadership over, and then passes the change on to who leads next.
func (n *Node) ChangeMembership(ctx context.Context, c *peerv1.ChangeMembershipRequest) error {
	if err := n.running(); err != nil {
		return err
	}
	if n.leader.reign.Load().here == nil {
		return fmt.Errorf("%w (%w)", consent.ErrNoLeader, ErrNotLeading)
	}
	ctx, cancel := answerable(ctx, changeWait)
	defer cancel()
	err := n.membership.change(ctx, c)
	if !errors.Is(err, errMoved) {
		return err
	}
	if _, err := n.nextLeader(ctx, n.dir.nodeID); err != nil {
		return err
	}
	_, err = n.passOn(ctx, c)
	return err
}

// change has the leader make a change, and returns who that was.
func (n *Node) change(ctx context.Context, change peerv1.MembershipChange, id string) (leader string, err error) {
	if err := n.running(); err != nil {
		return "", err
	}
	ctx, cancel := answerable(ctx, changeWait)
	defer cancel()
	return n.passOn(ctx, &peerv1.ChangeMembershipRequest{Change: change, NodeId: id})
}

// passOn asks whoever leads, and again while nobody does, but not for long.
func (n *Node) passOn(ctx context.Context, c *peerv1.ChangeMembershipRequest) (leader string, err error) {
	patience, cancel := context.WithTimeout(ctx, leaderless*n.options.tuning.election)
	defer cancel()
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		r := n.leader.reign.Load()
		leader, err = n.askLeader(ctx, r, c)
		if !errors.Is(err, consent.ErrNoLeader) || !n.lasts(patience, r, pause) {
			return leader, err
		}
	}
}

// askLeader has whoever leads make a change.
func (n *Node) askLeader(ctx context.Context, r *reign, c *peerv1.ChangeMembershipRequest) (leader string, err error) {
	switch {
	case r.here != nil:
		return n.dir.nodeID, n.ChangeMembership(ctx, c)
	case !r.elsewhere():
		return "", consent.ErrNoLeader
	}
	leader, err = r.there.ID, n.peers.ChangeMembership(ctx, r.there, c)
	switch {
	case err == nil, errors.Is(err, consent.ErrNoLeader), errors.Is(err, consent.ErrUnknownMember), errors.Is(err, consent.ErrMembership):
		return leader, err
	case errors.Is(err, consent.ErrUnreached):
		return leader, fmt.Errorf("%w (%w)", consent.ErrNoLeader, err)
	default:
		return leader, refuse("the leader, %s, hasn't said whether it was done (%w): look at the cluster's status", leader, err)
	}
}

// nextLeader waits, but not for long, until another replica leads than the last one, and returns which.
func (n *Node) nextLeader(ctx context.Context, last string) (string, error) {
	patience, cancel := context.WithTimeout(ctx, leaderless*n.options.tuning.election)
	defer cancel()
	for {
		r := n.leader.reign.Load()
		if leader := n.leaderOf(r); leader != "" && leader != last {
			return leader, nil
		}
		if !n.lasts(patience, r, longestPause) {
			return "", fmt.Errorf("%w (%s has given its leadership away, and nobody took it)", consent.ErrNoLeader, last)
		}
	}
}

// leaderOf returns who leads, or nothing while nobody does.
func (n *Node) leaderOf(r *reign) string {
	if r.here != nil {
		return n.dir.nodeID
	}
	return r.there.ID
}

// TakeSnapshot takes a snapshot of this replica, and returns the index that the newest one covers: it is no error that nothing is new.
func (n *Node) TakeSnapshot(ctx context.Context) (index uint64, err error) {
	if err := n.running(); err != nil {
		return 0, err
	}
	taking := n.raft.Snapshot()
	done := make(chan error, 1)
	go func() { done <- taking.Error() }()
	select {
	case err = <-done:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return 0, fmt.Errorf("taking a snapshot: %w", err)
	}
	if newest := n.snapshots.latest(); newest != nil {
		index = newest.covers
	}
	return index, nil
}
