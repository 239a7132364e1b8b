package store

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/consentd/consentd/consent"

	"pgregory.net/rapid"
)

// chronicle is the model of what a store remembers: every entry, and what it changed, found by comparing all that there is before and
// after it.
type chronicle struct {
	*feeder
	t       *rapid.T
	ring    int
	began   uint64 // since when the state remembers
	keys    []Key
	records map[Key]consent.Record
	entries []chronicled
}

// chronicled is an index and what its entry changed.
type chronicled struct {
	index    uint64
	subjects []consent.Touched
	tenants  map[string]*consent.Tenant // new or with another policy
}

func newChronicle(t *testing.T, rt *rapid.T) *chronicle {
	t.Helper()
	ring := rapid.IntRange(1, 40).Draw(rt, "ring")
	s, err := Open(Options{Logger: quiet, Changes: ring})
	if err != nil {
		rt.Fatal(err)
	}
	rt.Cleanup(func() { closeStore(t, s) })
	c := &chronicle{feeder: newFeeder(t, s), t: rt, ring: ring, records: map[Key]consent.Record{}}
	for i := range uint64(8) {
		c.keys = append(c.keys, nthKey(i))
	}
	c.take(func() { c.apply(Command{TermStart: &TermStart{Term: 1, Epoch: 5}}) })
	return c
}

// take notes what an entry changes.
func (c *chronicle) take(entry func()) {
	before := c.store.Head().Tenants
	entry()
	e := chronicled{index: c.index(), tenants: map[string]*consent.Tenant{}}
	for _, key := range c.keys {
		record := c.record(key)
		changed := !slices.Equal(record.ForDecisions(nil), c.records[key].ForDecisions(nil))
		if changed && record.Index() != e.index {
			c.t.Fatalf("record %x changed at %d, and says %d", key, e.index, record.Index())
		}
		if record != nil && record.Index() == e.index {
			e.subjects = append(e.subjects, consent.Touched{Tenant: record.Tenant(), Bucket: key.Bucket()})
		}
		c.records[key] = slices.Clone(record)
	}
	for name, t := range c.store.Head().Tenants {
		if was := before[name]; was == nil || was.Policy != t.Policy {
			e.tenants[name] = t
		}
	}
	c.entries = append(c.entries, e)
}

// write applies an entry of some commands for one of two tenants. A subject belongs to one of them.
func (c *chronicle) write() {
	var commands []Command
	for range rapid.IntRange(1, 4).Draw(c.t, "commands") {
		n := rapid.IntRange(0, len(c.keys)-1).Draw(c.t, "subject")
		permission := rapid.SampledFrom([]string{"newsletter/email", "newsletter/post", "crm"}).Draw(c.t, "permission")
		e := granted(c.stamp-consent.Time(rapid.IntRange(0, 3).Draw(c.t, "age"))*second, permission)
		if rapid.Bool().Draw(c.t, "no") {
			e = event(rapid.SampledFrom([]consent.EventKind{consent.Withdrawn, consent.Erased, consent.Used}).Draw(c.t, "kind"), e.OccurredAt, permission)
		}
		command := c.command(c.keys[n], e)
		command.Write.Tenant = fmt.Sprint("tenant", n%2)
		commands = append(commands, command)
	}
	c.take(func() { c.apply(commands...) })
}

func (c *chronicle) putPolicy() {
	version := rapid.IntRange(1, 3).Draw(c.t, "policy")
	c.take(func() {
		c.apply(Command{Policy: &PolicyCommand{
			Tenant: rapid.SampledFrom([]string{"tenant0", "tenant1", "tenant2"}).Draw(c.t, "tenant"), RequestID: c.id(),
			Document: shopPolicy(c.tb, version),
		}})
	})
}

// pass passes an index without a command.
func (c *chronicle) pass() {
	c.take(func() {
		c.log = append(c.log, nil)
		c.store.Advance(c.index())
	})
}

