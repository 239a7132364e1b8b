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
		if err := c.pass(ctx, m); err != nil {
			return err
		}
	}
}

// pass returns nil once there is another moment than m; the context's error, or consent.ErrNotReady once the cache is closed.
func (c *Cache) pass(ctx context.Context, m *moment) error {
	select {
	case <-m.next:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.life.Done():
		return consent.ErrNotReady
	}
}

// Look returns a subject's record, nil if nothing is known of the subject, and the View that it is exactly of, which is at least as new as any
// loaded before. If the View's tenant isn't t any more, its policy is another. The record's words must not be written to.
//
// What isn't here is asked for, within the staleness bound. Then Look may also return consent.ErrStale, if the bound has passed since the
// last proof, or passes while it waits; consent.ErrNotReady if the tenant is of another epoch than what the publisher has come to, or the
// cache is closed; the context's error, or that of Options.Fill.
func (c *Cache) Look(ctx context.Context, t *consent.Tenant, subject string) (consent.View, consent.Record, error) {
	k := c.keys.of(t.Number, subject)
	m, e := c.held(t, k)
	if e.first == nil {
		var err error
		if m, e, err = c.fetch(ctx, t, subject, k); err != nil {
			return consent.View{}, nil, err
		}
	}
	return m.view, e.record(), nil
}

// Record is Look for those who want the record alone.
func (c *Cache) Record(ctx context.Context, t *consent.Tenant, subject string) (consent.Record, error) {
	_, r, err := c.Look(ctx, t, subject)
	return r, err
}

// Held returns a subject's record as Look does, if it is here; it never asks for it.
func (c *Cache) Held(t *consent.Tenant, subject string) (v consent.View, r consent.Record, here bool) {
	m, e := c.held(t, c.keys.of(t.Number, subject))
	if e.first == nil {
		return consent.View{}, nil, false
	}
	return m.view, e.record(), true
}

// held returns a subject's entry and the moment that it counts for, or nil.
func (c *Cache) held(t *consent.Tenant, k key) (*moment, entry) {
	lane, turn := c.gate.enter()
	if lane == nil {
		return nil, entry{}
	}
	defer lane.left.Add(1)
	m := c.moment.Load()
	c.pauses.at("moment loaded")
	if m.at().Epoch != t.Epoch {
		lane.missed.Add(1)
		return nil, entry{}
	}
	if !c.front.passedBy(turn) {
		e := c.front.get(k)
		c.pauses.at("front looked at")
		if m.counts(e, k) || e.first != nil && bug("answer from the front without judging") {
			return m, e
		}
	}
	e, _ := c.shelf.Get(k.place())
	c.pauses.at("entry loaded")
	if !m.counts(e, k) {
		lane.missed.Add(1)
		return nil, entry{}
	}
	if c.front.takes(turn, k, e) {
		c.front.put(k, e)
		c.pauses.at("put to the front")
	}
	return m, e
}

// fetch asks for a record until it has one that counts.
func (c *Cache) fetch(ctx context.Context, t *consent.Tenant, subject string, k key) (*moment, entry, error) {
	ctx, cancel := c.within(ctx, c.moment.Load().view.Bound)
	defer cancel()
	c.misses.Add(1)
	var e entry
	for {
		m := c.moment.Load()
		c.pauses.at("moment loaded again")
		if err := c.mayAsk(m, t); err != nil {
			return nil, entry{}, err
		}
		if m.counts(e, k) {
			return m, e, nil
		}
		var err error
		if m.precedes(e, k) {
			err = c.pass(ctx, m)
		} else {
			want := Want{Tenant: t.Name, Subject: subject, AtLeast: m.at()}
			e, err = c.flights.share(ctx, k, t.Epoch, func() (entry, error) { return c.fill(ctx, want, k) })
		}
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, entry{}, context.Cause(ctx)
		case err != nil:
			return nil, entry{}, err
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
		return entry{}, err
	case f.Revision.Epoch != w.AtLeast.Epoch:
		return entry{}, consent.ErrNotReady
	case f.Revision.Index < w.AtLeast.Index:
		return entry{}, &consent.StaleError{Reached: f.Revision}
	case len(f.Record) > maxRecord:
		return entry{}, fmt.Errorf("filled with a record of %d words: beyond what can be", len(f.Record))
	case f.Revision.Index > maxPosition || int(f.Bucket) >= c.buckets:
		return entry{}, fmt.Errorf("filled from position %d, bucket %d: beyond what can be", f.Revision.Index, f.Bucket)
	}
	e := newEntry(k, f)
	c.pauses.at("filled")
	c.keep(k, e)
	c.pauses.at("kept")
	return e, nil
}
