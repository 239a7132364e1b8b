package cluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/store"
	"github.com/hashicorp/raft"
)

// Node is a replica: a member of a cluster, or on its way into one. Its methods may be called at the same time.
type Node struct {
	options    Options
	instance   [16]byte // tells this process from another one of the same name
	failure    *failure
	fresh      *freshness
	dir        *dataDir
	space      *diskSpace
	logs       *logStore
	syncs      durations // of the log
	store      *store.Store
	door       store.Pseudonymizer
	snapshots  *snapshotStore
	raft       *raft.Raft
	comeback   *comeback
	leader     *leader
	membership *membership
	pilot      *pilot
	clock      *stamper
	writes     *proposer            // into the log, while this replica leads
	calls      *packer[toldOutcome] // to the leader, while another does
	retention  *retention
	peers      Peers

	forming sync.Mutex             // held while this replica is being bound to a cluster
	woken   chan struct{}          // holds one while it is bound and form doesn't know yet
	waits   atomic.Pointer[string] // what form waits for; nil for nothing
	started atomic.Bool
	working sync.WaitGroup
	closers []func() error // run by Close, the last one first
	closing sync.Once
	closed  error
}

// New opens the data directory and reads the pseudonym key. The node can introduce itself and be bound to a cluster from now on; all else
// needs Start. Errors about the directory are ErrDataDir, about the key ErrPseudonymKey. Close has to be called also without Start.
func New(o Options) (*Node, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("options: %w", err)
	}
	o = o.withDefaults()
	n := &Node{options: o, peers: o.Peers, woken: make(chan struct{}, 1)}
	n.fresh = newFreshness(o.Now)
	n.fresh.log = o.Logger
	n.failure = newFailure(o.Logger, n.fresh.end)
	rand.Read(n.instance[:])
	if err := n.openDisk(); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	if o.Wire != nil { // before anything is founded or promised under a name that no peer would believe
		if err := o.Wire.belongTo(n.dir.nodeID); err != nil {
			return nil, errors.Join(err, n.Close())
		}
	}
	key, err := n.pseudonymKey()
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	n.door = store.NewPseudonymizer(key)
	return n, nil
}

// Start runs a node. In a new data directory it founds a cluster, alone or with others, or waits for one to join; it returns when the node
// runs, or when the context ends. Ready says when it may answer. After an error only Close may be called.
func (n *Node) Start(ctx context.Context) error {
	if err := n.openDatabases(); err != nil {
		return dataDirError(err)
	}
	if err := n.checkState(); err != nil {
		return dataDirError(err)
	}
	if err := n.form(ctx); err != nil {
		return err
	}
	if err := n.checkForeign(ctx); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := n.startRaft(); err != nil {
		return err
	}
	if others := len(n.servers()) - 1; others > 0 && n.options.isolated() {
		return fmt.Errorf("%w: %s belongs to a cluster of %d, and can't be reached by the others: start it with --raft-listen", ErrForming,
			n.dir.nodeID, others+1)
	}
	n.work()
	n.started.Store(true)
	return nil
}

