package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/consentd/consentd/consent"
)

// View returns what is here and meets the consistency, and how fresh it was proven to be. Without a demand it takes no lock, allocates
// nothing, and reads no clock: whether View.Age says that a decision may be given is the caller's business.
//
// What isn't here or proven yet is waited for until the context's deadline, or for the staleness bound if it has none. Then it is
// consent.ErrStale, for a revision a consent.StaleError, and consent.ErrNotReady before the first proof. A revision of another epoch than
// the newest is consent.ErrEpoch.
func (n *NearCache) View(ctx context.Context, c consent.Consistency) (consent.View, error) {
	if c != (consent.Consistency{}) {
		if err := n.meet(ctx, c); err != nil {
			return consent.View{}, err
		}
	}
	v := n.cache.View()
	switch at := c.AtLeast; {
	case v.Head == nil:
		return consent.View{}, consent.ErrNotReady
	case at != (consent.Revision{}) && at.Epoch != v.Revision.Epoch:
		return consent.View{}, consent.ErrEpoch // a backup was restored since the revision was reached
	}
	return v, nil
}

// meet waits until what is here meets the consistency.
func (n *NearCache) meet(ctx context.Context, c consent.Consistency) error {
	ctx, cancel := answerable(ctx, n.watch.bounds.here())
	defer cancel()
	if c.AtLeast != (consent.Revision{}) {
		if err := n.reach(ctx, c.AtLeast); err != nil {
			return err
		}
	}
	unproven := n.cache.View().Head == nil // before the first proof, and after a restore
	if unproven || c.Full && !bug("answer without a round") {
		return n.prove(ctx)
	}
	return nil
}

// reach returns nil once what is here includes a revision. One of another epoch may be that of a restore of which nothing was heard here
// yet, so it is foreign only to a state that is proven to be the newest.
func (n *NearCache) reach(ctx context.Context, r consent.Revision) error {
	if n.cache.Reached().Epoch != r.Epoch {
		if err := n.prove(ctx); err != nil {
			return err
		}
	}
	switch err := n.cache.Wait(ctx, r); {
	case err == nil || ctx.Err() == nil:
		return err
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &consent.StaleError{Reached: n.cache.Reached()}
	default:
		return ctx.Err()
	}
}

// prove returns nil once what is here was proven anew to be the newest, by a round that began after the call.
func (n *NearCache) prove(ctx context.Context) error {
	failed, err := n.watch.rounds.prove(ctx)
	switch {
	case !errors.Is(err, context.DeadlineExceeded):
		return err
	case n.cache.View().Head == nil:
		return fmt.Errorf("%w (%w)", consent.ErrNotReady, cmp.Or(failed, err))
	default:
		return fmt.Errorf("%w (%w)", consent.ErrStale, cmp.Or(failed, err))
	}
}

// An answer is given this much before the deadline of who waits for it, so that it gets there in time: a part of what is left, and not
// more than that.
const answerPart, answerMargin = 10, 20 * time.Millisecond

// answerable returns a context that ends early enough before the caller's deadline for an answer, or after a limit if there is none.
func answerable(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	deadline, limited := ctx.Deadline()
	if !limited {
		return context.WithTimeout(ctx, limit)
	}
	left := time.Until(deadline)
	return context.WithDeadline(ctx, deadline.Add(-min(left/answerPart, answerMargin)))
}