// install has a snapshot take the place of the state.
func (c *chronicle) install() {
	if _, err := c.store.Sync(); err != nil { // which is when indexes without a command get into the ledger
		c.t.Fatal(err)
	}
	if err := c.store.Restore(bytes.NewReader(snapshotOf(c.tb, c.store))); err != nil {
		c.t.Fatal(err)
	}
	c.began = c.index()
}

// since returns the entries after an index, and how many subjects they changed.
func (c *chronicle) since(after uint64) (entries []chronicled, subjects int) {
	for _, e := range c.entries {
		if e.index > after {
			entries = append(entries, e)
			subjects += len(e.subjects)
		}
	}
	return entries, subjects
}

// check compares what a reader at a position gets, and returns where that brings it.
func (c *chronicle) check(at consent.Revision) consent.Revision {
	most := rapid.IntRange(1, 12).Draw(c.t, "most")
	got, err := c.store.Changes(at, most, nil)
	entries, subjects := c.since(at.Index)
	switch {
	case at.Index < c.began:
		if !errors.Is(err, consent.ErrPositionGone) || errors.Is(err, consent.ErrOverrun) {
			c.t.Fatalf("at %d, before the state of %d: %v", at.Index, c.began, err)
		}
	case subjects > c.ring:
		if !errors.Is(err, consent.ErrOverrun) {
			c.t.Fatalf("%d changes after %d, of which %d are remembered: %v", subjects, at.Index, c.ring, err)
		}
	case err != nil:
		c.t.Fatalf("%d changes after %d, of which %d are remembered: %v", subjects, at.Index, c.ring, err)
	default:
		c.compare(at, got, entries, most)
		return got.To
	}
	now, err := c.store.Changes(consent.Revision{}, 0, nil)
	if err != nil || now.To.Index != c.index() || len(now.Tenants) != len(c.store.Head().Tenants) {
		c.t.Fatalf("beginning anew: %+v, %v", now, err)
	}
	return now.To
}

// compare looks whether changes are those of the next entries, all of each, and as many as go in.
func (c *chronicle) compare(at consent.Revision, got consent.Changes, entries []chronicled, most int) {
	var want consent.Changes
	want.To = at
	tenants := map[string]*consent.Tenant{}
	for i, e := range entries {
		if e.index > got.To.Index {
			if over := len(want.Subjects) + len(e.subjects); over <= most && len(tenants) == 0 && len(e.subjects) > 0 {
				c.t.Fatalf("after %d, %d changes up to %d came, and %d more would go in", at.Index, len(want.Subjects), got.To.Index, len(e.subjects))
			}
			break
		}
		if len(tenants) > 0 {
			c.t.Fatalf("after %d, more came than the tenants of %d", at.Index, entries[i-1].index)
		}
		want.To.Index = e.index
		want.Subjects = append(want.Subjects, e.subjects...)
		tenants = e.tenants
	}
	want.Tenants = slices.Collect(maps.Values(tenants))
	slices.SortFunc(want.Subjects, compareTouched)
	slices.SortFunc(got.Subjects, compareTouched)
	byName := func(a, b *consent.Tenant) int { return cmp.Compare(a.Name, b.Name) }
	slices.SortFunc(want.Tenants, byName)
	slices.SortFunc(got.Tenants, byName)
	if got.To != want.To || !slices.Equal(got.Subjects, want.Subjects) || !slices.Equal(got.Tenants, want.Tenants) {
		c.t.Fatalf("after %d, at most %d:\n got %+v\nwant %+v", at.Index, most, got, want)
	}
}

func compareTouched(a, b consent.Touched) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Bucket, b.Bucket))
}

