package cluster

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// raftConfig returns how Raft runs here.
func raftConfig(o Options, nodeID string, notices chan<- bool) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(nodeID)
	c.Logger = newRaftLogger(o.Logger)
	c.NotifyCh = notices
	c.NoLegacyTelemetry = true
	// A leader that isn't a voter any more may be a learner: it goes on following. One that was removed ends by what it is told (place.go).
	c.ShutdownOnRemove = false

	c.HeartbeatTimeout, c.ElectionTimeout = o.tuning.election, o.tuning.election
	c.LeaderLeaseTimeout = o.tuning.election
	c.CommitTimeout = o.tuning.commit

	c.BatchApplyCh = true
	c.MaxAppendEntries = 64

	c.SnapshotInterval, c.SnapshotThreshold = o.tuning.snapshotInterval, o.tuning.snapshotEntries
	c.TrailingLogs = o.tuning.trailingLogs
	// The ledger is the state. Whether it holds what the snapshot covers is checked before Raft starts.
	c.NoSnapshotRestoreOnStart = true
	return c
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
	if err := n.checkLog(snapshot); err != nil {
		return err
	}
	if err := n.catchUp(snapshot); err != nil {
		return err
	}
	first, last, applied := n.logs.first, n.logs.last, n.store.Applied()
	switch {
	case last != 0 && first > snapshot.meta.Index+1:
		return fmt.Errorf("the Raft log in %s begins at %d, and the snapshot ends at %d", n.dir.join(logDir), first, snapshot.meta.Index)
	case applied > max(last, snapshot.meta.Index, snapshot.covers):
		return fmt.Errorf("the ledger stands at %d, and the Raft log in %s has lost what is behind %d", applied, n.dir.join(logDir), last)
	}
	if err := n.logs.verify(min(snapshot.meta.Index+1, max(last, 1))); err != nil {
		return err
	}
	return n.checkKey()
}

// checkLog makes sure that a member has the log, the term and the vote that it had. Raft itself would begin again at term 0 behind a
// snapshot: it would vote a second time in terms in which it has voted, and lack what it has acknowledged since the snapshot.
func (n *Node) checkLog(snapshot *snapshotInfo) error {
	if n.dir.standing().state != stateMember {
		return nil
	}
	term, err := n.term()
	if err != nil {
		return fmt.Errorf("reading Raft's term in %s: %w", n.dir.join(logDir), err)
	}
	known, err := n.knownTerm(snapshot)
	if err != nil {
		return err
	}
	last := n.logs.last
	var lost string
	switch {
	case term == 0:
		lost = "is gone"
	case term < known:
		lost = fmt.Sprintf("is an older one: it knows of term %d, and this replica was in term %d", term, known)
	case !snapshot.streamed && last < snapshot.meta.Index: // Raft leaves entries behind a snapshot of our own
		lost = fmt.Sprintf("is an older one: it ends at %d, and this replica took a snapshot at %d", last, snapshot.meta.Index)
	default:
		return nil
	}
	return fmt.Errorf("the Raft log in %s %s. A replica without its log must not go on under its old name: it may vote twice, and lack what it "+
		"has acknowledged. Put the log back if you have moved it; if it is lost, this directory is too", n.dir.join(logDir), lost)
}

// knownTerm returns the newest term that the snapshot and the last entry of the log tell of.
func (n *Node) knownTerm(snapshot *snapshotInfo) (uint64, error) {
	if n.logs.last == 0 {
		return snapshot.meta.Term, nil
	}
	var entry raft.Log
	if err := n.logs.GetLog(n.logs.last, &entry); err != nil {
		return 0, err
	}
	return max(snapshot.meta.Term, entry.Term), nil
}

// catchUp restores the ledger if it is behind the snapshot. That happens when a crash came between receiving a snapshot from another
// replica and restoring it; a snapshot of our own is only made of what is durable in the ledger.
func (n *Node) catchUp(snapshot *snapshotInfo) error {
	applied := n.store.Applied()
	if applied >= snapshot.covers {
		return nil
	}
	if !snapshot.streamed {
		return fmt.Errorf("the ledger in %s stands at %d, and the log was cut because it was durable up to %d", n.dir.join(ledgerDir), applied,
			snapshot.covers)
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
