package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// wiredRaft is Raft with everything in memory but its connections.
type wiredRaft struct {
	*raft.Raft
	fsm *raft.MockFSM
}

// openWiredRafts starts a cluster on wires, all of them voters.
func openWiredRafts(t *testing.T, wires map[string]*Wire) []wiredRaft {
	t.Helper()
	var servers []raft.Server
	for id, w := range wires {
		servers = append(servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(w.Address())})
	}
	var rafts []wiredRaft
	for _, server := range servers {
		rafts = append(rafts, openWiredRaft(t, wires[string(server.ID)], server.ID, servers))
	}
	return rafts
}

// wiredCommit is so long that a follower hears of a commit by a herald, and so short that a request that fails doesn't hold a test up.
const wiredCommit = 2 * time.Second

// openWiredRaft starts Raft on a wire. Without servers, it waits to be added to a cluster.
func openWiredRaft(t *testing.T, w *Wire, id raft.ServerID, servers []raft.Server) wiredRaft {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	config := raftConfig(Options{}.withDefaults(), string(id), nil)
	config.HeartbeatTimeout, config.ElectionTimeout, config.LeaderLeaseTimeout = time.Second/2, time.Second/2, time.Second/2
	config.Logger = newRaftLogger(log)
	config.BatchApplyCh = false
	config.CommitTimeout = wiredCommit
	config.TrailingLogs = 1
	var own ownRaft
	herald := newHerald(w.transport(log), &own)
	logs, fsm, transport := raft.NewInmemStore(), &raft.MockFSM{}, newComeback(herald, &own)
	snapshots := raft.NewInmemSnapshotStore()
	var err error
	if len(servers) > 0 {
		err = raft.BootstrapCluster(config, logs, logs, snapshots, transport, raft.Configuration{Servers: servers})
	}
	var r *raft.Raft
	if err == nil {
		r, err = raft.NewRaft(config, heralded{batching{fsm}, herald}, logs, logs, snapshots, transport)
	}
	if err != nil {
		t.Fatal(err)
	}
	own.Store(r)
	t.Cleanup(func() {
		if err := r.Shutdown().Error(); err != nil {
			t.Errorf("shutting Raft down: %v", err)
		}
	})
	return wiredRaft{r, fsm}
}

func leaderOf(t *testing.T, rafts []wiredRaft) *raft.Raft {
	t.Helper()
	var leader *raft.Raft
	waitFor(t, "a leader", func() bool {
		for _, r := range rafts {
			if r.State() == raft.Leader {
				leader = r.Raft
				return true
			}
		}
		return false
	})
	return leader
}

// TestRaftOverWires elects, replicates, and hands leadership over.
func TestRaftOverWires(t *testing.T) {
	for way, options := range eitherWay(t) {
		t.Run(way, func(t *testing.T) {
			wires := map[string]*Wire{}
			for _, id := range []string{"a", "b", "c"} {
				wires[id] = openWireAs(t, id, options(id))
			}
			rafts := openWiredRafts(t, wires)
			for i := range 100 {
				apply(t, rafts, i)
			}
			wantVisible(t, rafts)
			first := leaderOf(t, rafts)
			if err := first.LeadershipTransfer().Error(); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "the other leader", func() bool { return first.State() != raft.Leader && leaderOf(t, rafts) != first })
			apply(t, rafts, 100)
			for _, r := range rafts {
				waitFor(t, "all entries everywhere", func() bool { return distinct(r.fsm.Logs()) == 101 })
				if address, id := r.LeaderWithID(); string(address) != wires[string(id)].Address() {
					t.Errorf("the leader %s is said to be at %q, want %q", id, address, wires[string(id)].Address())
				}
			}
		})
	}
}

