package server

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

const (
	maxNameBytes = 255 // of a replica or a cluster
	maxPeers     = 64
)

// clusterService is for those who run the replicas.
type clusterService struct {
	consentv1.UnimplementedClusterServiceServer
	*core
}

// GetClusterStatus returns the members and how they are.
func (s *clusterService) GetClusterStatus(
	ctx context.Context, _ *consentv1.GetClusterStatusRequest,
) (*consentv1.GetClusterStatusResponse, error) {
	reply, err := s.cluster.Status(ctx)
	return reply, spoken(err)
}

// JoinCluster returns once the replica has joined, which may take as long as its cluster lets it wait.
func (s *clusterService) JoinCluster(ctx context.Context, r *consentv1.JoinClusterRequest) (*consentv1.JoinClusterResponse, error) {
	if n := len(r.GetPeers()); n == 0 || n > maxPeers {
		return nil, invalid("peers", "%d addresses: give 1 to %d", n, maxPeers)
	}
	for i, address := range r.GetPeers() {
		if err := checkAPIAddress(fmt.Sprintf("peers[%d]", i), address); err != nil {
			return nil, err
		}
	}
	reply := &consentv1.JoinClusterResponse{}
	err := s.untilDrained(func() error {
		return s.contain(ctx, func() (err error) {
			reply.ClusterId, err = s.cluster.Join(ctx, r.GetPeers())
			return err
		})
	})
	if err != nil {
		return nil, spoken(err)
	}
	return reply, nil
}

// RemoveMember takes a replica out of the cluster.
func (s *clusterService) RemoveMember(ctx context.Context, r *consentv1.RemoveMemberRequest) (*consentv1.RemoveMemberResponse, error) {
	return &consentv1.RemoveMemberResponse{}, change(ctx, r.GetId(), s.cluster.RemoveMember)
}

// PromoteMember makes a learner a voter.
func (s *clusterService) PromoteMember(ctx context.Context, r *consentv1.PromoteMemberRequest) (*consentv1.PromoteMemberResponse, error) {
	return &consentv1.PromoteMemberResponse{}, change(ctx, r.GetId(), s.cluster.PromoteMember)
}

// DemoteMember makes a voter a learner.
func (s *clusterService) DemoteMember(ctx context.Context, r *consentv1.DemoteMemberRequest) (*consentv1.DemoteMemberResponse, error) {
	return &consentv1.DemoteMemberResponse{}, change(ctx, r.GetId(), s.cluster.DemoteMember)
}

// change makes a change of one member.
func change(ctx context.Context, id string, by func(context.Context, string) error) error {
	if err := checkName("id", id); err != nil {
		return err
	}
	return spoken(by(ctx, id))
}

// TransferLeadership makes another voter the leader.
func (s *clusterService) TransferLeadership(
	ctx context.Context, r *consentv1.TransferLeadershipRequest,
) (*consentv1.TransferLeadershipResponse, error) {
	if r.GetId() != "" {
		if err := checkName("id", r.GetId()); err != nil {
			return nil, err
		}
	}
	leader, err := s.cluster.TransferLeadership(ctx, r.GetId())
	return &consentv1.TransferLeadershipResponse{Leader: leader}, spoken(err)
}

// TakeSnapshot makes this replica take a snapshot.
func (s *clusterService) TakeSnapshot(ctx context.Context, _ *consentv1.TakeSnapshotRequest) (*consentv1.TakeSnapshotResponse, error) {
	index, err := s.cluster.TakeSnapshot(ctx)
	return &consentv1.TakeSnapshotResponse{Index: index}, spoken(err)
}

// checkName refuses what no replica and no cluster can be called.
func checkName(field, name string) error {
	if name == "" || len(name) > maxNameBytes || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return invalid(field, "%d bytes that can't be a name: give 1 to %d bytes of UTF-8 without control characters", len(name), maxNameBytes)
	}
	return nil
}

// checkAPIAddress refuses what --listen doesn't take.
func checkAPIAddress(field, address string) error {
	if path, found := strings.CutPrefix(address, unixScheme); found && strings.HasPrefix(path, "/") {
		return nil
	}
	return checkHostPort(field, address)
}

func checkHostPort(field, address string) error {
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil || host == "" || len(address) > maxNameBytes {
		return invalid(field, "it is no address: give host:port")
	}
	return nil
}
