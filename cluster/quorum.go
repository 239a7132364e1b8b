package cluster

import (
	"context"
	"fmt"

	"github.com/consentd/consentd/consent"
	"github.com/hashicorp/raft"
)

// Term returns Raft's term as it is on disk, where Raft puts it before it acts on it.
func (n *Node) Term(context.Context) (uint64, error) {
	if err := n.running(); err != nil {
		return 0, err
	}
	return n.term()
}

// coveringIndex returns an index of the log that covers every write acknowledged before the call, from whoever leads. While nobody does
// it waits. A question is given up when another leads, because only that one can answer it.
func (n *Node) coveringIndex(ctx context.Context) (uint64, error) {
	r := n.leader.reign.Load()
	for ; r.vacant(); r = n.leader.reign.Load() {
		select {
		case <-r.ended.Done():
			if r.last {
				return 0, consent.ErrNotReady
			}
		case <-ctx.Done():
			return 0, consent.ErrNoLeader
		}
	}
	if r.here != nil {
		return n.Cover(ctx)
	}
	ctx, cancel := r.during(ctx)
	defer cancel()
	return n.peers.Cover(ctx, r.there)
}

// Cover returns an index of the log that covers every write acknowledged before the call, or ErrNotLeading. Evidence is gathered in this
// order: a majority was still at our term after the call, so was this voter, and it leads in it. Then no later leader has acknowledged
// anything before the call; what earlier ones did was in our log when our term start was committed; and what we did is committed by now.
func (n *Node) Cover(ctx context.Context) (uint64, error) {
	if err := n.running(); err != nil {
		return 0, err
	}
	lead := n.leader.reign.Load().here
	switch {
	case n.failure.err() != nil:
		return 0, consent.ErrNotReady
	case lead == nil:
		return 0, ErrNotLeading
	}
	servers := n.raft.GetConfiguration().Configuration().Servers
	switch {
	case bug("read under the lease"):
		return n.raft.CommitIndex(), nil
	case bug("trust VerifyLeader"):
		return n.raft.CommitIndex(), n.raft.VerifyLeader().Error()
	}
	if err := majorityAt(ctx, lead.term, raft.ServerID(n.dir.nodeID), servers, n.peers.Term); err != nil {
		return 0, err
	}
	if err := n.stillLeads(lead); err != nil {
		return 0, err
	}
	return max(n.raft.CommitIndex(), n.store.Applied()), nil // a backup that was restored is applied, and behind no commit
}

// stillLeads returns nil if a leadership has lasted until now.
func (n *Node) stillLeads(lead *leadership) error {
	switch term, err := n.term(); {
	case err != nil:
		return err
	case term != lead.term || n.raft.State() != raft.Leader || n.leader.reign.Load().here != lead:
		return ErrNotLeading
	}
	return nil
}

// majorityAt returns nil if a majority of the voters, this one among them, is still at a term: then nobody was elected in a later one
// before the call, because that takes a majority that has left the term, and Raft persists a term before it acts on it.
//
// Raft's VerifyLeader and its leader lease don't show that: see library surprises in DESIGN.md.
func majorityAt(
	ctx context.Context, term uint64, self raft.ServerID, servers []raft.Server, ask func(context.Context, Peer) (uint64, error),
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	voters, at := 0, 0
	answers := make(chan error, len(servers))
	for _, s := range servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		voters++
		if s.ID == self {
			at++ // its own term is read afterwards, by who calls
			continue
		}
		go func() { answers <- termIs(ctx, term, Peer{ID: string(s.ID), Address: string(s.Address)}, ask) }()
	}
	last := ErrNotLeading
	for asked := voters - at; at <= voters/2; asked-- {
		if asked == 0 {
			return fmt.Errorf("%d of %d voters are known to be at term %d: %w", at, voters, term, last)
		}
		if err := <-answers; err != nil {
			last = err
		} else {
			at++
		}
	}
	return nil
}

func termIs(ctx context.Context, want uint64, voter Peer, ask func(context.Context, Peer) (uint64, error)) error {
	switch term, err := ask(ctx, voter); {
	case err != nil:
		return err
	case term != want:
		return fmt.Errorf("%s is at term %d", voter.ID, term)
	}
	return nil
}