// checkFill compares the copies of all records.
func (c *chronicle) checkFill() {
	for _, key := range c.keys {
		want, got := c.records[key].ForDecisions(nil), c.store.Fill(key)
		if got.Revision != (consent.Revision{Epoch: 5, Index: c.index()}) || got.Bucket != key.Bucket() || !slices.Equal(got.Record, want) {
			c.t.Fatalf("subject %x at %d: the copy %+v, want %x", key, c.index(), got, want)
		}
	}
}

// TestChangesAreThoseOfTheEntries: whatever is written, however few changes are remembered, and however slowly a reader goes on.
func TestChangesAreThoseOfTheEntries(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newChronicle(t, rt)
		readers := make([]consent.Revision, 3)
		for i := range readers {
			readers[i] = consent.Revision{Epoch: 5, Index: c.index()}
		}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch step := rapid.IntRange(0, 59).Draw(rt, "step"); {
			case step < 5:
				c.putPolicy()
			case step < 10:
				c.pass()
			case step < 30:
				c.write()
			case step == 30: // rarely: it takes longer than all the others together
				c.install()
			default:
				reader := rapid.IntRange(0, len(readers)-1).Draw(rt, "reader")
				readers[reader] = c.check(readers[reader])
			}
			c.checkFill()
		}
	})
}

// TestPositionAhead: a reader may come from a replica that is ahead of this one, and gets nothing that it has.
func TestPositionAhead(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	f.apply(Command{TermStart: &TermStart{Term: 1, Epoch: 5}})
	ahead := consent.Revision{Epoch: 5, Index: 3}
	for range 2 {
		if got, err := f.store.Changes(ahead, 10, nil); err != nil || got.To != ahead || got.Subjects != nil || got.Tenants != nil {
			t.Errorf("behind the reader: %+v, %v", got, err)
		}
		f.write(nthKey(1), granted(0, "newsletter/email"))
	}
	f.write(nthKey(2), granted(0, "newsletter/email"))
	got, err := f.store.Changes(ahead, 10, nil)
	if want := []consent.Touched{{Tenant: 1, Bucket: nthKey(2).Bucket()}}; err != nil || got.To.Index != 4 || !slices.Equal(got.Subjects, want) {
		t.Errorf("past the reader: %+v, %v", got, err)
	}
}

