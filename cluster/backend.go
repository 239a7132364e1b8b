package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/store"
)

// View returns the newest state that meets the consistency, and how fresh it was proven to be. Without a demand it takes no lock,
// allocates nothing, and reads no clock: that View.Age tells whether a decision may be given is the caller's business.
//
// What isn't here or proven yet is waited for until the context's deadline, or for the staleness bound if it has none; then it is
// consent.ErrStale, and for a revision a consent.StaleError.
func (n *Node) View(ctx context.Context, c consent.Consistency) (consent.View, error) {
	if c != (consent.Consistency{}) {
		if err := n.meet(ctx, c); err != nil {
			return consent.View{}, err
		}
	}
	p := n.fresh.proof.Load() // before the head: see freshness
	switch {
	case p == nil && bug("answer before the first proof"):
		p = &proof{asOf: n.options.Now()}
	case p == nil:
		return consent.View{}, consent.ErrNotReady
	case bug("forget the staleness bound"):
		return consent.View{Head: n.store.Head(), FreshAsOf: p.asOf, Bound: time.Hour}, nil
	}
	head := n.store.Head()
	if at := c.AtLeast; at != (consent.Revision{}) && head.Revision.Epoch != at.Epoch {
		return consent.View{}, consent.ErrEpoch // a backup was restored since the revision was reached
	}
	return consent.View{Head: head, FreshAsOf: p.asOf, Bound: n.bound()}, nil
}

// meet waits until the state here meets the consistency.
func (n *Node) meet(ctx context.Context, c consent.Consistency) error {
	if err := n.running(); err != nil {
		return err
	}
	ctx, cancel := answerable(ctx, n.bound())
	defer cancel()
	if c.AtLeast != (consent.Revision{}) {
		if err := n.reach(ctx, c.AtLeast); err != nil {
			return err
		}
	}
	if c.Full {
		return n.fresh.prove(ctx)
	}
	return nil
}

// reach returns nil once a revision is applied here. A leader knows the newest epoch, so it needn't wait to tell a foreign revision.
func (n *Node) reach(ctx context.Context, r consent.Revision) error {
	foreign := func() bool { return n.store.Head().Revision.Epoch != r.Epoch }
	var err error
	if n.store.Applied() < r.Index && (n.leader.reign.Load().here == nil || !foreign()) {
		err = n.wait(ctx, r.Index)
	}
	if foreign() {
		return consent.ErrEpoch
	}
	return err
}

func (n *Node) wait(ctx context.Context, index uint64) error {
	switch err := n.store.WaitApplied(ctx, index); {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &consent.StaleError{Reached: consent.Revision{Epoch: n.store.Head().Revision.Epoch, Index: n.store.Applied()}}
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		return errors.Join(consent.ErrNotReady, err)
	}
}

// Record returns what is recorded of a subject. It is at least as new as every View loaded before, and its numbers mean what the tenant says:
// where a backup was restored since the tenant was loaded, it is consent.ErrNotReady.
func (n *Node) Record(_ context.Context, t *consent.Tenant, subject string, buf *consent.Buffer) (consent.Record, error) {
	return n.store.RecordOf(t, n.door.Of(t.Name, subject), buf)
}

// Records is Record for several subjects of a tenant, at most consent.BlockSize, in less time than one by one.
func (n *Node) Records(_ context.Context, t *consent.Tenant, subjects []string, into *consent.Block) error {
	var space [consent.BlockSize]store.Key
	keys := space[:len(subjects)]
	n.door.AllOf(t.Name, subjects, keys)
	return n.store.RecordsOf(t, keys, into)
}

// Write returns what a write came to once a majority has it on disk, whoever leads: what meets an election waits for the next leader, until
// the context's deadline, or for 10 s if it has none. consent.ErrNotWritten means that it has certainly not happened,
// consent.ErrOutcomeUnknown that it may have, or may yet; consent.ErrOverloaded and ErrStorageFull that it wasn't tried. Other errors are
// the state machine's: it has seen the write, and refused it.
func (n *Node) Write(ctx context.Context, w consent.Write) (consent.WriteResult, error) {
	result, err := n.commit(ctx, store.Command{Write: n.pseudonymous(w)})
	if err != nil {
		return consent.WriteResult{}, err
	}
	return writeResult(result), nil
}

// Preview returns what Write would come to now, and writes nothing.
func (n *Node) Preview(_ context.Context, w consent.Write) (consent.WriteResult, error) {
	if n.failure.err() != nil {
		return consent.WriteResult{}, consent.ErrNotReady
	}
	stamp, err := n.clock.peek()
	if err != nil {
		return consent.WriteResult{}, fmt.Errorf("%w (%w)", consent.ErrNotReady, err)
	}
	result, err := n.store.Preview(*n.pseudonymous(w), stamp)
	if err == nil {
		err = result.Err
	}
	if err != nil {
		return consent.WriteResult{}, err
	}
	return writeResult(result), nil
}

// History returns a page of a subject's events, and whether more follow.
func (n *Node) History(_ context.Context, t *consent.Tenant, subject string, page consent.HistoryPage) (
	events []consent.RecordedEvent, more bool, err error,
) {
	return n.store.History(n.door.Of(t.Name, subject), page)
}

// EachRecord calls f for every record of a tenant, until f returns an error or the context ends, and returns that error.
func (n *Node) EachRecord(ctx context.Context, t *consent.Tenant, f func(consent.Record) error) error {
	return n.store.EachRecord(t, func(r consent.Record) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return f(r)
	})
}

// PutPolicy returns the version that the document now has, and whether it is a new one. The errors are Write's.
func (n *Node) PutPolicy(ctx context.Context, p consent.PolicyPut) (v consent.PolicyVersion, changed bool, err error) {
	result, err := n.commit(ctx, store.Command{Policy: &store.PolicyCommand{
		Tenant: p.Tenant, RequestID: p.RequestID, Document: p.Document, ETag: p.ETag,
	}})
	if err != nil {
		return consent.PolicyVersion{}, false, err
	}
	return *result.Policy, result.PolicyChanged, nil
}

// Policy returns a version of a tenant's policy, the newest for 0.
func (n *Node) Policy(_ context.Context, tenant string, version int64) (consent.PolicyVersion, error) {
	return n.store.Policy(tenant, version)
}

// PolicyVersions returns up to limit versions below before (0: from the newest), newest first, without documents.
func (n *Node) PolicyVersions(_ context.Context, tenant string, before int64, limit int) ([]consent.PolicyVersion, error) {
	return n.store.PolicyVersions(tenant, before, limit)
}

// pseudonymous returns a write as it goes behind the door: without the subjects' ids.
func (n *Node) pseudonymous(w consent.Write) *store.WriteCommand {
	c := &store.WriteCommand{Tenant: w.Tenant, RequestID: w.RequestID, Events: make([]store.KeyedEvent, len(w.Events))}
	for i := range w.Events {
		c.Events[i] = store.KeyedEvent{Key: n.door.Of(w.Tenant, w.Events[i].Subject), Event: w.Events[i].Event}
	}
	return c
}

func writeResult(r store.Result) consent.WriteResult {
	return consent.WriteResult{Revision: r.Revision, Stamp: r.Stamp, Effects: r.Effects}
}
