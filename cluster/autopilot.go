package cluster

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"
)

// pilot has learners promoted once they have been healthy for a while, unless they are to stay learners. It does nothing else:
// a dead member is only removed by people, because a machine can't tell one that is dead from one that can't be reached.
//
// raft-autopilot decides when; what it asks for goes through membership like any change, since it decides by a picture that may be a
// second old: the learner may have been removed, demoted by hand or given another address since.
type pilot struct {
	membership *membership
	tuning     tuning
	tolerated  atomic.Int64 // failures, by the newest roster; -1 while another leads
	autopilot.StablePromoter
}

func newPilot(m *membership, t tuning) *pilot {
	p := &pilot{membership: m, tuning: t}
	p.tolerated.Store(-1)
	return p
}

// runPilot has learners promoted while this replica leads, until the context ends.
func (n *Node) runPilot(ctx context.Context) {
	leads := func() (bool, <-chan struct{}) {
		r := n.leader.reign.Load()
		return r.here != nil, r.ended.Done()
	}
	n.pilot.run(ctx, leads)
}

// run has learners promoted while this replica leads, until the context ends. leads says whether it does, and ends a channel when that may
// have changed.
func (p *pilot) run(ctx context.Context, leads func() (yes bool, changed <-chan struct{})) {
	promote := func(id string) error {
		err := p.membership.promoteUnasked(ctx, id)
		if err != nil && ctx.Err() == nil {
			p.membership.logger.Warn("a learner that is fit to vote isn't promoted yet", "id", id, "error", err)
		}
		return err
	}
	// It calls it an error that its work ends.
	a := autopilot.New(promotions{p.membership.raft, promote}, p,
		autopilot.WithPromoter(p), autopilot.WithLogger(hclog.NewNullLogger()), autopilot.WithUpdateInterval(p.tuning.inspection),
		autopilot.WithReconcileInterval(p.tuning.inspection))
	defer func() { <-a.Stop() }()
	for {
		yes, changed := leads()
		if yes {
			a.Start(ctx)
		} else {
			<-a.Stop()
			p.tolerated.Store(-1)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// CalculatePromotionsAndDemotions implements autopilot.Promoter.
func (p *pilot) CalculatePromotionsAndDemotions(c *autopilot.Config, s *autopilot.State) autopilot.RaftChanges {
	changes := p.StablePromoter.CalculatePromotionsAndDemotions(c, s)
	changes.Promotions = slices.DeleteFunc(changes.Promotions, func(id raft.ServerID) bool { return p.membership.stays(string(id)) })
	return changes
}

// AutopilotConfig implements autopilot.ApplicationIntegration.
func (p *pilot) AutopilotConfig() *autopilot.Config {
	return &autopilot.Config{
		LastContactThreshold:    leastElections * p.tuning.election,
		MaxTrailingLogs:         maxTrailing,
		ServerStabilizationTime: 2 * p.tuning.inspection,
	}
}

// KnownServers implements autopilot.ApplicationIntegration. Whether they are alive is said by their stats.
func (p *pilot) KnownServers() map[raft.ServerID]*autopilot.Server {
	known := map[raft.ServerID]*autopilot.Server{}
	for _, s := range p.membership.raft.GetConfiguration().Configuration().Servers {
		known[s.ID] = &autopilot.Server{
			ID: s.ID, Name: string(s.ID), Address: s.Address, NodeStatus: autopilot.NodeAlive, IsLeader: string(s.ID) == p.membership.self,
		}
	}
	return known
}

// FetchServerStats implements autopilot.ApplicationIntegration. Without stats autopilot would go on with those it had, so members that
// aren't healthy have some that say so.
func (p *pilot) FetchServerStats(ctx context.Context, _ map[raft.ServerID]*autopilot.Server) map[raft.ServerID]*autopilot.ServerStats {
	r := p.membership.roster(ctx)
	p.tolerated.Store(int64(r.failuresTolerated()))
	stats := make(map[raft.ServerID]*autopilot.ServerStats, len(r.members))
	for _, m := range r.members {
		if m.ill != "" {
			stats[raft.ServerID(m.ID)] = &autopilot.ServerStats{LastContact: -1}
			continue
		}
		stats[raft.ServerID(m.ID)] = &autopilot.ServerStats{LastTerm: m.report.GetLastTerm(), LastIndex: m.report.GetLastIndex()}
	}
	return stats
}

// NotifyState implements autopilot.ApplicationIntegration.
func (p *pilot) NotifyState(*autopilot.State) {}

// RemoveFailedServer implements autopilot.ApplicationIntegration. It is never called, because dead members aren't cleaned up.
func (p *pilot) RemoveFailedServer(*autopilot.Server) {}

// promotions is Raft as autopilot sees it: promoting a learner is a change of the members like any other.
type promotions struct {
	*raft.Raft
	promote func(id string) error
}

// AddVoter implements autopilot.Raft. Autopilot calls it for a learner that it finds fit to vote.
func (p promotions) AddVoter(id raft.ServerID, _ raft.ServerAddress, _ uint64, _ time.Duration) raft.IndexFuture {
	return promoted{p.promote(string(id))}
}

// promoted is the outcome of a promotion.
type promoted struct{ err error }

// Error implements raft.Future.
func (p promoted) Error() error { return p.err }

// Index implements raft.IndexFuture. Autopilot doesn't ask for it.
func (p promoted) Index() uint64 { return 0 }
