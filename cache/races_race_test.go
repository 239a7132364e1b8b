//go:build race

package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dgraph-io/ristretto/v2"

	"github.com/consentd/consentd/consent"
)

// world is what the replicated state is at each position, and how far the replicas are with it. One subject's record is the position of its
// last change, so that a record says what it is of.
type world struct {
	epoch     uint64
	begin     uint64
	committed atomic.Uint64 // what the replica that is asked has come to, at most
	changes   []uint64      // positions at which the subject's record changes
	policies  []uint64      // positions at which the tenant gets another policy
	restored  atomic.Bool   // and everything is of the next epoch
}

const (
	watched, other = 3, 4 // buckets: the subject's, and another's
	gap            = 12   // a schedule's positions lie within so many
)

func (w *world) record(position uint64) consent.Record {
	at := w.begin
	for _, change := range w.changes {
		if change <= position {
			at = change
		}
	}
	return consent.Record{at}
}

func (w *world) tenant(position uint64) *consent.Tenant {
	t := shop(w.epoch)
	t.Policy = &consent.Policy{Version: 1}
	for _, put := range w.policies {
		if put <= position {
			t.Policy = &consent.Policy{Version: int64(put)}
		}
	}
	return t
}

// fill answers as a replica does that may be behind, or ahead of the publisher: which position it has come to is part of the schedule.
func (w *world) fill(s *schedule, want Want) (Filled, error) {
	s.pause("asked")
	from, to := want.AtLeast.Index, w.committed.Load()
	if w.restored.Load() {
		return Filled{Revision: consent.Revision{Epoch: w.epoch + 1, Index: to}, Bucket: watched, Record: consent.Record{0}}, nil
	}
	position := from
	if to > from {
		position = from + uint64(s.pick(int(to-from)+1))
	}
	f := Filled{consent.Revision{Epoch: w.epoch, Index: position}, watched, w.record(position)}
	s.pause("record read")
	return f, nil
}

// nearby is what the test demands of a cache. Its answer names the position that it stands at.
type nearby interface {
	begin(w *world, s *schedule)
	advance(w *world, position uint64)
	reset(w *world, position uint64)
	restore(w *world)
	look(w *world, subject string) (position uint64, policy int64, r consent.Record, err error)
}

// races are what happens while readers ask. Each begins at position 10 of the world, and knows nothing of the subject or its first record.
var races = []struct {
	name     string
	changes  []uint64
	policies []uint64
	held     bool // the subject's record is held from the start
	readers  int
	publish  func(n nearby, w *world, s *schedule)
}{
	{"a change meets a fill", []uint64{1}, nil, false, 1, func(n nearby, w *world, s *schedule) { step(n, w, s, 1, 2) }},
	{"a change meets a hit", []uint64{1}, nil, true, 1, func(n nearby, w *world, s *schedule) { step(n, w, s, 1, 2) }},
	{"two changes", []uint64{1, 2}, nil, true, 1, func(n nearby, w *world, s *schedule) { step(n, w, s, 1, 2) }},
	{"the replica that is asked is ahead", []uint64{2}, nil, false, 1, func(n nearby, w *world, s *schedule) {
		w.committed.Add(2)
		s.pause("committed")
		n.advance(w, w.begin+1)
		n.advance(w, w.begin+2)
	}},
	{"a gap in the stream", []uint64{1, 3}, nil, true, 1, func(n nearby, w *world, s *schedule) {
		w.committed.Add(2)
		s.pause("committed")
		n.reset(w, w.begin+2)
		step(n, w, s, 3)
	}},
	{"a policy changes", []uint64{2}, []uint64{1}, true, 1, func(n nearby, w *world, s *schedule) { step(n, w, s, 1, 2) }},
	{"a backup is restored", []uint64{1}, nil, true, 1, func(n nearby, w *world, s *schedule) {
		step(n, w, s, 1)
		w.restored.Store(true)
		s.pause("restored")
		n.restore(w)
	}},
	{"two readers", []uint64{1}, nil, false, 2, func(n nearby, w *world, s *schedule) { step(n, w, s, 1) }},
}

// step commits positions one after the other, and publishes each.
func step(n nearby, w *world, s *schedule, positions ...uint64) {
	for _, p := range positions {
		w.committed.Store(w.begin + p)
		s.pause("committed")
		n.advance(w, w.begin+p)
	}
}

