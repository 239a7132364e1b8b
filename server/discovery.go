package server

import (
	"context"

	peerv1 "github.com/consentd/consentd/proto/peer/v1"
)

const maxKeyCheck = 64 // bytes

// discoveryService is asked by replicas that look for a cluster. What they say of themselves is looked at here for its form only: nobody
// has proven anything yet.
type discoveryService struct {
	peerv1.UnimplementedDiscoveryServiceServer
	discovery Discovery
}

// Introduce returns who this replica is.
func (s *discoveryService) Introduce(ctx context.Context, _ *peerv1.IntroduceRequest) (*peerv1.IntroduceResponse, error) {
	reply, err := s.discovery.Introduce(ctx)
	return reply, spoken(err)
}

// Promise binds this replica to the one that founds a cluster.
func (s *discoveryService) Promise(ctx context.Context, r *peerv1.PromiseRequest) (*peerv1.PromiseResponse, error) {
	if err := checkName("founder_id", r.GetFounderId()); err != nil {
		return nil, err
	}
	if err := checkName("cluster_id", r.GetClusterId()); err != nil {
		return nil, err
	}
	if err := checkKeyCheck(r.GetKeyCheck()); err != nil {
		return nil, err
	}
	return &peerv1.PromiseResponse{}, spoken(s.discovery.Promise(ctx, r))
}

// Enrol takes a new replica into the cluster.
func (s *discoveryService) Enrol(ctx context.Context, r *peerv1.EnrolRequest) (*peerv1.EnrolResponse, error) {
	if err := checkName("node_id", r.GetNodeId()); err != nil {
		return nil, err
	}
	if err := checkHostPort("address", r.GetAddress()); err != nil {
		return nil, err
	}
	if err := checkKeyCheck(r.GetKeyCheck()); err != nil {
		return nil, err
	}
	reply, err := s.discovery.Enrol(ctx, r)
	return reply, spoken(err)
}

func checkKeyCheck(check []byte) error {
	if n := len(check); n == 0 || n > maxKeyCheck {
		return invalid("key_check", "%d bytes: it has 1 to %d", n, maxKeyCheck)
	}
	return nil
}
