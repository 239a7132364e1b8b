package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
)

// believing is a log that believes nothing.
type believing struct{ *raft.InmemStore }

func (believing) believe(uint64) {}

// TestTailBehindASnapshot has a leader be cut off, append what nobody else gets, and take a snapshot. Its log holds nothing then but what is
// replaced elsewhere. It has to come back, whether it is sent entries or a snapshot, which may end before its own log does, with it, or behind.
func TestTailBehindASnapshot(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		tail  int  // entries that nobody else gets
		taken bool // a snapshot, by who leads then
	}{
		{"sent entries", 3, false},
		{"sent a snapshot that ends before", 6, true},
		{"sent a snapshot that ends there", 2, true},
		{"sent a snapshot that ends behind", 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 3, 0, func(o *Options) {
				o.tuning.trailingLogs, o.tuning.snapshotInterval = 1, time.Hour
				o.tuning.election = 400 * time.Millisecond // so that who is cut off leads until it has the tail
			})
			left := c.leader()
			mustWrite(t, c.node(left), grant(t, "before"))
			c.waitEqual()
			c.isolate(left)
			n := c.node(left)
			last, err := n.logs.LastIndex()
			if err != nil {
				t.Fatal(err)
			}
			for range tt.tail {
				n.raft.Apply(nil, 0) // which no replica could apply
			}
			waitFor(t, "entries that nobody gets", func() bool {
				now, err := n.logs.LastIndex()
				return err != nil || now == last+uint64(tt.tail)
			})
			takeSnapshot(t, n)
			next := c.otherLeader(left)
			if tt.taken {
				takeSnapshot(t, c.node(next))
			}
			c.heal()
			c.waitReady(c.ids...)
			for range 3 { // the first may come with a snapshot
				mustWrite(t, c.node(next), grant(t, "after"))
				c.waitEqual()
			}
			c.stop(left)
			c.start(left)
			c.waitReady(c.ids...)
			c.waitEqual()
		})
	}
}

// TestForgetTail: another leader may be in office by the time a snapshot is installed, and Raft does nothing for the one before. So it is made to
// forget the tail for whoever sends entries, once.
func TestForgetTail(t *testing.T) {
	l, transport, _ := lateSnapshotsOf(t) // a log from 5 to 10
	request := func(command any) <-chan raft.RPCResponse {
		answers := make(chan raft.RPCResponse, 1)
		transport.consumer <- raft.RPC{Command: command, Reader: strings.NewReader(""), RespChan: answers}
		return answers
	}
	forgotten := func(id string, term uint64, success bool) {
		t.Helper()
		passed := <-l.Consumer()
		got, is := passed.Command.(*raft.AppendEntriesRequest)
		if !is || string(got.ID) != id || got.Term != term || len(got.Entries) != 1 || got.Entries[0].Index != 8 || got.Entries[0].Term != 3 {
			t.Fatalf("Raft was given %+v", passed.Command)
		}
		passed.Respond(&raft.AppendEntriesResponse{Success: success}, nil)
	}
	entries := func(id string, term uint64) *raft.AppendEntriesRequest {
		return &raft.AppendEntriesRequest{RPCHeader: raft.RPCHeader{ID: []byte(id)}, Term: term, PrevLogEntry: 8, PrevLogTerm: 3}
	}
	install := func(success bool) {
		t.Helper()
		answers := request(&raft.InstallSnapshotRequest{RPCHeader: raft.RPCHeader{ID: []byte("b")}, Term: 4, LastLogIndex: 8, LastLogTerm: 3})
		passed := <-l.Consumer()
		passed.Respond(&raft.InstallSnapshotResponse{Success: success}, nil)
		if success {
			forgotten("b", 4, false)
		}
		<-answers
	}
	ordinary := func(id string, term uint64) {
		t.Helper()
		answers := request(entries(id, term))
		passed := <-l.Consumer()
		if got, is := passed.Command.(*raft.AppendEntriesRequest); !is || string(got.ID) != id || len(got.Entries) != 0 {
			t.Fatalf("Raft was given %+v", passed.Command)
		}
		passed.Respond(&raft.AppendEntriesResponse{}, nil)
		<-answers
	}
	install(false)
	ordinary("b", 4) // nothing was installed, so there is nothing to forget
	install(true)
	answers := request(entries("c", 5))
	forgotten("c", 5, true)
	passed := <-l.Consumer()
	passed.Respond(&raft.AppendEntriesResponse{}, nil)
	<-answers
	ordinary("c", 5)
}

func TestFittingRequests(t *testing.T) {
	l, _, _ := lateSnapshotsOf(t) // a log from 5 to 10, and a snapshot at 6 of term 2
	three := []*raft.Log{{}, {}, {}}
	for _, tt := range []struct{ given, want raft.AppendEntriesRequest }{
		{raft.AppendEntriesRequest{}, raft.AppendEntriesRequest{}},
		{
			raft.AppendEntriesRequest{PrevLogEntry: 10, PrevLogTerm: 2, Entries: three, LeaderCommitIndex: 13},
			raft.AppendEntriesRequest{PrevLogEntry: 10, PrevLogTerm: 2, Entries: three, LeaderCommitIndex: 13},
		},
		{
			raft.AppendEntriesRequest{PrevLogEntry: 7, PrevLogTerm: 2, Entries: three, LeaderCommitIndex: 11},
			raft.AppendEntriesRequest{PrevLogEntry: 7, PrevLogTerm: 2, Entries: three, LeaderCommitIndex: 10},
		},
		{
			raft.AppendEntriesRequest{PrevLogEntry: 6, PrevLogTerm: 2, Entries: three, LeaderCommitIndex: 11},
			raft.AppendEntriesRequest{Entries: three, LeaderCommitIndex: 9},
		},
		{
			raft.AppendEntriesRequest{PrevLogEntry: 6, PrevLogTerm: 3, Entries: three},
			raft.AppendEntriesRequest{PrevLogEntry: 6, PrevLogTerm: 3, Entries: three},
		},
	} {
		given := tt.given
		if diff := cmp.Diff(&tt.want, l.fitting(&given)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", fmt.Sprint(tt.given.PrevLogEntry), diff)
		}
		if diff := cmp.Diff(tt.given, given); diff != "" {
			t.Errorf("the request itself was changed (-want +got):\n%s", diff)
		}
	}
}
