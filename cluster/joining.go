package cluster

import (
	"context"
	"errors"

	peerv1 "github.com/consentd/consentd/proto/peer/v1"
)

// Enrol takes a replica into the cluster as a learner. consent.ErrMembership says why it is refused, and consent.ErrNoLeader that nobody can
// take it in right now.
func (n *Node) Enrol(ctx context.Context, e *peerv1.EnrolRequest) (*peerv1.EnrolResponse, error) {
	return nil, errors.New("clusters of more than one aren't formed yet")
}

// Join has a new replica join the cluster of a member that answers at one of the addresses, and returns that cluster's id once it is bound
// to it. consent.ErrMembership says why it isn't taken in, and consent.ErrNoLeader that nobody can right now.
func (n *Node) Join(ctx context.Context, addresses []string) (clusterID string, err error) {
	return "", errors.New("clusters of more than one aren't formed yet")
}
