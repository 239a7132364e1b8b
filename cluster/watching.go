package cluster

import (
	"context"
	"errors"

	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/store"
)

// Changes returns what changed after a position, as store.Changes does; consent.ErrNotReady before the start and after the end.
func (n *Node) Changes(after consent.Revision, most int, space []consent.Touched) (consent.Changes, error) {
	if err := n.running(); err != nil {
		return consent.Changes{}, err
	}
	changes, err := n.store.Changes(after, most, space)
	if errors.Is(err, store.ErrClosed) {
		err = errors.Join(consent.ErrNotReady, err)
	}
	return changes, err
}

// Beyond returns a channel that is closed once there may be changes after a position that Changes returned. Who doesn't wait for it any
// more calls leave.
func (n *Node) Beyond(index uint64) (reached <-chan struct{}, leave func()) {
	return n.store.Beyond(index)
}

// Fill returns a copy of a subject's record that is exactly that of a position, which is a given one or newer. It waits for that as View
// does, and its errors are View's, and consent.ErrUnknownTenant. The id is used as it is.
func (n *Node) Fill(ctx context.Context, tenant, subject string, atLeast consent.Revision) (consent.Filled, error) {
	if err := n.meet(ctx, consent.Consistency{AtLeast: atLeast}); err != nil {
		return consent.Filled{}, err
	}
	if n.failure.err() != nil {
		return consent.Filled{}, consent.ErrNotReady
	}
	if n.store.Head().Tenants[tenant] == nil {
		return consent.Filled{}, consent.ErrUnknownTenant
	}
	filled := n.store.Fill(n.door.Of(tenant, subject))
	if filled.Revision.Epoch != atLeast.Epoch {
		return consent.Filled{}, consent.ErrEpoch // a backup was restored since the position was reached
	}
	return filled, nil
}