// Open is New and Start.
func Open(ctx context.Context, o Options) (*Node, error) {
	n, err := New(o)
	if err != nil {
		return nil, err
	}
	if err := n.Start(ctx); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// running returns nil once Start has succeeded, and before it consent.ErrNotReady with what is waited for.
func (n *Node) running() error {
	if n.started.Load() {
		return nil
	}
	if what := n.waits.Load(); what != nil {
		return fmt.Errorf("%w: this replica is starting, and is %s", consent.ErrNotReady, *what)
	}
	return fmt.Errorf("%w: this replica is starting", consent.ErrNotReady)
}

// openDisk takes the data directory, and looks whether the disk is fit.
func (n *Node) openDisk() (err error) {
	fs, unwatch := watchDisk(n.options.FS, n.options.DiskStall, n.failure.report)
	n.onClose(unwatch)
	if n.dir, err = openDataDir(manifestFS{fs}, n.options.DataDir, n.options.NodeID); err != nil {
		return err
	}
	n.onClose(n.dir.Close)
	n.space, err = openDiskSpace(n.dir, n.options.MinFreeBytes, n.options.Logger)
	return err
}

func (n *Node) openDatabases() (err error) {
	log := pebbleLogger{n.options.Logger.With("part", "log")}
	damaged := func(err error) { n.failure.report(dataDirError(err)) }
	if n.logs, err = openLogStore(n.guardDatabases(n.syncs.add), n.dir.join(logDir), log, damaged); err != nil {
		return err
	}
	n.onClose(n.logs.Close)
	if n.store, err = store.Open(store.Options{
		Dir: n.dir.join(ledgerDir), FS: n.guardDatabases(nil), Logger: n.options.Logger, Changes: n.options.tuning.changes,
	}); err != nil {
		return err
	}
	n.onClose(n.store.Close)
	if n.snapshots, err = openSnapshotStore(n.dir.fs, n.dir.join(snapshotsDir), n.store); err != nil {
		return err
	}
	n.snapshots.hold, n.logs.holds.waived = n.logs.holds.behind, n.space.full.Load
	return nil
}

// startRaft starts Raft and what it needs.
func (n *Node) startRaft() error {
	notices := make(chan bool, 16)
	config := raftConfig(n.options, n.dir.nodeID, notices)
	others, err := n.openTransport()
	if err != nil {
		return err
	}
	var own ownRaft
	herald := newHerald(others, &own)
	n.comeback = newComeback(herald, &own)
	transport := sortOutLateSnapshots(n.comeback, n.logs, n.snapshots)
	n.onClose(transport.Close)
	machine := heralded{&fsm{store: n.store, report: n.failure.report}, herald}
	n.logs.acknowledge = n.becomeMember
	n.raft, err = raft.NewRaft(config, machine, n.logs, n.logs, n.snapshots, transport)
	if err != nil {
		return fmt.Errorf("starting Raft: %w", err)
	}
	own.Store(n.raft)
	n.onClose(func() error { return n.raft.Shutdown().Error() })

	apply := func(entry []byte) raft.ApplyFuture { return n.raft.Apply(entry, 0) }
	n.clock = newStamper(n.options.Now, func() consent.Time { return n.store.Head().Stamp }, n.options.Logger)
	n.writes = newProposer(apply, n.clock, n.options.MaxWaiting)
	n.calls = newPacker[toldOutcome](n.options.MaxWaiting, maxCalls)
	n.calls.launch = n.call
	n.retention = &retention{leads: func() bool { return n.leader.reign.Load().here != nil }, nextDue: n.store.NextDue, clock: n.clock, apply: apply}
	n.leader = newLeader()
	n.leader.log = n.options.Logger
	n.leader.notices, n.leader.elsewhere = notices, n.anotherLeader
	n.leader.term, n.leader.apply, n.leader.clock, n.leader.start = n.term, apply, n.clock, store.TermStart{
		CheckValue: n.door.CheckValue(), Bound: cmp.Or(n.options.MaxStaleness, defaultBound),
	}
	n.leader.began, n.leader.report = n.fresh.begin, n.failure.report
	n.raft.RegisterObserver(raft.NewObserver(n.leader.heard, false, aboutLeaders))
	n.membership = n.newMembership()
	n.pilot = newPilot(n.membership, n.options.tuning)
	n.fresh.bound, n.fresh.index, n.fresh.applied, n.fresh.first = n.bound, n.coveringIndex, n.store.WaitApplied, n.compareBounds
	return nil
}

// openTransport opens the way to the other replicas.
func (n *Node) openTransport() (peerTransport, error) {
	wire := n.options.Wire
	switch {
	case n.options.tuning.transport != nil:
		return n.options.tuning.transport(n.dir.nodeID), nil
	case wire == nil:
		_, transport := raft.NewInmemTransport(n.address())
		return transport, nil
	default:
		if err := wire.identify(n.dir.standing().clusterID, n.dir.nodeID); err != nil {
			return nil, err
		}
		return wire.transport(n.options.Logger), nil
	}
}

// becomeMember records that this replica is about to acknowledge something. It isn't tried again in this process.
func (n *Node) becomeMember() error {
	err := n.dir.becomeMember()
	if err != nil {
		n.failure.report(err) // what the disk says after a restart isn't known
	}
	return err
}

// address returns where others reach this replica. One without a wire is reached by nobody, and has the address that its transport wants.
func (n *Node) address() raft.ServerAddress {
	if n.options.Wire == nil {
		return raft.ServerAddress(n.dir.nodeID)
	}
	return raft.ServerAddress(n.options.Wire.Address())
}

// anotherLeader returns the replica that Raft takes for the leader, unless it is this one.
func (n *Node) anotherLeader() Peer {
	address, id := n.raft.LeaderWithID()
	if string(id) == n.dir.nodeID {
		return Peer{}
	}
	return Peer{ID: string(id), Address: string(address)}
}

// aboutLeaders reports whether Raft has observed another leader, or none.
func aboutLeaders(o *raft.Observation) bool {
	_, is := o.Data.(raft.LeaderObservation)
	return is
}

// work starts the node's goroutines. Close ends them while Raft still runs, so that every write on its way gets its answer: once Raft is
// shut down, it may answer some never.
func (n *Node) work() {
	ctx, cancel := context.WithCancel(context.Background())
	stop := make(chan struct{})
	n.onClose(func() error {
		n.writes.close()
		n.calls.close()
		cancel()
		close(stop)
		n.working.Wait()
		return nil
	})
	n.working.Go(func() { n.leader.run(stop) })
	n.working.Go(func() { n.fresh.run(ctx) })
	n.working.Go(func() { n.space.run(stop) })
	if n.options.Wire != nil {
		keeping := place{node: n, progress: progress{log: n.options.Logger}, began: time.Now()}
		n.working.Go(func() { keeping.run(ctx) })
		n.working.Go(func() { n.tellUnheeded(ctx) })
	}
	n.working.Go(n.writes.run)
	n.working.Go(n.calls.run)
	n.working.Go(func() { n.runPilot(ctx) })
	n.working.Go(func() { n.retention.run(stop) })
	n.working.Go(func() {
		select {
		case err := <-n.store.Failed():
			n.failure.report(dataDirError(err))
		case <-stop:
		}
	})
}

// Close stops the node. What was acknowledged is durable already.
func (n *Node) Close() error {
	n.closing.Do(func() {
		n.fresh.end()
		for _, closer := range slices.Backward(n.closers) {
			n.closed = errors.Join(n.closed, closer())
		}
	})
	return n.closed
}

func (n *Node) onClose(f func() error) { n.closers = append(n.closers, f) }

// Ready returns nil while checks may be answered, and otherwise why not: consent.ErrNotReady or consent.ErrStale.
func (n *Node) Ready() error { return n.fresh.ready() }

// Failed returns a channel with the first fault after which this replica mustn't go on: an entry that can't be applied, a disk that fails
// or hangs, another cluster's key. The process has to end with it. Nothing is written or answered any more; Close may hang with the disk.
func (n *Node) Failed() <-chan error { return n.failure.told }
