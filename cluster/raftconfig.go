package cluster

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// raftConfig returns how Raft runs here.
func raftConfig(o Options, nodeID string, notices chan<- bool) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(nodeID)
	c.Logger = newRaftLogger(o.Logger)
	c.NotifyCh = notices
	c.NoLegacyTelemetry = true

	c.HeartbeatTimeout, c.ElectionTimeout = o.tuning.election, o.tuning.election
	c.LeaderLeaseTimeout = o.tuning.election
	// How long after the leader a follower without traffic applies a write is once to twice this.
	c.CommitTimeout = 10 * time.Millisecond

	c.BatchApplyCh = true
	c.MaxAppendEntries = 256

	c.SnapshotInterval, c.SnapshotThreshold = o.tuning.snapshotInterval, o.tuning.snapshotEntries
	c.TrailingLogs = o.tuning.trailingLogs
	// The ledger is the state. Whether it holds what the snapshot covers is checked before Raft starts.
	c.NoSnapshotRestoreOnStart = true
	return c
}

// bootstrap makes the cluster of one that this replica begins as. It may follow an attempt that a crash cut short.
func bootstrap(config *raft.Config, logs *logStore, snapshots raft.SnapshotStore, transport raft.Transport, address raft.ServerAddress) error {
	if logs.last != 0 {
		return nil // it came as far as the log's first entry, which is the last thing that Raft writes
	}
	// Raft writes the term before that entry, and refuses to bootstrap where there is a term.
	if err := logs.SetUint64(currentTermKey, 0); err != nil {
		return err
	}
	alone := raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: config.LocalID, Address: address}}}
	if err := raft.BootstrapCluster(config, logs, logs, snapshots, transport, alone); err != nil {
		return fmt.Errorf("bootstrapping a cluster of one: %w", err)
	}
	return nil
}

// currentTermKey is where Raft keeps its term in the stable store, before it acts on it.
var currentTermKey = []byte("CurrentTerm")

// term returns Raft's term as it is on disk.
func (n *Node) term() (uint64, error) { return n.logs.GetUint64(currentTermKey) }

// checkState makes sure that log, ledger and snapshot fit together, before Raft starts and takes it for granted. What of the log has to
// be replayed is read, so that a damaged entry is an error here and not a panic in Raft.
func (n *Node) checkState() error {
	snapshot := n.snapshots.latest()
	if snapshot == nil {
		snapshot = &snapshotInfo{}
	}
	if err := n.catchUp(snapshot); err != nil {
		return err
	}
	first, last, applied := n.logs.first, n.logs.last, n.store.Applied()
	repair := "restore this replica from another one or from a backup"
	switch {
	case n.dir.member && last == 0 && snapshot.meta.Index == 0:
		return fmt.Errorf("%w: the Raft log in %s is gone, and a replica that lost it must not vote under its old name: %s", ErrDataDir,
			n.dir.join(logDir), repair)
	case last != 0 && first > snapshot.meta.Index+1:
		return fmt.Errorf("%w: the Raft log begins at %d, and the snapshot ends at %d: %s", ErrDataDir, first, snapshot.meta.Index, repair)
	case applied > max(last, snapshot.meta.Index, snapshot.covers):
		return fmt.Errorf("%w: the ledger stands at %d, and the Raft log has lost what is behind %d: %s", ErrDataDir, applied, last, repair)
	}
	if err := n.logs.verify(min(snapshot.meta.Index+1, max(last, 1))); err != nil {
		return fmt.Errorf("%w: %w", ErrDataDir, err)
	}
	return n.checkKey()
}

// catchUp restores the ledger if it is behind the snapshot. That happens when a crash came between receiving a snapshot from another
// replica and restoring it; a snapshot of our own is only made of what is durable in the ledger.
func (n *Node) catchUp(snapshot *snapshotInfo) error {
	applied := n.store.Applied()
	if applied >= snapshot.covers {
		return nil
	}
	if !snapshot.streamed {
		return fmt.Errorf("%w: the ledger in %s stands at %d, and the log was cut because it was durable up to %d: restore this replica "+
			"from another one or from a backup", ErrDataDir, n.dir.join(ledgerDir), applied, snapshot.covers)
	}
	stream, err := n.snapshots.openStream()
	if err != nil {
		return err
	}
	return errors.Join(restore(n.store, stream), stream.Close())
}

// checkKey compares the pseudonym key with the replicated check value. Where there is none yet, the first term start sets it.
func (n *Node) checkKey() error {
	if check, set := n.store.KeyCheck(); set && check != n.door.CheckValue() {
		return fmt.Errorf("%w: %s isn't the key of this cluster, and with another one no record can be found: copy the right one there",
			ErrPseudonymKey, n.options.PseudonymKeyFile)
	}
	return nil
}
