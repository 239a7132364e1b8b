package cluster

import (
	"context"
	"errors"
	"testing"

	"github.com/hashicorp/raft"
)

// terms are peers by their terms. One without a term can't be reached.
type terms map[string]uint64

func (p terms) Term(ctx context.Context, voter Peer) (uint64, error) {
	if term, ok := p[voter.ID]; ok {
		return term, ctx.Err()
	}
	return 0, errors.New("unreachable")
}

func TestMajorityAt(t *testing.T) {
	voters := func(ids ...raft.ServerID) (servers []raft.Server) {
		for _, id := range ids {
			servers = append(servers, raft.Server{ID: id, Suffrage: raft.Voter})
		}
		return append(servers, raft.Server{ID: "learner", Suffrage: raft.Nonvoter})
	}
	tests := []struct {
		name    string
		servers []raft.Server
		peers   terms
		want    bool
	}{
		{"alone", voters("self"), nil, true},
		{"alone, and the learner is reachable", voters("self"), terms{"learner": 5}, true},
		{"one of two others", voters("self", "b", "c"), terms{"b": 5}, true},
		{"only the learner", voters("self", "b", "c"), terms{"learner": 5}, false},
		{"nobody", voters("self", "b", "c"), nil, false},
		{"both others moved on", voters("self", "b", "c"), terms{"b": 6, "c": 6}, false},
		{"one moved on", voters("self", "b", "c"), terms{"b": 6, "c": 5}, true},
		{"one of two", voters("self", "b"), nil, false},
		{"two of four", voters("self", "b", "c", "d"), terms{"b": 5}, false},
		{"three of five", voters("self", "b", "c", "d", "e"), terms{"c": 5, "e": 5}, true},
		{"not a voter any more", voters("b", "c"), terms{"b": 5}, false},
		{"nobody votes", voters(), nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := majorityAt(t.Context(), 5, "self", tt.servers, tt.peers.Term)
			if got := err == nil; got != tt.want {
				t.Errorf("proven: %t (%v), want %t", got, err, tt.want)
			}
		})
	}
}
