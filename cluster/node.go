package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/store"
	"github.com/hashicorp/raft"
)

// Node is a member of the cluster. Its methods may be called at the same time.
type Node struct {
	options   Options
	failure   *failure
	fresh     *freshness
	dir       *dataDir
	space     *diskSpace
	logs      *logStore
	store     *store.Store
	door      store.Pseudonymizer
	snapshots *snapshotStore
	raft      *raft.Raft
	leader    *leader
	clock     *stamper
	writes    *proposer
	peers     peers

	working sync.WaitGroup
	closers []func() error // run by Close, the last one first
	closing sync.Once
	closed  error
}

// Open starts a node, and bootstraps a cluster of one in an empty directory. It returns when the node runs; Ready says when it may answer.
// Errors about the directory are ErrDataDir, about the key ErrPseudonymKey.
func Open(ctx context.Context, o Options) (*Node, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("options: %w", err)
	}
	o = o.withDefaults()
	n := &Node{options: o, peers: noPeers{}}
	n.fresh = newFreshness(o.Now, o.MaxStaleness)
	n.failure = newFailure(o.Logger, n.fresh.end)
	if err := n.open(ctx); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Node) open(ctx context.Context) error {
	if err := n.openDisk(); err != nil {
		return err
	}
	key, err := pseudonymKey(n.options.PseudonymKeyFile, !n.dir.member, n.options.Logger)
	if err != nil {
		return err
	}
	n.door = store.NewPseudonymizer(key)
	if err := n.openDatabases(); err != nil {
		return err
	}
	if n.snapshots, err = openSnapshotStore(n.dir.fs, n.dir.join(snapshotsDir), n.store); err != nil {
		return err
	}
	if err := n.checkState(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := n.startRaft(); err != nil {
		return err
	}
	n.work()
	return nil
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
	if n.logs, err = openLogStore(n.dir.fs, n.dir.join(logDir), log, n.failure.report); err != nil {
		return err
	}
	n.onClose(n.logs.Close)
	if n.store, err = store.Open(store.Options{
		Dir: n.dir.join(ledgerDir), FS: n.dir.fs, Logger: n.options.Logger,
	}); err != nil {
		return err
	}
	n.onClose(n.store.Close)
	return nil
}

// startRaft starts Raft and what it needs, after bootstrapping it in a new directory.
func (n *Node) startRaft() error {
	notices := make(chan bool, 16)
	config := raftConfig(n.options, n.dir.nodeID, notices)
	address, transport := raft.NewInmemTransport(raft.ServerAddress(n.dir.nodeID))
	n.onClose(transport.Close)
	if !n.dir.member {
		if err := bootstrap(config, n.logs, n.snapshots, transport, address); err != nil {
			return err
		}
		if err := n.dir.becomeMember(); err != nil {
			return err
		}
	}
	var err error
	n.raft, err = raft.NewRaft(config, &fsm{store: n.store, report: n.failure.report}, n.logs, n.logs, n.snapshots, transport)
	if err != nil {
		return fmt.Errorf("starting Raft: %w", err)
	}
	n.onClose(func() error { return n.raft.Shutdown().Error() })

	apply := func(entry []byte) raft.ApplyFuture { return n.raft.Apply(entry, 0) }
	n.clock = newStamper(n.options.Now, func() consent.Time { return n.store.Head().Stamp }, n.options.Logger)
	n.writes = newProposer(apply, n.clock, n.options.MaxWaiting)
	n.leader = &leader{
		notices: notices, term: n.term, apply: apply, clock: n.clock, check: n.door.CheckValue(), began: n.fresh.begin,
		report: n.failure.report,
	}
	n.fresh.index, n.fresh.applied = n.coveringIndex, n.store.WaitApplied
	return nil
}

// work starts the node's goroutines. Close ends them while Raft still runs, so that every write on its way gets its answer: once Raft is
// shut down, it may answer some never.
func (n *Node) work() {
	ctx, cancel := context.WithCancel(context.Background())
	stop := make(chan struct{})
	n.onClose(func() error {
		n.writes.close()
		cancel()
		close(stop)
		n.working.Wait()
		return nil
	})
	n.working.Go(func() { n.leader.run(stop) })
	n.working.Go(func() { n.fresh.run(ctx) })
	n.working.Go(func() { n.space.run(stop) })
	n.working.Go(n.writes.run)
	n.working.Go(func() {
		select {
		case err := <-n.store.Failed():
			n.failure.report(err)
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
