package store

import (
	"cmp"
	"maps"
	"slices"
	"sort"
	"sync"

	"github.com/consentd/consentd/consent"
)

const (
	// defaultChanges is how many changes are remembered: 4 MiB of them, or 26 s at 10,000 a second.
	defaultChanges = 1 << 18
	// maxTenantChanges is how many changes of tenants are. They are rare, and each keeps a policy from the collector.
	maxTenantChanges = 1024
)

// changes are what a state remembers of how it came to be, for those who hold copies of parts of it. A state that takes the place of another
// one begins with none.
//
// A reader names the position that it has come to, and gets what changed since, up to a position at which an entry ends. So what it holds
// is always a state that there was, and never half of an entry. What it is told is never ahead of the records: they are put before.
//
// # Invariants
//
//  1. All that changed after base is here. What is dropped raises base to the end of its entry.
//  2. Entries follow each other in the order of their indexes, here as in the log.
//  3. head is the newest published one or the one about to be, and what is here leads to it.
//
// Apply is the only writer. What it notes becomes visible at once, with the lock held for a copy, so that readers never see half an entry
// and hold up an Apply for no longer than they need to copy a batch.
type changes struct {
	mu      sync.RWMutex
	head    *consent.Head
	began   uint64 // where the state was when it took its place
	base    uint64
	ring    []changed // the change with number n is in n % len
	first   uint64    // the number of the oldest change in the ring
	next    uint64    // that of the next one
	tenants []changedTenant

	noted []changed // of the entry being applied; Apply's own
}

// changed is a subject whose record an entry changed.
type changed struct {
	index          uint64
	tenant, bucket uint32
}

// changedTenant is a tenant as an entry left it, new or with another policy.
type changedTenant struct {
	index  uint64
	tenant *consent.Tenant
}

func newChanges(most int) *changes {
	return &changes{ring: make([]changed, most)}
}

// begin says what the state is when it takes its place.
func (c *changes) begin(head *consent.Head) {
	c.head = head
	c.began, c.base = head.Revision.Index, head.Revision.Index
}

// note takes down a subject of the entry being applied.
func (c *changes) note(index uint64, tenant uint32, key Key) {
	if bug("forget changes") && index%4 == 0 {
		return
	}
	c.noted = append(c.noted, changed{index, tenant, key.Bucket()})
}

// publish shows what was noted of an entry, its tenants, and that the state is at its index.
func (c *changes) publish(head *consent.Head, tenants []changedTenant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head = head
	c.add(c.noted)
	c.noted = c.noted[:0]
	if len(tenants) > 0 {
		c.addTenants(tenants)
	}
}

// add puts the changes of an entry into the ring, in the place of the oldest.
func (c *changes) add(entry []changed) {
	size := uint64(len(c.ring))
	if uint64(len(entry)) > size {
		c.base, c.first = entry[0].index, c.next
		return
	}
	if end := c.next + uint64(len(entry)); end > c.first+size {
		c.first = end - size
		c.base = max(c.base, c.at(c.first-1).index) // what is left of that entry is behind nobody's position any more
	}
	for at := int(c.next % size); len(entry) > 0; at = 0 {
		n := copy(c.ring[at:], entry)
		entry, c.next = entry[n:], c.next+uint64(n)
	}
}

// after returns the number of the first change of an entry behind an index.
func (c *changes) after(index uint64) uint64 {
	return c.first + uint64(sort.Search(int(c.next-c.first), func(i int) bool { return c.at(c.first+uint64(i)).index > index }))
}

func (c *changes) at(number uint64) *changed { return &c.ring[number%uint64(len(c.ring))] }

// addTenants keeps at least those of the newest entry that changed any.
func (c *changes) addTenants(entry []changedTenant) {
	c.tenants = append(c.tenants, entry...)
	over := min(len(c.tenants)-maxTenantChanges, len(c.tenants)-len(entry))
	if over <= 0 {
		return
	}
	c.base = max(c.base, c.tenants[over-1].index)
	rest := c.tenantsAfter(c.base)
	c.tenants = slices.Delete(c.tenants, 0, len(c.tenants)-len(rest))
}

// tenantsAfter returns the changes of tenants behind an index.
func (c *changes) tenantsAfter(index uint64) []changedTenant {
	return c.tenants[sort.Search(len(c.tenants), func(i int) bool { return c.tenants[i].index > index }):]
}

