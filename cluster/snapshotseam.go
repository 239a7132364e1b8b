package cluster

import "github.com/hashicorp/raft"

// Where its log meets a snapshot, Raft is wrong about three things. Each keeps a follower out for good, or until it is restarted, that has
// entries behind its snapshot which the leader hasn't, as one that led and was cut off; and it is sent the whole state again and again.
//
//  1. It looks for the entry before those that it is sent in the log alone. That at the snapshot's own index may have left it.
//  2. It goes on remembering the last entry of the log that an installed snapshot has emptied, and looks there for what it is sent.
//  3. It takes all that the leader has committed for committed here, up to the end of the log. Raft's paper (figure 2) has that only for
//     what was compared: behind it there may be what another leader has replaced.

// fitting returns a request to append entries as Raft can follow it.
func (l *lateSnapshots) fitting(a *raft.AppendEntriesRequest) *raft.AppendEntriesRequest {
	compared := a.PrevLogEntry + uint64(len(a.Entries))
	agreed := l.agreed(a.PrevLogEntry, a.PrevLogTerm)
	if a.LeaderCommitIndex <= compared && !agreed {
		return a
	}
	fit := *a
	fit.LeaderCommitIndex = min(a.LeaderCommitIndex, compared)
	if agreed {
		fit.PrevLogEntry, fit.PrevLogTerm = 0, 0 // which is compared with nothing
	}
	return &fit
}

// agreed reports whether an entry is the newest snapshot's, and Raft can't know it.
func (l *lateSnapshots) agreed(index, term uint64) bool {
	if last, err := l.logs.LastIndex(); err != nil || index == 0 || index == last {
		return false
	}
	ours, err := l.snapshots.List()
	return err == nil && len(ours) > 0 && ours[0].Index == index && ours[0].Term == term
}

// forgetTail has Raft take the entry of the snapshot that it has installed (tail, nil for none) for the last of its log, instead of one that
// the log had before. Raft believes that there is another one at its place, and so puts it there. It is never sent: who lacks it lacks what is
// before.
//
// Raft does so for a leader of its term, which may be another one by the time the snapshot is installed: so each leader that sends
// entries is tried, until it has done it.
func (l *lateSnapshots) forgetTail(leader raft.RPCHeader, term uint64) {
	if l.tail == nil {
		return
	}
	l.logs.believe(l.tail.LastLogIndex)
	defer l.logs.believe(0)
	answer, _ := l.asked(raft.RPC{Command: &raft.AppendEntriesRequest{
		RPCHeader: leader, Term: term,
		Entries: []*raft.Log{{Index: l.tail.LastLogIndex, Term: l.tail.LastLogTerm, Type: raft.LogNoop}},
	}})
	if got, is := answer.Response.(*raft.AppendEntriesResponse); is && got.Success {
		l.tail = nil
	}
}
