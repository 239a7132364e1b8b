package cache

import (
	"context"
	"fmt"
	"time"

	"github.com/consentd/consentd/consent"
)

// View returns what the publisher has come to, or the zero View before the first proof.
func (c *Cache) View() consent.View {
	if m := c.moment.Load(); m.proven() {
		return m.view
	}
	return consent.View{}
}

// Wait returns nil once the publisher has come to a revision; consent.ErrEpoch if it is in another epoch; the context's error, or
// consent.ErrNotReady once the cache is closed.
func (c *Cache) Wait(ctx context.Context, r consent.Revision) error {
	for {
		m := c.moment.Load()
		switch at := m.at(); {
		case at.Epoch == r.Epoch && at.Index >= r.Index:
			return nil
		case at.Epoch != r.Epoch && at != consent.Revision{}:
			return consent.ErrEpoch
		}
		select {
		case <-m.next:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.life.Done():
			return consent.ErrNotReady
		}
	}
}

// Held returns a subject's record if it is here, without asking for it: exactly as of a position at least as new as any View loaded
// before. Its words must not be written to.
func (c *Cache) Held(t *consent.Tenant, subject string) (r consent.Record, here bool) {
	e := c.held(t, c.keys.of(t.Number, subject))
	if e == nil {
		return nil, false
	}
	return e.record(), true
}

// Record returns a subject's record, nil if nothing is known of the subject: exactly as of a position at least as new as any View loaded
// before. Its words must not be written to. What isn't here is asked for, within the staleness bound. Then it may also return
// consent.ErrStale, if the bound has passed since the last proof, or passes while it waits; consent.ErrNotReady if the tenant is of another
// epoch than what the publisher has come to, or the cache is closed; the context's error, or that of Options.Fill.
func (c *Cache) Record(ctx context.Context, t *consent.Tenant, subject string) (consent.Record, error) {
	k := c.keys.of(t.Number, subject)
	if e := c.held(t, k); e != nil {
		return e.record(), nil
	}
	return c.fetch(ctx, t, subject, k)
}

// held returns a subject's entry if it counts, or nil.
func (c *Cache) held(t *consent.Tenant, k key) entry {
	lane := c.gate.enter()
	if lane == nil {
		return nil
	}
	m := c.moment.Load()
	e, _ := c.shelf.Get(k.first)
	lane.left.Add(1)
	if m.at().Epoch == t.Epoch && m.counts(e, k) {
		return e
	}
	lane.missed.Add(1)
	return nil
}

// fetch asks for a record until it has one that counts.
func (c *Cache) fetch(ctx context.Context, t *consent.Tenant, subject string, k key) (consent.Record, error) {
	ctx, cancel := c.within(ctx, c.moment.Load().view.Bound)
	defer cancel()
	var e entry
	for {
		m := c.moment.Load()
		if err := c.mayAsk(m, t); err != nil {
			return nil, err
		}
		if m.counts(e, k) {
			return e.record(), nil
		}
		var err error
		if m.precedes(e, k) {
			err = c.Wait(ctx, consent.Revision{Epoch: t.Epoch, Index: e.position()})
		} else {
			want := Want{Tenant: t.Name, Subject: subject, AtLeast: m.at()}
			e, err = c.flights.share(ctx, k, t.Epoch, func() (entry, error) { return c.fill(ctx, want, k) })
		}
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil:
			return nil, err
		}
	}
}

// within returns a context that ends with consent.ErrStale once the bound has passed, and with consent.ErrNotReady once the cache is closed.
func (c *Cache) within(ctx context.Context, bound time.Duration) (context.Context, func()) {
	ctx, end := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.life, func() { end(consent.ErrNotReady) })
	ctx, cancel := context.WithTimeoutCause(ctx, bound, consent.ErrStale)
	return ctx, func() {
		stop()
		cancel()
		end(nil)
	}
}

// mayAsk returns nil while it is known here what to ask for.
func (c *Cache) mayAsk(m *moment, t *consent.Tenant) error {
	if c.gate.shut.Load() || m.at().Epoch != t.Epoch || !m.proven() {
		return consent.ErrNotReady
	}
	if _, fresh := m.view.Age(c.now()); !fresh {
		return consent.ErrStale
	}
	return nil
}

// fill asks for a record and keeps it.
func (c *Cache) fill(ctx context.Context, w Want, k key) (entry, error) {
	c.fills.Add(1)
	f, err := c.ask(ctx, w)
	switch {
	case err != nil:
		return nil, err
	case f.Revision.Epoch != w.AtLeast.Epoch:
		return nil, consent.ErrNotReady
	case f.Revision.Index < w.AtLeast.Index:
		return nil, &consent.StaleError{Reached: f.Revision}
	case f.Revision.Index > maxPosition || int(f.Bucket) >= c.buckets:
		return nil, fmt.Errorf("filled from position %d, bucket %d: beyond what can be", f.Revision.Index, f.Bucket)
	}
	e := newEntry(k, f)
	c.keep(k, e)
	return e, nil
}
