package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/consentd/consentd/consent"
	peerv1 "github.com/consentd/consentd/proto/peer/v1"
	"github.com/consentd/consentd/store"
	"github.com/hashicorp/raft"
)

// changeWait is how long a change of the members may take if its caller doesn't say. One of the leader's own vote takes an election besides.
const changeWait = 15 * time.Second

// membership changes who belongs to the cluster, on the replica that leads. Changes are made one at a time, each judged by a roster taken
// when its turn has come; promotions by autopilot are no exception.
//
// A wish, "this one stays a learner", is written to the log before the change that it belongs to. So autopilot can't undo a demotion, and
// a change that then fails leaves a wish that only a learner heeds.
type membership struct {
	self   string
	raft   *raft.Raft
	roster func(context.Context) roster
	write  func(context.Context, store.Command) (store.Result, error) // as the leader
	stays  func(id string) bool                                       // wishes
	away   func(id string) bool                                       // whether Raft waits for a member
	logger *slog.Logger
	// patience is how long an election may leave members unsettled.
	patience time.Duration
	turn     chan struct{} // holds one while a change is made
}

func (n *Node) newMembership() *membership {
	write := func(ctx context.Context, c store.Command) (store.Result, error) {
		return n.carryOut(ctx, &c, store.EncodeCommand(c))
	}
	return &membership{
		self: n.dir.nodeID, raft: n.raft, roster: n.roster, write: write, stays: n.store.StaysLearner, away: n.comeback.away,
		logger:   n.options.Logger,
		patience: leastElections * n.options.tuning.election, turn: make(chan struct{}, 1),
	}
}

// errMoved is returned by change when this replica has handed its leadership over, so that the next leader can make the change.
var errMoved = errors.New("leadership was handed over")

// change makes one, or says why not.
func (m *membership) change(ctx context.Context, c *peerv1.ChangeMembershipRequest) error {
	return m.inTurn(ctx, func(r *roster) error {
		switch c.GetChange() {
		case peerv1.MembershipChange_MEMBERSHIP_CHANGE_ADD:
			return m.add(ctx, r, c)
		case peerv1.MembershipChange_MEMBERSHIP_CHANGE_TRANSFER:
			if c.GetNodeId() == "" {
				return m.handOver(ctx, r)
			}
		}
		whom := r.find(c.GetNodeId())
		if whom == nil {
			return fmt.Errorf("%w: the members are %s, and not %q", consent.ErrUnknownMember, r.ids(), c.GetNodeId())
		}
		return m.changeOne(ctx, r, c.GetChange(), whom)
	})
}

func (m *membership) changeOne(ctx context.Context, r *roster, c peerv1.MembershipChange, whom *member) error {
	switch c {
	case peerv1.MembershipChange_MEMBERSHIP_CHANGE_REMOVE:
		return m.remove(ctx, r, whom)
	case peerv1.MembershipChange_MEMBERSHIP_CHANGE_PROMOTE:
		return m.promote(ctx, r, whom)
	case peerv1.MembershipChange_MEMBERSHIP_CHANGE_DEMOTE:
		return m.demote(ctx, r, whom)
	case peerv1.MembershipChange_MEMBERSHIP_CHANGE_TRANSFER:
		return m.transfer(ctx, whom)
	default:
		return refuse("%s, which leads, doesn't know the change %s: upgrade it first", m.self, c)
	}
}

// promoteUnasked promotes a learner that autopilot has found fit, if that is still so.
func (m *membership) promoteUnasked(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, changeWait)
	defer cancel()
	return m.inTurn(ctx, func(r *roster) error {
		whom := r.find(id)
		if whom == nil || whom.voter || whom.ill != "" || m.stays(id) {
			return nil
		}
		return m.promote(ctx, r, whom)
	})
}

// inTurn calls f with the roster when no other change is being made.
func (m *membership) inTurn(ctx context.Context, f func(*roster) error) error {
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return refuse("another change is still being made: try again when it is done")
	}
	r := m.settled(ctx)
	return f(&r)
}

// settled calls the roll, and for a moment again while anybody isn't healthy: right after an election, members are at different terms.
func (m *membership) settled(ctx context.Context) roster {
	enough := time.After(m.patience)
	for {
		r := m.roster(ctx)
		if healthyOf(r.members) == len(r.members) {
			return r
		}
		select {
		case <-enough:
			return r
		case <-time.After(m.patience / 20):
		}
	}
}

// add takes in a learner, or gives a member its new address.
func (m *membership) add(ctx context.Context, r *roster, c *peerv1.ChangeMembershipRequest) error {
	id, address := c.GetNodeId(), c.GetAddress()
	if !nodeIDs.MatchString(id) || address == "" {
		return refuse("a member needs an id of 1 to 64 letters, digits, dots, hyphens and underscores, and an address; not %q at %q", id, address)
	}
	for _, other := range r.members {
		if other.Address == address && other.ID != id {
			return refuse("%s is the address of %s: give each replica its own --advertise, or remove %s if this one takes its place", address,
				other.ID, other.ID)
		}
	}
	known := r.find(id)
	if err := admits(known, c); err != nil {
		return err
	}
	if known != nil && known.Address == address {
		return nil
	}
	what := "moving " + id + " to " + address
	if known == nil {
		what = "adding " + id + " at " + address
		if err := m.wish(ctx, id, c.GetLearner()); err != nil {
			return err
		}
	}
	return m.await(ctx, what, m.raft.AddNonvoter(raft.ServerID(id), raft.ServerAddress(address), 0, 0))
}

