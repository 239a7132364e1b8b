package cluster

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// silent is a CommitTimeout after which no test goes on: who hears of a commit before has it from a herald, or with the next entries.
const silent = time.Hour

// TestHeraldTells has followers apply an entry as soon as the leader has, and be sent no more than that takes.
func TestHeraldTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := openMemRafts(t, 3, silent)
		defer m.close()
		leader, others := m.leader()
		for i := range 10 {
			time.Sleep(time.Second)
			began := time.Now()
			m.apply(leader, fmt.Sprint(i))
			synctest.Wait()
			for _, r := range others {
				if got := r.entries(); len(got) != i+1 {
					t.Errorf("%s has applied %q", r.id, got)
				}
			}
			if sent := m.since(leader, began); len(sent) > 4 {
				t.Errorf("%d requests for an entry and two followers, want one with it and at most one about its commit to each", len(sent))
			}
		}
	})
}

// TestHeraldOfManyEntries has a leader with entries still to be committed leave it to these to tell of those before.
func TestHeraldOfManyEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := openMemRafts(t, 3, silent)
		defer m.close()
		leader, others := m.leader()
		began := time.Now()
		const entries = 1000
		var last raft.ApplyFuture
		for i := range entries {
			last = leader.Apply(fmt.Append(nil, i), 0)
		}
		if err := last.Error(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, r := range others {
			if got := r.entries(); len(got) != entries {
				t.Errorf("%s has applied %d of %d entries", r.id, len(got), entries)
			}
		}
		with, without := 0, 0
		for _, sent := range m.since(leader, began) {
			if len(sent.request.Entries) > 0 {
				with++
			} else {
				without++
			}
		}
		if without > with {
			t.Errorf("%d messages about commits beside %d with entries", without, with)
		}
	})
}

// TestHeraldIsHeldUp has one follower answer nothing, and the other hear of everything all the same. The one that is back hears of the newest.
func TestHeraldIsHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := openMemRafts(t, 3, silent)
		defer m.close()
		leader, others := m.leader()
		away, near := others[0], others[1]
		m.apply(leader, "before")
		time.Sleep(time.Second)
		m.apart(true, away, leader, near)
		began := time.Now()
		for i := range 100 {
			m.apply(leader, fmt.Sprint(i))
			synctest.Wait()
			if got := near.entries(); len(got) != i+2 {
				t.Errorf("the follower that is there has applied %q", got)
			}
		}
		time.Sleep(time.Minute)
		toAway := 0
		for _, s := range m.since(leader, began) {
			if s.to == away.id {
				toAway++
			}
		}
		if toAway > 1 {
			t.Errorf("%d requests to a follower that is away, want one that waits for it", toAway)
		}
		m.apart(false, away, leader, near)
		time.Sleep(2 * time.Second)
		m.apply(leader, "after")
		time.Sleep(time.Second)
		if got := away.entries(); len(got) != 102 {
			t.Errorf("the follower that is back has applied %d entries: %q", len(got), got)
		}
	})
}

// TestHeraldEndsWithItsTerm has a leader propose an entry that only its successor commits. It applies that too, but isn't the one to tell.
func TestHeraldEndsWithItsTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := openMemRafts(t, 3, silent)
		defer m.close()
		old, others := m.leader()
		m.apply(old, "before")
		synctest.Wait()
		m.deafen(true, old, others...)
		outcome := old.Apply([]byte("bequeathed"), 0)
		time.Sleep(memPatience)
		m.apart(true, old, others...)
		leader, _ := m.leader(others[0].id, others[1].id)
		m.apply(leader, "after")
		if err := outcome.Error(); err == nil {
			t.Fatal("the old leader has committed it itself")
		}
		m.deafen(false, old, others...)
		began := time.Now()
		m.apart(false, old, others...)
		time.Sleep(2 * time.Second)
		m.apply(leader, "at last")
		time.Sleep(5 * time.Second)
		want := []string{"before", "bequeathed", "after", "at last"}
		for _, r := range m.all {
			if got := r.entries(); !slices.Equal(got, want) {
				t.Errorf("%s has applied %q, want %q", r.id, got, want)
			}
		}
		for _, s := range m.since(old, began) {
			if s.request.Term < leader.CurrentTerm() && len(s.request.Entries) == 0 && s.request.PrevLogEntry == s.request.LeaderCommitIndex {
				t.Errorf("who leads no more tells of a commit: %+v", s.request)
			}
		}
	})
}

