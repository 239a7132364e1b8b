package cluster

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	peerv1 "github.com/consentd/consentd/proto/peer/v1"
)

// foreignTime is how long a start waits at most for those that it is to join. One of its own cluster that answers ends the wait.
const foreignTime = time.Second

// tellUnheeded looks once whether options that a member doesn't heed say otherwise than it is, as they do where one of them was forgotten
// at the first start. It goes on all the same: the same options are right for each start.
func (n *Node) tellUnheeded(ctx context.Context) {
	if n.options.Learner && n.votes() {
		n.options.Logger.Warn("this replica is to be a learner, and it is a voter: 'consentd cluster demote " + n.dir.nodeID + "' makes it one")
	}
	n.tellOtherClusters(ctx)
}

func (n *Node) votes() bool {
	for _, s := range n.servers() {
		if string(s.ID) == n.dir.nodeID {
			return s.Suffrage == raft.Voter
		}
	}
	return false
}

// checkForeign returns ErrDataDir if this replica is bound to one cluster and told to join members of another: the directory is the wrong
// one, and what is written to it the others never hear of. Where its own cluster answers too, an address is wrong and not the directory;
// where nobody answers, nothing is known. Neither may keep a member from starting.
func (n *Node) checkForeign(ctx context.Context) error {
	own := n.dir.standing().clusterID
	ours := func(s sighting) bool {
		return s.err == nil && s.GetClusterId() == own && !bytes.Equal(s.GetInstance(), n.instance[:])
	}
	seen := n.survey(ctx, foreignTime, n.options.Join, ours)
	at := slices.IndexFunc(seen, func(s sighting) bool {
		return s.err == nil && s.is(peerv1.NodeState_NODE_STATE_MEMBER) && s.GetClusterId() != own
	})
	if at < 0 || slices.ContainsFunc(seen, ours) {
		return nil
	}
	return fmt.Errorf("%w: %s is that of a replica of cluster %s, and the one to join at %s belongs to cluster %s: move the directory away "+
		"to join that cluster with an empty one, or name the addresses of this directory's own cluster", ErrDataDir, n.dir.path, own,
		seen[at].api, seen[at].GetClusterId())
}

// tellOtherClusters warns if some of the replicas that this one is told to join belong to another cluster.
func (n *Node) tellOtherClusters(ctx context.Context) {
	if len(n.options.Join) == 0 {
		return
	}
	seen, err := n.look(ctx, n.options.Join)
	if err != nil {
		n.options.Logger.Warn("the addresses to join can't be right", "error", err)
		return
	}
	own := n.dir.standing().clusterID
	for _, s := range seen.which(func(s sighting) bool { return s.GetClusterId() != "" && s.GetClusterId() != own }) {
		n.options.Logger.Warn("a replica that this one is to join belongs to another cluster, and both stay where they are: take its address "+
			"out of those to join", "cluster", own, "other", s.String(), "other_cluster", s.GetClusterId())
	}
}