// remove takes a member out. The leader itself goes only after another leads.
func (m *membership) remove(ctx context.Context, r *roster, whom *member) error {
	if err := m.letGo(ctx, r, whom); err != nil {
		return err
	}
	if err := m.await(ctx, "removing "+whom.ID, m.raft.RemoveServer(raft.ServerID(whom.ID), 0, 0)); err != nil {
		return err
	}
	if _, err := m.write(ctx, store.Command{Member: &store.MemberCommand{ID: whom.ID, Removed: true}}); err != nil {
		m.logger.Warn("a wish of a member that is removed stays recorded, which harms nothing", "id", whom.ID, "error", err)
	}
	return nil
}

// demote makes a voter a learner that stays one.
func (m *membership) demote(ctx context.Context, r *roster, whom *member) error {
	if whom.voter {
		if err := m.letGo(ctx, r, whom); err != nil {
			return err
		}
	}
	if err := m.wish(ctx, whom.ID, true); err != nil || !whom.voter {
		return err
	}
	return m.await(ctx, "demoting "+whom.ID, m.raft.DemoteVoter(raft.ServerID(whom.ID), 0, 0))
}

// letGo returns nil if the cluster can do without a member's vote. If it is this one's, leadership is handed over first: errMoved.
func (m *membership) letGo(ctx context.Context, r *roster, whom *member) error {
	if !whom.voter {
		return nil
	}
	if err := fitToVote(r.voters(whom.ID)); err != nil {
		return err
	}
	if whom.ID != m.self {
		return nil
	}
	if err := m.handOver(ctx, r); err != nil {
		return err
	}
	return errMoved
}

// promote makes a learner a voter, and forgets that it was to stay a learner.
func (m *membership) promote(ctx context.Context, r *roster, whom *member) error {
	if !whom.voter {
		if whom.ill != "" {
			return refuse("%s %s: a voter has to be healthy and to have caught up; wait, and look at the cluster's status", whom.ID, whom.ill)
		}
		if err := fitToVote(append(r.voters(), *whom)); err != nil {
			return err
		}
	}
	if err := m.wish(ctx, whom.ID, false); err != nil || whom.voter {
		return err
	}
	return m.await(ctx, "promoting "+whom.ID, m.raft.AddVoter(raft.ServerID(whom.ID), raft.ServerAddress(whom.Address), 0, 0))
}

// handOver makes the voter that is the best for it the leader.
func (m *membership) handOver(ctx context.Context, r *roster) error {
	next, err := r.successor()
	if err != nil {
		return err
	}
	return m.transfer(ctx, next)
}

// transfer makes a voter the leader.
func (m *membership) transfer(ctx context.Context, to *member) error {
	switch {
	case to.ID == m.self:
		return nil
	case !to.voter:
		return refuse("%s is a learner, and only a voter can lead: promote it first", to.ID)
	case to.ill != "":
		return refuse("%s %s: only a healthy voter can lead", to.ID, to.ill)
	case m.away(to.ID): // Raft would refuse writes until it is back, once it was asked twice
		return refuse("%s doesn't answer Raft: only a healthy voter can lead", to.ID)
	}
	return m.await(ctx, "handing leadership over to "+to.ID,
		m.raft.LeadershipTransferToServer(raft.ServerID(to.ID), raft.ServerAddress(to.Address)))
}

// wish records whether a member is to stay a learner.
func (m *membership) wish(ctx context.Context, id string, stays bool) error {
	if m.stays(id) == stays {
		return nil
	}
	if _, err := m.write(ctx, store.Command{Member: &store.MemberCommand{ID: id, StaysLearner: stays}}); err != nil {
		return refuse("it couldn't be recorded whether %s stays a learner (%w): try again", id, err)
	}
	return nil
}

// await waits for what Raft was asked to do.
func (m *membership) await(ctx context.Context, what string, doing raft.Future) error {
	done := make(chan error, 1)
	go func() { done <- doing.Error() }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		m.logger.Info("changed the cluster", "change", what)
		return nil
	}
	m.logger.Warn("couldn't change the cluster", "change", what, "error", err)
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return fmt.Errorf("%w (%s: %w)", consent.ErrNoLeader, what, err)
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrRaftShutdown), ctx.Err() != nil:
		return refuse("%s may or may not have happened (%w): look at the cluster's status", what, err)
	default:
		return refuse("%s failed (%w): try again, and look at the leader's log if it fails again", what, err)
	}
}

// refuse returns a consent.ErrMembership in words.
func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{consent.ErrMembership}, args...)...)
}