// apply has an entry applied, more than once if leadership changes meanwhile, as it may on a busy machine.
func apply(t *testing.T, rafts []wiredRaft, number int) {
	t.Helper()
	var err error
	for range 5 {
		if err = leaderOf(t, rafts).Apply(fmt.Appendf(nil, "entry %d", number), 0).Error(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// wantVisible makes sure that an entry is applied everywhere before Raft would tell of its commit.
func wantVisible(t *testing.T, rafts []wiredRaft) {
	t.Helper()
	const tries = 3 // a busy machine may take as long for one
	for range tries {
		began := time.Now()
		apply(t, rafts, 0)
		last := leaderOf(t, rafts).AppliedIndex()
		waitFor(t, "an entry everywhere", func() bool {
			return !slices.ContainsFunc(rafts, func(r wiredRaft) bool { return r.AppliedIndex() < last })
		})
		if time.Since(began) < wiredCommit {
			return
		}
	}
	t.Errorf("none of %d entries was applied everywhere within %s", tries, wiredCommit)
}

func distinct(entries [][]byte) int {
	seen := map[string]bool{}
	for _, entry := range entries {
		seen[string(entry)] = true
	}
	return len(seen)
}

// TestSnapshotOverWires brings a replica that comes late up by a snapshot.
func TestSnapshotOverWires(t *testing.T) {
	a, b := openWireAs(t, "a", WireOptions{}), openWireAs(t, "b", WireOptions{})
	first := openWiredRaft(t, a, "a", []raft.Server{{ID: "a", Address: raft.ServerAddress(a.Address())}})
	leader := leaderOf(t, []wiredRaft{first})
	for i := range 100 {
		if err := leader.Apply(fmt.Appendf(nil, "entry %d", i), 0).Error(); err != nil {
			t.Fatal(err)
		}
	}
	if err := leader.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	late := openWiredRaft(t, b, "b", nil)
	if err := leader.AddNonvoter("b", raft.ServerAddress(b.Address()), 0, 0).Error(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "all entries in the late one", func() bool { return len(late.fsm.Logs()) == 100 })
	waitFor(t, "the snapshot to be noted", func() bool { return late.Stats()["last_snapshot_index"] != "0" })
}

// TestLargeEntriesOverWires has a late replica catch up on more than fits into one request.
func TestLargeEntriesOverWires(t *testing.T) {
	a, b := openWireAs(t, "a", WireOptions{}), openWireAs(t, "b", WireOptions{})
	leader := openWiredRaft(t, a, "a", []raft.Server{{ID: "a", Address: raft.ServerAddress(a.Address())}})
	leaderOf(t, []wiredRaft{leader})
	entry := make([]byte, appendBytes/3)
	for range 10 {
		if err := leader.Apply(entry, 0).Error(); err != nil {
			t.Fatal(err)
		}
	}
	late := openWiredRaft(t, b, "b", nil)
	if err := leader.AddNonvoter("b", raft.ServerAddress(b.Address()), 0, 0).Error(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "all entries in the late one", func() bool { return len(late.fsm.Logs()) == 10 })
}

func TestRequestsAreBounded(t *testing.T) {
	for _, tt := range []struct {
		sizes []int
		want  int
	}{
		{nil, 0},
		{[]int{appendBytes / 2, appendBytes / 2}, 1},
		{[]int{1, appendBytes / 2, appendBytes / 2}, 2},
		{[]int{appendBytes + 1, 1}, 1}, // the first has to go all the same
		{[]int{1, 2, 3}, 3},
	} {
		var request raft.AppendEntriesRequest
		for _, size := range tt.sizes {
			request.Entries = append(request.Entries, &raft.Log{Data: make([]byte, size/2), Extensions: make([]byte, size-size/2)})
		}
		boundEntries(&request)
		if len(request.Entries) != tt.want {
			t.Errorf("of entries of %v bytes, %d are sent, want %d", tt.sizes, len(request.Entries), tt.want)
		}
	}
}

// openTransport opens a transport that answers every request with an empty answer.
func openTransport(t *testing.T, w *Wire) *raftTransport {
	t.Helper()
	transport := w.transport(slog.New(slog.DiscardHandler))
	var answering sync.WaitGroup
	stop := make(chan struct{})
	answering.Go(func() {
		for {
			select {
			case rpc := <-transport.Consumer():
				switch rpc.Command.(type) {
				case *raft.AppendEntriesRequest:
					rpc.Respond(&raft.AppendEntriesResponse{}, nil)
				case *raft.RequestVoteRequest:
					rpc.Respond(&raft.RequestVoteResponse{Granted: true}, nil)
				default:
					rpc.Respond(nil, errors.New("unexpected"))
				}
			case <-stop:
				return
			}
		}
	})
	t.Cleanup(func() {
		transport.Close()
		close(stop)
		answering.Wait()
	})
	return transport
}

// TestPipelineGoesOnUntaken sends more than raft does after it has stopped taking answers.
func TestPipelineGoesOnUntaken(t *testing.T) {
	a, b := openWireAs(t, "a", WireOptions{}), openWireAs(t, "b", WireOptions{})
	openTransport(t, b)
	p, err := newHerald(openTransport(t, a), &ownRaft{}).AppendEntriesPipeline("b", raft.ServerAddress(b.Address()))
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		var err error
		for range untakenAnswers / 2 {
			if err == nil {
				_, err = p.AppendEntries(&raft.AppendEntriesRequest{Term: 1}, &raft.AppendEntriesResponse{})
			}
		}
		sent <- err
	}()
	select {
	case err := <-sent:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("the pipeline hangs")
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// TestVotesPassStaleConnections asks a replica for votes that was restarted since.
func TestVotesPassStaleConnections(t *testing.T) {
	a, b := openWireAs(t, "a", WireOptions{}), openWireAs(t, "b", WireOptions{})
	transport, answers := openTransport(t, a), openTransport(t, b)
	address := raft.ServerAddress(b.Address())
	var asking sync.WaitGroup
	for range 3 * pooledConns { // so that some are pooled
		asking.Go(func() {
			if err := transport.RequestVote("b", address, &raft.RequestVoteRequest{}, &raft.RequestVoteResponse{}); err != nil {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	answers.Close()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	openTransport(t, openWireAs(t, "b", WireOptions{Listen: string(address)}))
	var vote raft.RequestVoteResponse
	if err := transport.RequestVote("b", address, &raft.RequestVoteRequest{}, &vote); err != nil || !vote.Granted {
		t.Errorf("the vote of a restarted replica: %v, %v", vote.Granted, err)
	}
}