// Whatever the order of the steps of reader, publisher and replica: an answer is exactly what the state is at the position that it names.
func TestNoRaceIsLost(t *testing.T) {
	for _, eager := range []bool{false, true} {
		if tried := racesLost(t, func(t *testing.T) nearby { return newCareful(t, eager) }); tried.wrong > 0 {
			t.Errorf("all through the front: %t: %d of %d orders give a wrong answer; the first: %s", eager, tried.wrong, tried.orders, tried.first)
		}
	}
}

// The usual way to use a cache loses these races, or the test above would say nothing: set what was read, and delete or set what changed.
func TestUsualWayLosesRaces(t *testing.T) {
	for _, set := range []bool{false, true} {
		tried := racesLost(t, func(t *testing.T) nearby { return newNaive(t, set) })
		t.Logf("setting what changed: %t: %d of %d orders give a wrong answer; the first: %s", set, tried.wrong, tried.orders, tried.first)
		if tried.wrong == 0 {
			t.Errorf("setting what changed: %t: all of %d orders give right answers", set, tried.orders)
		}
	}
}

type trial struct {
	orders, wrong int
	first         string
}

// orders is how many orders of the steps of each race are tried. They are drawn, and the same ones every time.
const orders = 250

func racesLost(t *testing.T, make func(*testing.T) nearby) (all trial) {
	for _, race := range races {
		synctest.Test(t, func(t *testing.T) {
			n := make(t)
			var tried trial
			for ; tried.orders < orders; tried.orders++ {
				s := newSchedule(tried.orders)
				w := &world{epoch: 100 + 2*uint64(tried.orders), begin: 10 + gap*uint64(tried.orders)}
				w.committed.Store(w.begin)
				for _, c := range race.changes {
					w.changes = append(w.changes, w.begin+c)
				}
				for _, p := range race.policies {
					w.policies = append(w.policies, w.begin+p)
				}
				if wrong := lost(t, n, w, s, race.held, race.readers, func() { race.publish(n, w, s) }); wrong != "" {
					tried.wrong++
					if tried.first == "" {
						tried.first = fmt.Sprintf("%s, order %d: %s", race.name, tried.orders, wrong)
					}
				}
			}
			t.Logf("%s: %d orders, %d wrong", race.name, tried.orders, tried.wrong)
			all.orders += tried.orders
			all.wrong += tried.wrong
			if all.first == "" {
				all.first = tried.first
			}
		})
	}
	return all
}

// lost runs one order and says what was wrong, or nothing.
func lost(t *testing.T, n nearby, w *world, s *schedule, held bool, readers int, publish func()) (wrong string) {
	subject := fmt.Sprint("subject-", w.epoch)
	n.begin(w, s)
	if held {
		_, _, _, _ = n.look(w, subject)
	}
	ask := func() {
		position, policy, r, err := n.look(w, subject)
		switch {
		case err != nil && w.restored.Load() && errors.Is(err, consent.ErrNotReady):
		case err != nil:
			wrong = err.Error()
		case !slices.Equal(r, w.record(position)):
			wrong = fmt.Sprintf("answered %v at %d, want %v", r, position, w.record(position))
		case policy != w.tenant(position).Policy.Version:
			wrong = fmt.Sprintf("answered by policy %d at %d, want %d", policy, position, w.tenant(position).Policy.Version)
		}
	}
	scripts := map[string]func(){"publisher": publish, "reader": ask}
	if readers > 1 {
		scripts["reader 2"] = ask
	}
	if s.run(t, scripts) && wrong == "" {
		ask() // what is left behind mustn't be wrong either
	}
	return wrong
}

// careful is the cache of this package.
type careful struct {
	c *Cache
	s *schedule
	w *world
}

func newCareful(t *testing.T, eager bool) nearby {
	n := &careful{}
	c, err := newCache(Options{MaxBytes: MinBytes, Fill: func(_ context.Context, want Want) (Filled, error) {
		return n.w.fill(n.s, want)
	}}, 16)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	c.front.eager = eager
	n.c = c
	c.pauses.stop = func(step string) {
		if step == "kept" {
			c.shelf.Wait()
		}
		n.s.pause(step)
	}
	return n
}

