package cache

import (
	"maps"
	"time"

	"github.com/consentd/consentd/consent"
)

// Reset begins anew at a revision with the tenants as they are there, because there is a gap in what is known of changes, or the epoch is
// another one: no record of before the revision counts any more. What was proven holds on only if this revision is at least as new. The
// map belongs to the cache from now on.
//
// Reset, Advance and Prove are called by one goroutine, the publisher.
func (c *Cache) Reset(at consent.Revision, tenants map[string]*consent.Tenant) {
	was := c.moment.Load()
	view := consent.View{Head: &consent.Head{Revision: at, Tenants: tenants}}
	if at.Epoch == was.at().Epoch && at.Index >= was.at().Index {
		view.FreshAsOf, view.Bound = was.view.FreshAsOf, was.view.Bound
	}
	floors := newFloors(at, c.buckets)
	if bug("keep the floors over a gap") && at.Epoch == was.at().Epoch {
		floors = was.floors
	}
	c.publish(&moment{view: view, floors: floors})
}

// Advance takes in all that changed after the position before, up to this one: the buckets of the subjects, each below consent.Buckets, and
// the tenants that are new or have another policy. What is at or before the position reached is nothing new, and changes nothing.
func (c *Cache) Advance(position uint64, buckets []uint32, tenants []*consent.Tenant) {
	was := c.moment.Load()
	if position <= was.at().Index {
		return
	}
	if !bug("raise the floors late") {
		was.floors.raise(buckets, position)
	}
	c.pauses.at("raised")
	head := *was.view.Head
	head.Revision.Index = position
	if len(tenants) > 0 {
		head.Tenants = maps.Clone(head.Tenants)
		for _, t := range tenants {
			head.Tenants[t.Name] = t
		}
	}
	view := was.view
	view.Head = &head
	if bug("let policies take effect early") && len(tenants) > 0 {
		early := head
		early.Revision = was.at()
		c.publish(&moment{view: consent.View{Head: &early, FreshAsOf: view.FreshAsOf, Bound: view.Bound}, floors: was.floors})
		bugPause()
	}
	c.publish(&moment{view: view, floors: was.floors})
	if bug("raise the floors late") {
		bugPause()
		was.floors.raise(buckets, position)
	}
}

// Prove says that what Reset and Advance have told so far has every write that was acknowledged before asOf, which carries a monotonic
// reading, and how old a proof may be. An earlier proof that says more isn't forgotten. Before
// the first Reset there is nothing to prove.
func (c *Cache) Prove(asOf time.Time, bound time.Duration) {
	was := c.moment.Load()
	if was.at() == (consent.Revision{}) {
		return
	}
	view := was.view
	view.Bound = bound
	if asOf.After(view.FreshAsOf) {
		view.FreshAsOf = asOf
	}
	c.publish(&moment{view: view, floors: was.floors})
}

// Reached returns what the publisher has come to, proven or not: the zero Revision before the first Reset.
func (c *Cache) Reached() consent.Revision { return c.moment.Load().at() }

func (c *Cache) publish(m *moment) {
	m.next = make(chan struct{})
	was := c.moment.Swap(m)
	c.pauses.at("published")
	close(was.next)
}
