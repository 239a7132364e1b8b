package cluster

import (
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// TestComeback cuts a follower off for so long that Raft would wait for ten seconds until it tries again.
func TestComeback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := openMemRafts(t, 3, defaultCommit)
		defer m.close()
		leader, others := m.leader()
		m.apply(leader, "before")
		away := others[0]
		m.apart(true, away, leader, others[1])
		m.apply(leader, "meanwhile")
		time.Sleep(time.Minute)
		m.apart(false, away, leader, others[1])
		time.Sleep(memPatience + time.Second) // a heartbeat may have been lost just before
		if got := away.entries(); !slices.Contains(got, "meanwhile") {
			t.Errorf("a follower that came back has only %q", got)
		}
		if leader.comeback.away(away.id) {
			t.Error("the leader goes on waiting for it")
		}
		if leader.State() != raft.Leader {
			t.Error("the leader was deposed")
		}
	})
}

// TestComebackOfTheLeader cuts a leader off until another leads.
func TestComebackOfTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := openMemRafts(t, 3, defaultCommit)
		defer m.close()
		old, others := m.leader()
		m.apply(old, "before")
		m.apart(true, old, others...)
		lost := old.Apply([]byte("lost"), 0)
		leader, _ := m.leader(others[0].id, others[1].id)
		m.apply(leader, "after")
		time.Sleep(time.Minute)
		if lost.Error() == nil {
			t.Error("an entry was committed by a leader without followers")
		}
		m.apart(false, old, others...)
		time.Sleep(memPatience + time.Second)
		if got := old.entries(); !slices.Equal(got, []string{"before", "after"}) {
			t.Errorf("the old leader has applied %q", got)
		}
	})
}

// TestAwaitEnds has whoever waits for a follower let go as soon as waiting is of no use.
func TestAwaitEnds(t *testing.T) {
	for name, end := range map[string]func(m *memRafts, leader, away *memRaft){
		"the member is removed": func(_ *memRafts, leader, away *memRaft) {
			if err := leader.RemoveServer(raft.ServerID(away.id), 0, 0).Error(); err != nil {
				t.Error(err)
			}
		},
		"the member moves": func(_ *memRafts, leader, away *memRaft) {
			if err := leader.AddVoter(raft.ServerID(away.id), "elsewhere", 0, 0).Error(); err != nil {
				t.Error(err)
			}
		},
		"leadership is lost": func(m *memRafts, leader, _ *memRaft) {
			for _, other := range m.all {
				if other != leader {
					m.apart(true, leader, other)
				}
			}
			time.Sleep(2 * defaultElection)
		},
		"a newer term":     func(_ *memRafts, leader, _ *memRaft) { leader.comeback.sending(100) },
		"Raft shuts down":  func(_ *memRafts, leader, _ *memRaft) { leader.Shutdown() },
		"a heartbeat back": func(_ *memRafts, leader, away *memRaft) { leader.comeback.heard(raft.ServerID(away.id)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := openMemRafts(t, 3, defaultCommit)
				defer m.close()
				leader, others := m.leader()
				away := others[0]
				m.apart(true, away, leader, others[1])
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					leader.comeback.await(raft.ServerID(away.id), raft.ServerAddress(away.id), leader.CurrentTerm())
				}()
				time.Sleep(time.Minute)
				select {
				case <-ended:
					t.Fatal("it didn't wait")
				default:
				}
				if !leader.comeback.away(away.id) {
					t.Error("nobody seems to be away")
				}
				end(m, leader, away)
				time.Sleep(comebackLook)
				synctest.Wait()
				select {
				case <-ended:
				default:
					t.Error("it goes on waiting")
				}
			})
		})
	}
}

// closingStream is a stream that notes when it is closed.
type closingStream struct {
	io.Reader
	closed chan struct{}
}

func (s *closingStream) Close() error { close(s.closed); return nil }

// TestComebackClosesTheSnapshot: a snapshot whose receiver is gone takes no space while the receiver is waited for.
func TestComebackClosesTheSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := openMemRafts(t, 3, defaultCommit)
		defer m.close()
		leader, others := m.leader()
		away := others[0]
		m.apart(true, away, leader, others[1])
		stream, ended := &closingStream{strings.NewReader(""), make(chan struct{})}, make(chan error, 1)
		go func() {
			ended <- leader.comeback.InstallSnapshot(raft.ServerID(away.id), raft.ServerAddress(away.id),
				&raft.InstallSnapshotRequest{Term: leader.CurrentTerm()}, new(raft.InstallSnapshotResponse), stream)
		}()
		<-stream.closed
		time.Sleep(time.Minute)
		select {
		case err := <-ended:
			t.Fatalf("it didn't wait: %v", err)
		default:
		}
		leader.comeback.heard(raft.ServerID(away.id))
		if err := <-ended; err == nil {
			t.Error("no error for a snapshot that never arrived")
		}
	})
}
