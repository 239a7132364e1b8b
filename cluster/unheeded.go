package cluster

import (
	"context"

	"github.com/hashicorp/raft"
)

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

// tellOtherClusters warns if it is told to join replicas that belong to another cluster.
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
		n.options.Logger.Warn("a replica that this one is to join belongs to another cluster, and both stay where they are. To have this one in "+
			"that cluster, start it with an empty data directory; what it holds is in its own cluster alone", "cluster", own, "other",
			s.String(), "other_cluster", s.GetClusterId())
	}
}