func TestChangesOfAnotherEpoch(t *testing.T) {
	_, stream := older(t)
	f := running(t, Options{})
	before := f.store.Head().Revision
	f.bring(stream, 3)
	if got, err := f.store.Changes(before, 10, nil); err != nil || got.To.Index != f.index() || got.Subjects != nil {
		t.Errorf("while a restore is on its way: %+v, %v", got, err)
	}
	if err := f.step(RestoreCommand{Step: RestoreFinish}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.store.Changes(before, 10, nil); !errors.Is(err, consent.ErrEpoch) {
		t.Errorf("from before the restore: %v", err)
	}
	now, err := f.store.Changes(consent.Revision{}, 10, nil)
	if want := (consent.Revision{Epoch: newEpoch, Index: f.index()}); err != nil || now.To != want {
		t.Errorf("after it: %+v, %v", now, err)
	}
	f.write(nthKey(1), granted(0, "newsletter/email"))
	if got, err := f.store.Changes(now.To, 10, nil); err != nil || len(got.Subjects) != 1 || got.To.Index != f.index() {
		t.Errorf("the first change after it: %+v, %v", got, err)
	}
	if filled := f.store.Fill(nthKey(50)); filled.Revision.Epoch != newEpoch || filled.Record == nil {
		t.Errorf("a copy: %+v", filled)
	}
}

// TestChangesOfManyTenants: those of the newest entry are always remembered, however many.
func TestChangesOfManyTenants(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	f.apply(Command{TermStart: &TermStart{Term: 1, Epoch: 5}})
	several := func(from, n int) {
		var commands []Command
		for i := range n {
			c := f.command(nthKey(uint64(from+i)), granted(0, "newsletter/email"))
			c.Write.Tenant = fmt.Sprint("tenant", from+i)
			commands = append(commands, c)
		}
		f.apply(commands...)
	}
	at := func(index uint64) consent.Revision { return consent.Revision{Epoch: 5, Index: index} }
	several(0, 10)
	several(10, 10)
	if got, err := f.store.Changes(at(1), 1000, nil); err != nil || got.To != at(2) || len(got.Tenants) != 10 || len(got.Subjects) != 10 {
		t.Errorf("the tenants of the first entry: %+v, %v", got, err)
	}
	several(20, maxTenantChanges+1)
	for _, index := range []uint64{1, 2} {
		if _, err := f.store.Changes(at(index), 1000, nil); !errors.Is(err, consent.ErrOverrun) {
			t.Errorf("from %d on: %v, want an overrun", index, err)
		}
	}
	if got, err := f.store.Changes(at(3), 1, nil); err != nil || got.To != at(4) || len(got.Tenants) != maxTenantChanges+1 {
		t.Errorf("the tenants of the newest entry: %d of them at %v, %v", len(got.Tenants), got.To, err)
	}
	several(5000, 1)
	if got, err := f.store.Changes(at(3), 1, nil); !errors.Is(err, consent.ErrOverrun) {
		t.Errorf("past a huge entry: %+v, %v", got.To, err)
	}
	if got, err := f.store.Changes(at(4), 1, nil); err != nil || len(got.Tenants) != 1 {
		t.Errorf("the entry after a huge one: %+v, %v", got.To, err)
	}
}

func TestChangesEndWithTheStore(t *testing.T) {
	s, err := Open(Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	reached, leave := s.Beyond(s.Applied())
	defer leave()
	closeStore(t, s)
	<-reached
	if _, err := s.Changes(consent.Revision{}, 1, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestCopiesAreExact copies records and follows the changes while entries are applied, and looks afterwards whether each copy was the
// record at its position, and whether a change of it came no later than the position after it.
func TestCopiesAreExact(t *testing.T) {
	const subjects, entries = 6, 400
	f := newFeeder(t, openStore(t, Options{Changes: subjects * entries}))
	f.apply(Command{TermStart: &TermStart{Term: 1, Epoch: 5}})
	was := map[Key][]consent.Record{} // by index, 0 included
	note := func() {
		for i := range uint64(subjects) {
			key := nthKey(i)
			was[key] = append(was[key], slices.Clone(f.record(key)).ForDecisions(nil))
		}
	}
	note()
	note()
	var done atomic.Bool
	var readers sync.WaitGroup
	results := make([]followed, 3)
	for i := range results {
		readers.Go(func() { results[i] = follow(t, f.store, subjects, &done) })
	}
	for n := range entries {
		var commands []Command
		for i := range uint64(subjects) {
			if mix(uint64(n)<<8|i)%3 > 0 {
				commands = append(commands, f.command(nthKey(i), event(consent.Withdrawn, 0)))
			}
		}
		f.apply(commands...)
		note()
	}
	done.Store(true)
	readers.Wait()
	for _, r := range results {
		r.check(t, was)
	}
}

// TestCopyOfAnEntryBeingPublished: its record is put before the head says so, and is of the entry's position, not of the head's.
func TestCopyOfAnEntryBeingPublished(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	f.apply(Command{TermStart: &TermStart{Term: 1, Epoch: 5}})
	f.write(nthKey(1), granted(0, "newsletter/email"))
	before := f.store.Fill(nthKey(1))
	changes := f.store.state.Load().changes
	changes.mu.RLock() // an entry stops there: with its records put, and the head still to come
	applied := make(chan struct{})
	go func() {
		defer close(applied)
		f.write(nthKey(1), event(consent.Withdrawn, 0))
	}()
	copied := before
	for slices.Equal(copied.Record, before.Record) {
		select {
		case <-applied:
			t.Fatal("the entry didn't stop")
		default:
			copied = f.store.Fill(nthKey(1))
		}
	}
	if head := f.store.Head().Revision; head != before.Revision {
		t.Errorf("the head is at %v already", head)
	}
	changes.mu.RUnlock()
	<-applied
	want := f.record(nthKey(1)).ForDecisions(nil)
	if now := f.store.Head().Revision; copied.Revision != now || !slices.Equal(copied.Record, want) {
		t.Errorf("the copy %+v, want that of %v", copied, now)
	}
}

// followed is what a reader saw: copies, and the positions that changes led to.
type followed struct {
	copies  map[Key][]consent.Filled
	batches []consent.Changes
}

func follow(t *testing.T, s *Store, subjects uint64, done *atomic.Bool) followed {
	t.Helper()
	r := followed{copies: map[Key][]consent.Filled{}}
	at := consent.Revision{Epoch: 5, Index: 1}
	for i := uint64(0); !done.Load() || at.Index < s.Applied(); i++ {
		key := nthKey(i % subjects)
		if err := s.WaitApplied(t.Context(), at.Index); err != nil {
			t.Error(err)
			return r
		}
		filled := s.Fill(key)
		if filled.Revision.Index < at.Index {
			t.Errorf("a copy of %d after changes up to %d", filled.Revision.Index, at.Index)
		}
		r.copies[key] = append(r.copies[key], filled)
		got, err := s.Changes(at, 64, nil)
		if err != nil {
			t.Error(err)
			return r
		}
		if at != got.To {
			at = got.To
			r.batches = append(r.batches, got)
		}
	}
	return r
}

// check compares with the records as they were at each index.
func (r *followed) check(t *testing.T, was map[Key][]consent.Record) {
	t.Helper()
	for key, copies := range r.copies {
		for _, c := range copies {
			if want := was[key][c.Revision.Index]; !slices.Equal(c.Record, want) {
				t.Errorf("a copy at %d is %x, and the record was %x", c.Revision.Index, c.Record, want)
			}
		}
		from := uint64(1)
		for _, b := range r.batches {
			told := slices.Contains(b.Subjects, consent.Touched{Tenant: 1, Bucket: key.Bucket()})
			if changed := !slices.Equal(was[key][from], was[key][b.To.Index]); changed != told {
				t.Errorf("from %d to %d the record changed: %t, and that was told: %t", from, b.To.Index, changed, told)
			}
			from = b.To.Index
		}
	}
}

// TestRememberingAllocatesNothing: it is part of every Apply.
func TestRememberingAllocatesNothing(t *testing.T) {
	c := newChanges(1 << 10)
	head := &consent.Head{}
	c.begin(head)
	entry := func() {
		for i := range uint64(100) {
			c.note(head.Revision.Index, 1, nthKey(i))
		}
		c.publish(head, nil)
	}
	entry()
	if got := testing.AllocsPerRun(100, entry); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

// BenchmarkChanges is what an entry of 100 subjects costs to remember, and a reader to be told of.
func BenchmarkChanges(b *testing.B) {
	c := newChanges(defaultChanges)
	c.begin(&consent.Head{Revision: consent.Revision{Epoch: 5}})
	space := make([]consent.Touched, 0, 128)
	heads := make([]consent.Head, 1<<16)
	next := uint64(0)
	apply := func() *consent.Head {
		next++
		head := &heads[next%uint64(len(heads))]
		head.Revision = consent.Revision{Epoch: 5, Index: next}
		for i := range uint64(100) {
			c.note(next, 1, Key{i << 50})
		}
		c.publish(head, nil)
		return head
	}
	b.Run("remember", func(b *testing.B) {
		for b.Loop() {
			apply()
		}
	})
	b.Run("remember and tell", func(b *testing.B) {
		for b.Loop() {
			at := apply().Revision
			at.Index--
			if _, err := c.since(at, 8192, space); err != nil {
				b.Fatal(err)
			}
		}
	})
}
