package cluster

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/store"
)

// BenchmarkWrites has 256 writers write to three replicas: to the leader, and spread over all. Beside it they write to a bare Raft with one
// command an entry, on the same log store and the same transport, and with our timings: once to a state machine that does nothing, and once to
// our store. The four take turns; an iteration is a turn of each.
func BenchmarkWrites(b *testing.B) {
	if testing.Short() {
		b.Skip("eight replicas write to the disk for ten seconds")
	}
	const writers, span = 256, 2 * time.Second
	c := newRealCluster(b, 3)
	leader, _ := c.leader()
	idle, storing := newBareRaft(b, false), newBareRaft(b, true)
	run := 0
	write := func(n *Node, number int) error {
		_, err := n.Write(context.Background(), grant(b, fmt.Sprintf("subject %d of %d", number, run)))
		return err
	}
	contenders := []struct {
		name string
		call func(writer, number int) error
		took []float64
	}{
		{name: "leader", call: func(_, number int) error { return write(leader.Node, number) }},
		{name: "spread", call: func(writer, number int) error { return write(c.replicas[writer%len(c.replicas)].Node, number) }},
		{name: "bare", call: func(_, number int) error { return idle.apply(number) }},
		{name: "bare-storing", call: func(_, number int) error { return storing.apply(number) }},
	}
	b.ResetTimer()
	for range b.N {
		for i := range contenders {
			run++
			contenders[i].took = append(contenders[i].took, perSecond(b, writers, span, contenders[i].call))
		}
	}
	b.StopTimer()
	for _, one := range contenders {
		b.ReportMetric(median(one.took), one.name+"/s")
	}
	for ours := range 2 {
		for bare := 2; bare < 4; bare++ {
			var ratios []float64
			for i, rate := range contenders[ours].took {
				ratios = append(ratios, rate/contenders[bare].took[i])
			}
			b.ReportMetric(median(ratios), contenders[ours].name+":"+contenders[bare].name)
		}
	}
}

// bareRaft is three Rafts with nothing of ours above them.
type bareRaft struct {
	tb     testing.TB
	leader *raft.Raft
}

// newBareRaft starts them, and waits for a leader.
func newBareRaft(tb testing.TB, storing bool) *bareRaft {
	tb.Helper()
	o := Options{}.withDefaults()
	var members []raft.Server
	var wires []*Wire
	for i := range 3 {
		id := fmt.Sprintf("bare%d", i+1)
		wires = append(wires, openWireAs(tb, id, WireOptions{}))
		members = append(members, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(wires[i].Address())})
	}
	var rafts []*raft.Raft
	for i, wire := range wires {
		dir := tb.TempDir()
		logs, err := openLogStore(vfs.Default, filepath.Join(dir, "log"), pebbleLogger{o.Logger}, func(err error) { tb.Error(err) })
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { closing(tb, logs.Close) })
		config := raftConfig(o, string(members[i].ID), make(chan bool, 16))
		transport, snapshots := wire.transport(o.Logger), raft.NewInmemSnapshotStore()
		if err := raft.BootstrapCluster(config, logs, logs, snapshots, transport, raft.Configuration{Servers: members}); err != nil {
			tb.Fatal(err)
		}
		r, err := raft.NewRaft(config, stateMachine(tb, filepath.Join(dir, "store"), storing), logs, logs, snapshots, transport)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { closing(tb, r.Shutdown().Error) })
		rafts = append(rafts, r)
	}
	bare := &bareRaft{tb: tb}
	waitFor(tb, "a leader", func() bool {
		for _, r := range rafts {
			if r.State() == raft.Leader {
				bare.leader = r
			}
		}
		return bare.leader != nil
	})
	start := store.Command{TermStart: &store.TermStart{Term: 1, Epoch: randomEpoch(), Bound: defaultBound}}
	if err := bare.leader.Apply(store.EncodeEntry(consent.TimeOf(time.Now()), []store.Command{start}), 0).Error(); err != nil {
		tb.Fatal(err)
	}
	return bare
}

func closing(tb testing.TB, f func() error) {
	tb.Helper()
	if err := f(); err != nil {
		tb.Error(err)
	}
}

func stateMachine(tb testing.TB, dir string, storing bool) raft.FSM {
	tb.Helper()
	if !storing {
		return idleMachine{}
	}
	s, err := store.Open(store.Options{Dir: dir, FS: vfs.Default, Logger: Options{}.withDefaults().Logger})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closing(tb, s.Close) })
	return storingMachine{fsm: &fsm{store: s, report: func(err error) { tb.Error(err) }}}
}

// idleMachine applies nothing. Its snapshots let Raft cut the log, as ours do.
type idleMachine struct{}

func (idleMachine) Apply(*raft.Log) any                  { return nil }
func (idleMachine) ApplyBatch(logs []*raft.Log) []any    { return make([]any, len(logs)) }
func (idleMachine) Snapshot() (raft.FSMSnapshot, error)  { return idleMachine{}, nil }
func (idleMachine) Restore(stream io.ReadCloser) error   { return stream.Close() }
func (idleMachine) Persist(sink raft.SnapshotSink) error { return sink.Close() }
func (idleMachine) Release()                             {}

// storingMachine applies what ours does.
type storingMachine struct {
	idleMachine
	fsm *fsm
}

func (m storingMachine) Apply(l *raft.Log) any             { return m.fsm.Apply(l) }
func (m storingMachine) ApplyBatch(logs []*raft.Log) []any { return m.fsm.ApplyBatch(logs) }

// apply proposes the same write as the replicas get, as an entry of its own, and waits until it is applied.
func (r *bareRaft) apply(number int) error {
	w := grant(r.tb, "")
	command := store.WriteCommand{Tenant: w.Tenant, RequestID: w.RequestID, Events: []store.KeyedEvent{{
		Key: store.Key{uint64(number), uint64(number)}, Event: w.Events[0].Event,
	}}}
	future := r.leader.Apply(store.EncodeEntry(consent.TimeOf(time.Now()), []store.Command{{Write: &command}}), 0)
	return future.Error()
}
