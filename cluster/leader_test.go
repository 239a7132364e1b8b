package cluster

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/consentd/consentd/store"
	"github.com/hashicorp/raft"
)

// testLeader runs a leader whose term starts the test answers.
func testLeader(t *testing.T) (*leader, <-chan *flight, *atomic.Pointer[Peer]) {
	t.Helper()
	l, starts, there := newLeader(), make(chan *flight, 10), &atomic.Pointer[Peer]{}
	there.Store(&Peer{})
	l.notices = make(chan bool)
	l.elsewhere = func() Peer { return *there.Load() }
	l.term = func() (uint64, error) { return 7, nil }
	l.apply = func(entry []byte) raft.ApplyFuture {
		f := newFlight(entry)
		starts <- f
		return f
	}
	l.clock, l.began, l.report = testStamper(time.Now), func() {}, func(err error) { t.Error(err) }
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() { l.run(stop); close(ended) }()
	t.Cleanup(func() { close(stop); <-ended })
	return l, starts, there
}

func begin(f *flight) { f.answer([]store.Result{{}}, nil) }

// Raft gives no second notice when a leadership transfer fails that was asked for before the term had begun.
func TestTermStartIsTriedAgainAfterAFailedTransfer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, starts, _ := testLeader(t)
		l.notices <- true
		for range 3 {
			(<-starts).answer(nil, raft.ErrLeadershipTransferInProgress)
			synctest.Wait()
			if !l.reign.Load().vacant() {
				t.Fatal("leads without having begun its term")
			}
		}
		begin(<-starts)
		synctest.Wait()
		if lead := l.reign.Load().here; lead == nil || lead.term != 7 {
			t.Errorf("leadership %+v, want term 7", lead)
		}
	})
}

// A term start that was overtaken by a newer notice begins nothing: leadership was lost meanwhile, or won in a later term.
func TestOvertakenTermStartBeginsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, starts, _ := testLeader(t)
		l.notices <- true
		first := <-starts
		l.notices <- false
		begin(first)
		synctest.Wait()
		if !l.reign.Load().vacant() {
			t.Error("leads after it was told that it doesn't")
		}
		l.notices <- true
		first = <-starts
		l.notices <- false
		l.notices <- true
		second := <-starts
		begin(first)
		synctest.Wait()
		if !l.reign.Load().vacant() {
			t.Error("leads by the start of an earlier leadership")
		}
		begin(second)
		synctest.Wait()
		if l.reign.Load().here == nil {
			t.Error("doesn't lead")
		}
	})
}

// Reigns follow each other, and what is asked in one ends with it. Another leader is believed before the notice of the own loss.
func TestReigns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, starts, there := testLeader(t)
		hear := func(p Peer) {
			there.Store(&p)
			l.heard <- raft.Observation{}
			synctest.Wait()
		}
		asked, cancel := l.reign.Load().during(t.Context())
		defer cancel()
		l.notices <- true
		begin(<-starts)
		synctest.Wait()
		if asked.Err() == nil {
			t.Error("what was asked while nobody led goes on")
		}
		own := l.reign.Load()
		hear(Peer{ID: "n2", Address: "a"})
		if r := l.reign.Load(); r.here != nil || r.there.ID != "n2" {
			t.Errorf("reign %+v, want n2's", r)
		}
		if own.ended.Err() == nil {
			t.Error("the own reign goes on")
		}
		hear(Peer{})
		if !l.reign.Load().vacant() {
			t.Error("the own leadership is back without a notice")
		}
		hear(Peer{ID: "n2", Address: "a"})
		same := l.reign.Load()
		hear(Peer{ID: "n2", Address: "a"})
		if l.reign.Load() != same || same.ended.Err() != nil {
			t.Error("the reign of the same leader ended")
		}
	})
}

// TestWhoLeadsIsLogged follows three reigns: each is news, and the end of the node isn't.
func TestWhoLeadsIsLogged(t *testing.T) {
	var book logBook
	l := newLeader()
	l.log, l.began = book.logger(), func() {}
	last := newReign(nil, Peer{})
	last.last = true
	for _, next := range []*reign{newReign(&leadership{term: 3}, Peer{}), newReign(nil, Peer{}), newReign(nil, Peer{ID: "n2"}), last} {
		l.proclaim(next)
	}
	lines := book.lines("level=INFO")
	for i, want := range []string{"this replica leads", "nobody leads", "another replica leads"} {
		if len(lines) != 3 || !strings.Contains(lines[i], want) {
			t.Errorf("%q, want %q in line %d of 3", lines, want, i+1)
		}
	}
}
