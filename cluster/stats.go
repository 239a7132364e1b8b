package cluster

import "time"

// Stats are figures for metrics and for people, taken at about the same time.
type Stats struct {
	NodeID string
	State  string // Raft's: Leader, Follower, Candidate, Shutdown
	Term   uint64
	Last   uint64 // the index of the newest log entry
	Commit uint64 // of the newest that is committed
	// Applied is the index up to which the store has applied the log.
	Applied uint64
	// Covered is the index that the last snapshot covers: a start replays the log from there.
	Covered uint64

	Proven bool          // a proof of freshness was ever given, and still counts unless it is too old
	Age    time.Duration // of the last proof

	Tenants     int
	Subjects    int
	RecordBytes int    // of memory, for records and their index
	LedgerBytes uint64 // of disk

	Waiting     int    // commands that wait to be proposed
	Entries     uint64 // proposed since the start
	Commands    uint64 // in those entries
	StorageFull bool   // writes are refused for want of space
}

// Stats returns the node's figures.
func (n *Node) Stats() Stats {
	held := n.store.Stats()
	s := Stats{
		NodeID: n.dir.nodeID, State: n.raft.State().String(), Term: n.raft.CurrentTerm(),
		Last: n.raft.LastIndex(), Commit: n.raft.CommitIndex(), Applied: held.Applied,
		Tenants: held.Tenants, Subjects: held.Subjects, RecordBytes: held.RecordBytes, LedgerBytes: held.DiskBytes,
		Waiting: len(n.writes.queue), Entries: n.writes.entries.Load(), Commands: n.writes.commands.Load(),
		StorageFull: n.space.full.Load(),
	}
	if newest := n.snapshots.latest(); newest != nil {
		s.Covered = newest.covers
	}
	if p := n.fresh.proof.Load(); p != nil {
		s.Proven, s.Age = true, n.options.Now().Sub(p.asOf)
	}
	return s
}
