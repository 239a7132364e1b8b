package cluster

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/consentd/consentd/consent"
	"github.com/hashicorp/raft"
)

// handOverWait is how long a replica that is to end tries to hand its leadership over. An election takes no longer.
const handOverWait = 3 * time.Second

// HandOver gives leadership away, if this replica has it, and returns once another leads, so that nothing has to wait for an election when
// this one ends. What it is asked meanwhile and afterwards goes to the other. It returns at once if it doesn't lead, or if no other voter
// answers; an error says why nobody took it within 3 s.
func (n *Node) HandOver(ctx context.Context) error {
	if n.running() != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, handOverWait)
	defer cancel()
	given := false
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		r := n.leader.reign.Load()
		if r.elsewhere() || !given && n.raft.State() != raft.Leader {
			return nil
		}
		heir, err := n.heir(ctx)
		if heir == nil && err == nil {
			return nil
		}
		if err == nil && r.here != nil {
			err = n.membership.transfer(ctx, heir)
			given = err == nil
		}
		if !n.lasts(ctx, r, pause) {
			return fmt.Errorf("handing leadership over: %w", cmp.Or(err, consent.ErrNoLeader))
		}
	}
}

// heir returns the voter that is the best to lead next, or none if no other answers.
func (n *Node) heir(ctx context.Context) (*member, error) {
	all := n.membership.roster(ctx)
	for _, m := range all.voters(n.dir.nodeID) {
		if m.report != nil {
			return all.successor()
		}
	}
	return nil, nil
}
