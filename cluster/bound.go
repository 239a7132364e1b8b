package cluster

import (
	"cmp"
	"time"
)

// defaultBound is the staleness bound of a cluster whose founder doesn't name one.
const defaultBound = 2 * time.Second

// bound returns how old a proof of freshness may be here: the cluster's staleness bound, which its founder has set for good, or this
// process's own if that is lower. A higher one would break the cluster's promise. It takes no lock.
func (n *Node) bound() time.Duration {
	own, all := n.options.MaxStaleness, n.store.Bound()
	switch {
	case all == 0: // before the first term start, there is no proof either
		return cmp.Or(own, defaultBound)
	case own == 0:
		return all
	default:
		return min(own, all)
	}
}

// ClusterBound returns the staleness bound of the whole cluster, which no process exceeds, or 0 before it is known here.
func (n *Node) ClusterBound() time.Duration { return n.store.Bound() }

// compareBounds tells who set a bound for this process that doesn't count.
func (n *Node) compareBounds() {
	if own, all := n.options.MaxStaleness, n.store.Bound(); own > all {
		n.options.Logger.Warn("the staleness bound given for this replica is higher than the cluster's, which counts: leave it out", "given",
			own, "cluster", all)
	}
}