// TestHeraldKeepsSilent tells a herald of entries of which it has nothing to tell, or nobody to tell it as a leader.
func TestHeraldKeepsSilent(t *testing.T) {
	for name, c := range map[string]struct {
		older, before uint64 // by how much the term is older, and the index before the last one
		end           func(m *memRafts, leader *memRaft)
		want          int // messages to each follower
	}{
		"the last entry":            {want: 1},
		"an entry of an older term": {older: 1},
		"one with others behind it": {before: 1},
		"lost leadership": {end: func(m *memRafts, leader *memRaft) {
			for _, other := range m.all {
				if other != leader {
					m.apart(true, leader, other)
				}
			}
			time.Sleep(2 * defaultElection)
		}},
		"closed": {end: func(_ *memRafts, leader *memRaft) {
			if err := leader.herald.Close(); err != nil {
				t.Error(err)
			}
		}},
		"already on its way": {want: 1, end: func(m *memRafts, leader *memRaft) { // and the follower doesn't answer
			for _, other := range m.all {
				if other != leader {
					m.apart(true, leader, other)
				}
			}
			leader.forget()
			leader.herald.committed(&raft.Log{Index: leader.LastIndex(), Term: leader.CurrentTerm()})
			synctest.Wait()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := openMemRafts(t, 3, silent)
				defer m.close()
				leader, others := m.leader()
				m.apply(leader, "an entry")
				time.Sleep(time.Second)
				entry, began := raft.Log{Index: leader.LastIndex() - c.before, Term: leader.CurrentTerm() - c.older}, time.Now()
				if c.end != nil {
					c.end(m, leader)
				}
				leader.forget()
				leader.herald.committed(&entry)
				synctest.Wait()
				if sent := m.since(leader, began); len(sent) != c.want*len(others) {
					t.Errorf("%d messages, want %d to each of %d followers: %+v", len(sent), c.want, len(others), sent)
				}
			})
		})
	}
}

// forget has the herald think that it has told nothing.
func (r *memRaft) forget() {
	r.herald.mu.Lock()
	defer r.herald.mu.Unlock()
	for _, f := range r.herald.audience.hearers {
		f.told = 0
	}
}

// follower is one Raft of three that elects nobody, because a test leads it.
type follower struct {
	*memRaft
	t *testing.T
	m *memRafts
}

func openFollower(t *testing.T) *follower {
	t.Helper()
	m := openMemRafts(t, 3, silent)
	for _, id := range []string{"n2", "n3"} {
		if err := m.all[id].Shutdown().Error(); err != nil {
			t.Fatal(err)
		}
		m.apart(true, m.all["n1"], m.all[id])
	}
	return &follower{m.all["n1"], t, m}
}

// from returns the head of all requests of a leader.
func from(id string, term uint64) raft.AppendEntriesRequest {
	header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(id), Addr: []byte(id)}
	return raft.AppendEntriesRequest{RPCHeader: header, Term: term}
}

// take returns the follower's answer to a request.
func (f *follower) take(request raft.AppendEntriesRequest) *raft.AppendEntriesResponse {
	f.t.Helper()
	_, other := raft.NewInmemTransport("test")
	other.Connect(raft.ServerAddress(f.id), f.herald.peerTransport.(*memTransport).InmemTransport)
	response := &raft.AppendEntriesResponse{}
	if err := other.AppendEntries(raft.ServerID(f.id), raft.ServerAddress(f.id), &request, response); err != nil {
		f.t.Fatal(err)
	}
	synctest.Wait()
	return response
}

