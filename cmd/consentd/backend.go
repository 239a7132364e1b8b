package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/consentd/consentd/cluster"
	"github.com/consentd/consentd/consent"
)

// backend is what calls are answered from: nothing but ErrNotReady until the node answers checks, so that callers are told so instead of
// being kept waiting.
type backend struct{ node atomic.Pointer[cluster.Node] }

func (b *backend) open() (*cluster.Node, error) {
	if node := b.node.Load(); node != nil {
		return node, nil
	}
	return nil, consent.ErrNotReady
}

func (b *backend) View(ctx context.Context, c consent.Consistency) (consent.View, error) {
	node, err := b.open()
	if err != nil {
		return consent.View{}, err
	}
	return node.View(ctx, c)
}

func (b *backend) Record(ctx context.Context, t *consent.Tenant, subject string, buf *consent.Buffer) (consent.Record, error) {
	node, err := b.open()
	if err != nil {
		return nil, err
	}
	return node.Record(ctx, t, subject, buf)
}

func (b *backend) Records(ctx context.Context, t *consent.Tenant, subjects []string, into *consent.Block) error {
	node, err := b.open()
	if err != nil {
		return err
	}
	return node.Records(ctx, t, subjects, into)
}

func (b *backend) Write(ctx context.Context, w consent.Write) (consent.WriteResult, error) {
	node, err := b.open()
	if err != nil {
		return consent.WriteResult{}, err
	}
	return node.Write(ctx, w)
}

func (b *backend) Preview(ctx context.Context, w consent.Write) (consent.WriteResult, error) {
	node, err := b.open()
	if err != nil {
		return consent.WriteResult{}, err
	}
	return node.Preview(ctx, w)
}

func (b *backend) History(
	ctx context.Context, t *consent.Tenant, subject string, page consent.HistoryPage,
) (events []consent.RecordedEvent, more bool, err error) {
	node, err := b.open()
	if err != nil {
		return nil, false, err
	}
	return node.History(ctx, t, subject, page)
}

func (b *backend) EachRecord(ctx context.Context, t *consent.Tenant, f func(consent.Record) error) error {
	node, err := b.open()
	if err != nil {
		return err
	}
	return node.EachRecord(ctx, t, f)
}

func (b *backend) ClusterBound() time.Duration {
	node, err := b.open()
	if err != nil {
		return 0
	}
	return node.ClusterBound()
}

func (b *backend) PutPolicy(ctx context.Context, p consent.PolicyPut) (v consent.PolicyVersion, changed bool, err error) {
	node, err := b.open()
	if err != nil {
		return v, false, err
	}
	return node.PutPolicy(ctx, p)
}

func (b *backend) Policy(ctx context.Context, tenant string, version int64) (consent.PolicyVersion, error) {
	node, err := b.open()
	if err != nil {
		return consent.PolicyVersion{}, err
	}
	return node.Policy(ctx, tenant, version)
}

func (b *backend) PolicyVersions(ctx context.Context, tenant string, before int64, limit int) ([]consent.PolicyVersion, error) {
	node, err := b.open()
	if err != nil {
		return nil, err
	}
	return node.PolicyVersions(ctx, tenant, before, limit)
}

func (b *backend) Changes(after consent.Revision, most int, space []consent.Touched) (consent.Changes, error) {
	node, err := b.open()
	if err != nil {
		return consent.Changes{}, err
	}
	return node.Changes(after, most, space)
}

// Beyond comes after Changes has succeeded, and so once there is a node.
func (b *backend) Beyond(index uint64) (reached <-chan struct{}, leave func()) {
	return b.node.Load().Beyond(index)
}

func (b *backend) Fill(ctx context.Context, tenant, subject string, atLeast consent.Revision) (consent.Filled, error) {
	node, err := b.open()
	if err != nil {
		return consent.Filled{}, err
	}
	return node.Fill(ctx, tenant, subject, atLeast)
}
