package cluster

import (
	"fmt"
	"log/slog"
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

// openWiredRaft starts Raft on a wire. Without servers, it waits to be added to a cluster.
func openWiredRaft(t *testing.T, w *Wire, id raft.ServerID, servers []raft.Server) wiredRaft {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	config := raftConfig(Options{}.withDefaults(), string(id), nil)
	config.HeartbeatTimeout, config.ElectionTimeout, config.LeaderLeaseTimeout = 100*time.Millisecond, 100*time.Millisecond, 50*time.Millisecond
	config.Logger = newRaftLogger(log)
	config.BatchApplyCh = false
	config.TrailingLogs = 1
	logs, fsm, transport := raft.NewInmemStore(), &raft.MockFSM{}, w.transport(log)
	snapshots := raft.NewInmemSnapshotStore()
	var err error
	if len(servers) > 0 {
		err = raft.BootstrapCluster(config, logs, logs, snapshots, transport, raft.Configuration{Servers: servers})
	}
	var r *raft.Raft
	if err == nil {
		r, err = raft.NewRaft(config, fsm, logs, logs, snapshots, transport)
	}
	if err != nil {
		t.Fatal(err)
	}
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
	wires := map[string]*Wire{}
	for _, id := range []string{"a", "b", "c"} {
		wires[id] = openWireAs(t, id, WireOptions{})
	}
	rafts := openWiredRafts(t, wires)
	for i := range 100 {
		if err := leaderOf(t, rafts).Apply(fmt.Appendf(nil, "entry %d", i), 0).Error(); err != nil {
			t.Fatal(err)
		}
	}
	first := leaderOf(t, rafts)
	if err := first.LeadershipTransfer().Error(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the other leader", func() bool { return first.State() != raft.Leader && leaderOf(t, rafts) != first })
	if err := leaderOf(t, rafts).Apply([]byte("the last"), 0).Error(); err != nil {
		t.Fatal(err)
	}
	for _, r := range rafts {
		waitFor(t, "all entries everywhere", func() bool { return len(r.fsm.Logs()) == 101 })
		_, id := r.LeaderWithID()
		if address, _ := r.LeaderWithID(); string(address) != wires[string(id)].Address() {
			t.Errorf("the leader %s is said to be at %q, want %q", id, address, wires[string(id)].Address())
		}
	}
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
