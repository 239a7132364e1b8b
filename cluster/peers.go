package cluster

import (
	"context"

	peerv1 "github.com/consentd/consentd/proto/peer/v1"
)

// Peer is another replica, as the cluster's configuration names it. It has no name of its own, so that the server, which fulfils Peers
// and doesn't know this room, has the same.
type Peer = struct {
	ID      string
	Address string // of its port for peers
}

// Peers is what a replica asks of the others beside Raft. The server fulfils it over gRPC, on connections of Wire.DialPeer, and has it
// answered by the methods of Node with the same names. An answer that a replica refuses to give is an error with its words.
type Peers interface {
	// Term returns a replica's current Raft term, read from its stable store after the call.
	Term(ctx context.Context, of Peer) (uint64, error)
	// Cover returns an index that covers every write acknowledged before the call, from the leader.
	Cover(ctx context.Context, leader Peer) (uint64, error)
	// Propose returns the outcome of a command, from the leader. consent.ErrUnreached means that the call can't have arrived; after any other
	// error it may have.
	Propose(ctx context.Context, leader Peer, command []byte) (outcome []byte, err error)
	// Report returns where a replica stands.
	Report(ctx context.Context, of Peer) (*peerv1.ReportResponse, error)
	// ChangeMembership has the leader change who belongs to the cluster.
	ChangeMembership(ctx context.Context, leader Peer, change *peerv1.ChangeMembershipRequest) error
	// Keep closes the connections to all others than those named.
	Keep(peers []Peer)

	Discovery
}

// Discovery is what a replica asks of others before it knows their cluster, at the addresses of their API.
type Discovery interface {
	Introduce(ctx context.Context, address string) (*peerv1.IntroduceResponse, error)
	Promise(ctx context.Context, address string, promise *peerv1.PromiseRequest) error
	Enrol(ctx context.Context, address string, enrol *peerv1.EnrolRequest) (*peerv1.EnrolResponse, error)
}
