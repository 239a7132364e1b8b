package main

import (
	"context"
	"io"
	"sync/atomic"

	"github.com/consentd/consentd/cluster"
	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	peerv1 "github.com/consentd/consentd/proto/peer/v1"
)

// operations is what those who run replicas, and other replicas, are answered from. The node is there as soon as the data directory is
// open, long before checks can be answered: how else would it find its cluster?
type operations struct{ node atomic.Pointer[cluster.Node] }

func (o *operations) open() (*cluster.Node, error) {
	if node := o.node.Load(); node != nil {
		return node, nil
	}
	return nil, consent.ErrNotReady
}

func (o *operations) Introduce(ctx context.Context) (*peerv1.IntroduceResponse, error) {
	node, err := o.open()
	if err != nil {
		return nil, err
	}
	return node.Introduce(ctx)
}

func (o *operations) Promise(ctx context.Context, promise *peerv1.PromiseRequest) error {
	node, err := o.open()
	if err != nil {
		return err
	}
	return node.Promise(ctx, promise)
}

func (o *operations) Enrol(ctx context.Context, enrol *peerv1.EnrolRequest) (*peerv1.EnrolResponse, error) {
	node, err := o.open()
	if err != nil {
		return nil, err
	}
	return node.Enrol(ctx, enrol)
}

func (o *operations) Status(ctx context.Context) (*consentv1.GetClusterStatusResponse, error) {
	node, err := o.open()
	if err != nil {
		return nil, err
	}
	return node.Status(ctx)
}

func (o *operations) Join(ctx context.Context, addresses []string) (clusterID string, err error) {
	node, err := o.open()
	if err != nil {
		return "", err
	}
	return node.Join(ctx, addresses)
}

func (o *operations) RemoveMember(ctx context.Context, id string) error {
	node, err := o.open()
	if err != nil {
		return err
	}
	return node.RemoveMember(ctx, id)
}

func (o *operations) PromoteMember(ctx context.Context, id string) error {
	node, err := o.open()
	if err != nil {
		return err
	}
	return node.PromoteMember(ctx, id)
}

func (o *operations) DemoteMember(ctx context.Context, id string) error {
	node, err := o.open()
	if err != nil {
		return err
	}
	return node.DemoteMember(ctx, id)
}

func (o *operations) TransferLeadership(ctx context.Context, id string) (leader string, err error) {
	node, err := o.open()
	if err != nil {
		return "", err
	}
	return node.TransferLeadership(ctx, id)
}

func (o *operations) TakeSnapshot(ctx context.Context) (index uint64, err error) {
	node, err := o.open()
	if err != nil {
		return 0, err
	}
	return node.TakeSnapshot(ctx)
}

func (o *operations) BackUp(ctx context.Context, w io.Writer) error {
	node, err := o.open()
	if err != nil {
		return err
	}
	return node.BackUp(ctx, w)
}

func (o *operations) Restore(ctx context.Context, replace bool, r io.Reader) (*consentv1.RestoreResponse, error) {
	node, err := o.open()
	if err != nil {
		return nil, err
	}
	return node.Restore(ctx, replace, r)
}
