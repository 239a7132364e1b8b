package cluster

import (
	"context"
	"time"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	peerv1 "github.com/consentd/consentd/proto/peer/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Status returns the members and how they are, as far as this replica can find out within half a second. It needs no leader.
func (n *Node) Status(ctx context.Context) (*consentv1.GetClusterStatusResponse, error) {
	if err := n.running(); err != nil {
		return nil, err
	}
	r := n.roster(ctx)
	status := &consentv1.GetClusterStatusResponse{
		Leader: r.leader, Term: r.term, FailuresTolerated: uint32(r.failuresTolerated()), //nolint:gosec // voters are few
		NodeId: n.dir.nodeID, ClusterId: n.dir.standing().clusterID, MaxStaleness: durationpb.New(n.bound()),
	}
	for i := range r.members {
		status.Members = append(status.Members, r.members[i].status(r.leader))
	}
	return status, nil
}

func (m *member) status(leader string) *consentv1.Member {
	s := &consentv1.Member{
		Id: m.ID, Address: m.Address, Role: m.role(leader), TrailsLeaderBy: m.trails, Healthy: m.ill == "",
		UnhealthyBecause: m.ill, Answered: m.report != nil,
		Applied: m.report.GetApplied(), Version: m.report.GetVersion(), Listen: m.report.GetListen(),
	}
	if m.report != nil && m.report.GetLastContactMs() >= 0 {
		s.LastContact = durationpb.New(time.Duration(m.report.GetLastContactMs()) * time.Millisecond)
	}
	return s
}

func (m *member) role(leader string) consentv1.MemberRole {
	switch {
	case m.ID == leader:
		return consentv1.MemberRole_MEMBER_ROLE_LEADER
	case m.voter:
		return consentv1.MemberRole_MEMBER_ROLE_VOTER
	default:
		return consentv1.MemberRole_MEMBER_ROLE_LEARNER
	}
}

// roster calls the roll, as this replica knows the members.
func (n *Node) roster(ctx context.Context) roster {
	leader := n.leaderOf(n.leader.reign.Load())
	servers := n.raft.GetConfiguration().Configuration().Servers
	members := make([]Peer, len(servers))
	for i, s := range servers {
		members[i] = Peer{ID: string(s.ID), Address: string(s.Address)}
	}
	n.peers.Keep(members) // those that were removed, or have moved, may go
	return callRoll(ctx, servers, leader, leastElections*n.options.tuning.election, n.reportOf)
}

// reportOf asks a member for its report, this one itself.
func (n *Node) reportOf(ctx context.Context, of Peer) (*peerv1.ReportResponse, error) {
	if of.ID == n.dir.nodeID {
		return n.Report(ctx)
	}
	return n.peers.Report(ctx, of)
}