func (n *careful) begin(w *world, s *schedule) {
	n.w, n.s = w, s
	n.c.Reset(consent.Revision{Epoch: w.epoch, Index: w.begin}, tenants(w.tenant(w.begin)))
	n.c.Prove(time.Now(), time.Hour)
}

func (n *careful) advance(w *world, position uint64) {
	buckets := []uint32{other}
	if slices.Contains(w.changes, position) {
		buckets = []uint32{watched, other}
	}
	var changed []*consent.Tenant
	if slices.Contains(w.policies, position) {
		changed = append(changed, w.tenant(position))
	}
	n.c.Advance(position, buckets, changed)
}

func (n *careful) reset(w *world, position uint64) {
	n.c.Reset(consent.Revision{Epoch: w.epoch, Index: position}, tenants(w.tenant(position)))
}

func (n *careful) restore(w *world) {
	next := &world{epoch: w.epoch + 1, begin: w.begin}
	n.c.Reset(consent.Revision{Epoch: next.epoch, Index: w.begin + 1}, tenants(next.tenant(w.begin)))
}

func (n *careful) look(w *world, subject string) (position uint64, policy int64, r consent.Record, err error) {
	v := n.c.View()
	if v.Head == nil || v.Revision.Epoch != w.epoch {
		return 0, 0, nil, consent.ErrNotReady
	}
	v, r, err = n.c.Look(context.Background(), v.Tenants["shop"], subject)
	if err != nil {
		return 0, 0, nil, err
	}
	return v.Revision.Index, v.Tenants["shop"].Policy.Version, r, nil
}

// naive is the usual way: what was read is set, and what changed is deleted, or set to what it is now.
type naive struct {
	c      *ristretto.Cache[string, consent.Record]
	set    bool
	s      *schedule
	moment atomic.Pointer[consent.View]
}

func newNaive(t *testing.T, set bool) nearby {
	c, err := ristretto.NewCache(&ristretto.Config[string, consent.Record]{NumCounters: 1000, MaxCost: 1 << 20, BufferItems: 64})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &naive{c: c, set: set}
}

func (n *naive) publish(epoch, position uint64, t *consent.Tenant) {
	n.moment.Store(&consent.View{Head: &consent.Head{Revision: consent.Revision{Epoch: epoch, Index: position}, Tenants: tenants(t)}})
	n.s.pause("published")
}

func (n *naive) begin(w *world, s *schedule) {
	n.s = s
	n.publish(w.epoch, w.begin, w.tenant(w.begin))
}

func (n *naive) advance(w *world, position uint64) {
	if subject := fmt.Sprint("subject-", w.epoch); slices.Contains(w.changes, position) {
		if n.set {
			n.c.Set(subject, w.record(position), 1)
		} else {
			n.c.Del(subject)
		}
		n.c.Wait()
		n.s.pause("changed")
	}
	n.publish(w.epoch, position, w.tenant(position))
}

func (n *naive) reset(w *world, position uint64) {
	n.c.Del(fmt.Sprint("subject-", w.epoch))
	n.c.Wait()
	n.publish(w.epoch, position, w.tenant(position))
}

func (n *naive) restore(w *world) {
	n.c.Del(fmt.Sprint("subject-", w.epoch))
	n.publish(w.epoch+1, w.begin+1, w.tenant(w.begin))
}

func (n *naive) look(w *world, subject string) (position uint64, policy int64, r consent.Record, err error) {
	v := n.moment.Load()
	if v.Revision.Epoch != w.epoch {
		return 0, 0, nil, consent.ErrNotReady
	}
	n.s.pause("moment loaded")
	r, found := n.c.Get(subject)
	n.s.pause("entry loaded")
	if !found {
		f, _ := w.fill(n.s, Want{AtLeast: v.Revision})
		if r = f.Record; f.Revision.Epoch != w.epoch {
			return 0, 0, nil, consent.ErrNotReady
		}
		n.c.Set(subject, r, 1)
		n.c.Wait()
		n.s.pause("kept")
	}
	// An answer of a later state is let pass: only what is older than published counts against this cache.
	for p := v.Revision.Index; p <= w.committed.Load(); p++ {
		if slices.Equal(r, w.record(p)) {
			return p, w.tenant(p).Policy.Version, r, nil
		}
	}
	return v.Revision.Index, v.Tenants["shop"].Policy.Version, r, nil
}