// since returns what changed after a position, with the subjects in space as far as that reaches: see Store.Changes.
func (c *changes) since(after consent.Revision, most int, space []consent.Touched) (consent.Changes, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	now := c.head.Revision
	switch {
	case after == consent.Revision{}:
		return consent.Changes{To: now, Tenants: byNumber(c.head.Tenants)}, nil
	case after.Epoch != now.Epoch:
		return consent.Changes{}, consent.ErrEpoch
	case after.Index < c.began:
		return consent.Changes{}, consent.ErrPositionGone
	case after.Index < c.base:
		return consent.Changes{}, consent.ErrOverrun
	case after.Index >= now.Index: // a reader may come from a replica that is ahead
		return consent.Changes{To: after}, nil
	}
	to, tenants := now.Index, c.tenantsAfter(after.Index)
	if len(tenants) > 0 {
		to = tenants[0].index
	}
	first := c.after(after.Index)
	end := c.after(to)
	if end-first > uint64(most) {
		end = c.cut(first, most)
		to = c.at(end - 1).index
	}
	for n := first; n < end; n++ {
		space = append(space, consent.Touched{Tenant: c.at(n).tenant, Bucket: c.at(n).bucket})
	}
	return consent.Changes{
		To: consent.Revision{Epoch: now.Epoch, Index: to}, Subjects: space, Tenants: tenantsAt(to, tenants),
	}, nil
}

// cut returns the number behind the last whole entry among so many changes, of which there are more; or behind the first entry, if that
// alone has more.
func (c *changes) cut(first uint64, most int) (end uint64) {
	over := c.at(first + uint64(most)).index
	if end = c.after(over - 1); end > first {
		return end
	}
	return c.after(over)
}

// tenantsAt returns what an entry made of tenants.
func tenantsAt(index uint64, changes []changedTenant) (tenants []*consent.Tenant) {
	for _, c := range changes {
		if c.index > index {
			break
		}
		tenants = append(tenants, c.tenant)
	}
	return tenants
}

// byNumber returns tenants in the order in which they came to be.
func byNumber(tenants map[string]*consent.Tenant) []*consent.Tenant {
	return slices.SortedFunc(maps.Values(tenants), func(a, b *consent.Tenant) int { return cmp.Compare(a.Number, b.Number) })
}

// changedTenants returns the tenants that the entry has made, or given another policy.
func (e *entry) changedTenants() (tenants []changedTenant) {
	for name, t := range e.tenants {
		if was, found := e.known[name]; !found || was.Policy != t.Policy {
			tenants = append(tenants, changedTenant{e.index, t})
		}
	}
	return tenants
}

// Changes returns what changed after a position, up to the newest one or, if that is more than so many subjects, up to an earlier one at
// which an entry ends; a single entry isn't split. No more than one entry's changes of tenants come at once. With the zero position it
// returns the newest one, with all tenants and no subjects, because nothing was copied before it. The position is returned as it is if
// nothing changed, and also if it is ahead of the state here.
//
// Subjects are appended to space[:0]. The error is consent.ErrEpoch if the position is of another epoch, consent.ErrPositionGone if it
// lies before the state that a start or a snapshot brought, consent.ErrOverrun if more changed since than is remembered, and ErrClosed.
func (s *Store) Changes(after consent.Revision, most int, space []consent.Touched) (consent.Changes, error) {
	if s.closed.Load() {
		return consent.Changes{}, ErrClosed
	}
	return s.state.Load().changes.since(after, most, space[:0])
}

// Beyond returns a channel that is closed once the log is applied beyond an index, or never will be. Who doesn't wait for it any more
// calls leave.
func (s *Store) Beyond(index uint64) (reached <-chan struct{}, leave func()) {
	return s.applied.beyond(index)
}

// Fill returns a copy of a subject's record that is exactly that of a position, and no older than what was applied when it was called. What
// isn't needed for decisions is left out.
func (s *Store) Fill(key Key) consent.Filled {
	st := s.state.Load()
	at := st.head.Load().Revision // before the record, which so has all changes up to there
	var buf Buffer
	record := consent.Record(st.memory.get(key, &buf))
	// An entry that is being published may have put it already, and puts a subject once: then it is that entry's.
	at.Index = max(at.Index, record.Index())
	if bug("take a fill's position late") {
		bugPause()
		at = st.head.Load().Revision
	}
	return consent.Filled{Revision: at, Bucket: key.Bucket(), Record: record.ForDecisions(nil)}
}
