package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/consentd/consentd/cache"
	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// A replica has to answer within this part of the bound, or another is asked. All of it takes a little less than the bound, so that whoever
// waits is told why rather than that it was too long.
const fillPart, spared = 2, 8

// errRecord is returned for a record that can't be used.
var errRecord = errors.New("the record that a replica gave can't be used")

// fill returns a subject's record as a replica has it. Asking changes nothing, so where a replica goes, lags or doesn't answer, another is
// asked, until the bound has passed or the context ends.
func (n *NearCache) fill(ctx context.Context, w cache.Want) (cache.Filled, error) {
	bound := n.watch.bounds.here()
	within, cancel := context.WithTimeout(ctx, bound-bound/spared)
	defer cancel()
	var why error // the last refusal, rather than that the time was up at last
	for {
		reply, err := n.ask(within, w, bound/fillPart)
		if err == nil {
			return n.filledBy(reply, w)
		}
		if why == nil || !errors.Is(err, context.DeadlineExceeded) {
			why = err
		}
		if !elsewhere(err) || wait(within, breather) != nil {
			return cache.Filled{}, unfilled(ctx, why)
		}
	}
}

func (n *NearCache) ask(ctx context.Context, w cache.Want, limit time.Duration) (*consentv1.FillResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	reply, err := n.watch.rpc.Fill(ctx, &consentv1.FillRequest{
		Tenant: w.Tenant, Subject: w.Subject, Epoch: w.AtLeast.Epoch, Position: w.AtLeast.Index,
	})
	return reply, errorOf(err)
}

// elsewhere reports whether another replica may do better.
func elsewhere(err error) bool {
	return isElsewhere(err) || errors.Is(err, context.DeadlineExceeded)
}

// unfilled returns the error of those who wait for a record: their own context's if it has ended; consent.ErrNotReady if no replica gave
// it, or those that were asked are in another epoch.
func unfilled(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, consent.ErrEpoch), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w (%s)", consent.ErrNotReady, err.Error()) // what it is to the replica it isn't to who asks here
	default:
		return err
	}
}

// filledBy returns what a reply says, or errRecord. Nothing is decided by words that aren't a record.
func (n *NearCache) filledBy(reply *consentv1.FillResponse, w cache.Want) (cache.Filled, error) {
	f := cache.Filled{
		Revision: consent.Revision{Epoch: reply.GetEpoch(), Index: reply.GetPosition()}, Bucket: reply.GetBucket(),
		Record: consent.Record(reply.GetRecord()),
	}
	if reply.GetFormat() != consent.RecordFormat {
		return cache.Filled{}, fmt.Errorf("%w: it is of format %d, and this version reads %d: run the same version as the replicas", errRecord,
			reply.GetFormat(), consent.RecordFormat)
	}
	if len(f.Record) == 0 {
		f.Record = nil
		return f, nil
	}
	if err := f.Record.Validate(); err != nil {
		return cache.Filled{}, fmt.Errorf("%w: %w", errRecord, err)
	}
	if f.Record.Index() > f.Revision.Index {
		return cache.Filled{}, fmt.Errorf("%w: it changed at %d, after %d, which it is to be of", errRecord, f.Record.Index(), f.Revision.Index)
	}
	if v := n.cache.View(); v.Head != nil && v.Revision.Epoch == f.Revision.Epoch {
		if t := v.Tenants[w.Tenant]; t == nil || t.Number != f.Record.Tenant() {
			return cache.Filled{}, fmt.Errorf("%w: it is of tenant %d, another one than was asked for", errRecord, f.Record.Tenant())
		}
	}
	if bug("date a record by what was asked for") {
		f.Revision = w.AtLeast
	}
	return f, nil
}