// append has the follower append entries "INDEX/TERM" behind another one.
func (f *follower) append(leader raft.AppendEntriesRequest, index, term uint64, count int) {
	f.t.Helper()
	leader.PrevLogEntry, leader.PrevLogTerm = index, term
	for i := range uint64(count) {
		entry := &raft.Log{Index: index + 1 + i, Term: leader.Term, Type: raft.LogCommand}
		entry.Data = fmt.Appendf(nil, "%d/%d", entry.Index, entry.Term)
		leader.Entries = append(leader.Entries, entry)
	}
	if answer := f.take(leader); !answer.Success {
		f.t.Fatalf("entries behind %d/%d were refused: %+v", index, term, answer)
	}
}

// wantApplied makes sure that the follower has applied this and nothing else.
func (f *follower) wantApplied(when string, want ...string) {
	f.t.Helper()
	if got := f.entries(); !slices.Equal(got, want) {
		f.t.Errorf("%s the follower has applied %q, want %q", when, got, want)
	}
}

// TestTidings has a follower get the herald's messages as a network may bring them. Entry 1 is the configuration, of term 1.
func TestTidings(t *testing.T) {
	of := func(index, term uint64) raft.Log { return raft.Log{Index: index, Term: term} }
	for name, run := range map[string]func(*follower){
		"in order, and twice": func(f *follower) {
			second := from("n2", 2)
			f.append(second, 1, 1, 2)
			for range 2 {
				if !f.take(tidings(second, of(2, 2))).Success {
					f.t.Error("refused")
				}
				f.wantApplied("told of 2,", "2/2")
			}
		},
		"out of order": func(f *follower) {
			second := from("n2", 2)
			f.append(second, 1, 1, 3)
			f.take(tidings(second, of(4, 2)))
			f.take(tidings(second, of(3, 2)))
			f.wantApplied("told of 4 and then of 3,", "2/2", "3/2", "4/2")
		},
		"before the entry": func(f *follower) {
			second := from("n2", 2)
			f.append(second, 1, 1, 1)
			if f.take(tidings(second, of(3, 2))).Success {
				f.t.Error("a follower took note of an entry that it lacks")
			}
			f.wantApplied("told of 3 that it lacks,")
		},
		"where it has another entry": func(f *follower) {
			f.append(from("n2", 2), 1, 1, 2) // which nobody else has
			if f.take(tidings(from("n3", 3), of(3, 3))).Success {
				f.t.Error("a follower took note of another entry than its own")
			}
			f.wantApplied("told of 3 in another term,")
		},
		"after another leader": func(f *follower) {
			second, third := from("n2", 2), from("n3", 3)
			f.append(second, 1, 1, 3)
			f.append(third, 2, 2, 1) // in the place of 3 and 4
			if answer := f.take(tidings(second, of(3, 2))); answer.Success || answer.Term != 3 {
				f.t.Errorf("of a message of an older term it was said %+v", answer)
			}
			f.wantApplied("told of an entry that was taken back,")
			if _, id := f.LeaderWithID(); id != "n3" {
				f.t.Errorf("%s leads", id)
			}
			f.take(tidings(third, of(3, 3)))
			f.wantApplied("told of the one in its place,", "2/2", "3/3")
		},
		"and nothing behind it": func(f *follower) {
			f.append(from("n2", 2), 1, 1, 3) // of which only 2 is also the next leader's
			third := from("n3", 3)
			f.append(third, 2, 2, 0)
			f.take(tidings(third, of(2, 2)))
			f.wantApplied("told of 2 with others behind it,", "2/2")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := openFollower(t)
				defer f.m.close()
				run(f)
			})
		})
	}
}

// TestVisibleAtOnce has whole replicas see a write that only a herald can have told them of.
func TestVisibleAtOnce(t *testing.T) {
	const tries = 3 // a busy machine may lose a message, of which Raft tells later
	const commit = 10 * time.Second
	c := newCluster(t, 3, 1, func(o *Options) { o.tuning.commit = commit })
	leader := c.node(c.leader())
	visible := func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), commit/2)
		defer cancel()
		written := mustWrite(t, leader, grant(t, "anna"))
		for _, id := range c.followers() {
			if c.node(id).store.WaitApplied(ctx, written.Revision.Index) != nil {
				return false
			}
		}
		return true
	}
	for range tries {
		if visible() {
			return
		}
	}
	t.Errorf("none of %d writes was visible on all replicas within %s", tries, commit/2)
}
