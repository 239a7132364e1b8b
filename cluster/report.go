package cluster

import (
	"context"

	peerv1 "github.com/consentd/consentd/proto/peer/v1"
	"github.com/hashicorp/raft"
)

// Report returns where this replica stands. It has heard of its leader -1 ms ago if it never has.
func (n *Node) Report(context.Context) (*peerv1.ReportResponse, error) {
	if err := n.running(); err != nil {
		return nil, err
	}
	term, err := n.term()
	if err != nil {
		return nil, err
	}
	index, at, err := n.lastEntry()
	if err != nil {
		return nil, err
	}
	return &peerv1.ReportResponse{
		Term: term, LastIndex: index, LastTerm: at, Applied: n.store.Applied(), LastContactMs: n.lastContact(), Ready: n.Ready() == nil,
		Version: n.options.Version, Listen: n.options.Listen, Instance: n.instance[:],
		StorageFull: n.space.full.Load(),
	}, nil
}

// lastEntry returns index and term of the last entry that Raft has: of the log, or of a snapshot from which the log goes on.
func (n *Node) lastEntry() (index, term uint64, err error) {
	if newest := n.snapshots.latest(); newest != nil {
		index, term = newest.meta.Index, newest.meta.Term
	}
	last, err := n.logs.LastIndex()
	if err != nil || last <= index {
		return index, term, err
	}
	var entry raft.Log
	if err := n.logs.GetLog(last, &entry); err != nil {
		return 0, 0, err
	}
	return entry.Index, entry.Term, nil
}

// lastContact returns how many milliseconds ago this replica heard of its leader.
func (n *Node) lastContact() int64 {
	last := n.raft.LastContact()
	switch {
	case n.raft.State() == raft.Leader:
		return 0
	case last.IsZero():
		return -1
	default:
		return n.options.Now().Sub(last).Milliseconds()
	}
}
