package cluster

import (
	"context"
	"fmt"

	"github.com/hashicorp/raft"
)

// peers is what a leader asks of the other voters.
type peers interface {
	// Term returns a voter's current Raft term from its stable store, read after the call.
	Term(ctx context.Context, voter raft.Server) (uint64, error)
}

// noPeers is the whole company of a single voter.
type noPeers struct{}

// Term implements peers.
func (noPeers) Term(_ context.Context, voter raft.Server) (uint64, error) {
	return 0, fmt.Errorf("%s can't be asked: this version runs clusters of one", voter.ID)
}

// majorityAt returns nil if a majority of the voters, this one among them, is still at a term: then nobody was elected in a later one
// before the call, because that takes a majority that has left the term, and Raft persists a term before it acts on it.
//
// Raft's VerifyLeader and its leader lease don't show that: see library surprises in DESIGN.md.
func majorityAt(ctx context.Context, term uint64, self raft.ServerID, servers []raft.Server, ask peers) error {
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
		go func() { answers <- termIs(ctx, term, s, ask) }()
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

func termIs(ctx context.Context, want uint64, voter raft.Server, ask peers) error {
	switch term, err := ask.Term(ctx, voter); {
	case err != nil:
		return err
	case term != want:
		return fmt.Errorf("%s is at term %d", voter.ID, term)
	}
	return nil
}
