package cluster

import (
	"time"

	"github.com/hashicorp/raft"
)

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

	Leads         bool          // this replica leads, and has begun its term
	LeaderKnown   bool          // it knows who leads
	LeaderChanges uint64        // since the start, also to one that led before
	LastContact   time.Duration // since it heard of the leader; -1 s if it never has
	Members       int
	Voters        int // of the members
	// FailuresTolerated is how many more voters may fail before nothing can be written. -1 on replicas that don't lead.
	FailuresTolerated int

	Fresh bool          // checks are answered: the state is proven to be new enough
	Age   time.Duration // of the last proof; -1 s before the first

	Tenants     int
	Subjects    int
	RecordBytes int    // of memory, for records and their index
	LedgerBytes uint64 // of disk

	Waiting     int    // commands that wait to be proposed, or to be sent to the leader
	Entries     uint64 // proposed since the start
	Commands    uint64 // in those entries
	Forwarded   uint64 // commands sent to the leader, repeats among them, since the start
	StorageFull bool   // writes are refused for want of space

	FreeBytes   int64     // of the disk, a second ago; -1 without a floor
	LogBytes    uint64    // of disk, for the log
	LogSyncs    Durations // of the log, since the start
	Streams     Durations // of state, made for other replicas since the start
	StreamBytes uint64    // of all of them

	CertificateExpires time.Time // when other replicas stop taking this one's certificate; zero without TLS
}

// Stats returns the node's figures.
func (n *Node) Stats() Stats {
	held := n.store.Stats()
	s := Stats{
		NodeID: n.dir.nodeID, State: n.raft.State().String(), Term: n.raft.CurrentTerm(),
		Last: n.raft.LastIndex(), Commit: n.raft.CommitIndex(), Applied: held.Applied,
		Tenants: held.Tenants, Subjects: held.Subjects, RecordBytes: held.RecordBytes, LedgerBytes: held.DiskBytes,
		Waiting: len(n.writes.queue) + len(n.calls.queue), Entries: n.writes.flights.Load(), Commands: n.writes.commands.Load(),
		Forwarded: n.calls.commands.Load(), StorageFull: n.space.full.Load(),
	}
	s.FreeBytes, s.LogBytes, s.LogSyncs = n.space.free.Load(), n.logs.bytes(), n.syncs.read()
	s.Streams, s.StreamBytes = n.snapshots.made.read(), n.snapshots.bytes.Load()
	if n.options.Wire != nil {
		s.CertificateExpires = n.options.Wire.CertificateExpires()
	}
	n.addMembership(&s)
	if newest := n.snapshots.latest(); newest != nil {
		s.Covered = newest.covers
	}
	s.Fresh, s.Age = n.Ready() == nil, -time.Second
	if p := n.fresh.proof.Load(); p != nil {
		s.Age = n.options.Now().Sub(p.asOf)
	}
	return s
}

// addMembership fills in what concerns members and leaders.
func (n *Node) addMembership(s *Stats) {
	r := n.leader.reign.Load()
	s.Leads, s.LeaderKnown, s.LeaderChanges = r.here != nil, !r.vacant(), n.leader.changes.Load()
	s.LastContact = -time.Second
	if ms := n.lastContact(); ms >= 0 {
		s.LastContact = time.Duration(ms) * time.Millisecond
	}
	for _, m := range n.raft.GetConfiguration().Configuration().Servers {
		s.Members++
		if m.Suffrage == raft.Voter {
			s.Voters++
		}
	}
	s.FailuresTolerated = int(n.pilot.tolerated.Load())
}
