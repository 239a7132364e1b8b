package cluster

import (
	"context"
	"fmt"

	"github.com/consentd/consentd/consent"
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
	// Propose returns the outcomes of commands, from the leader. consent.ErrUnreached means that the call can't have arrived; after any other
	// error it may have.
	Propose(ctx context.Context, leader Peer, commands [][]byte) (outcomes [][]byte, err error)
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

// nobody is the peers of a replica that is alone.
type nobody struct{}

func unreached(id string) error {
	return fmt.Errorf("%w: %s, for this replica knows no others", consent.ErrUnreached, id)
}

// Term implements Peers.
func (nobody) Term(_ context.Context, of Peer) (uint64, error) { return 0, unreached(of.ID) }

// Cover implements Peers.
func (nobody) Cover(_ context.Context, leader Peer) (uint64, error) { return 0, unreached(leader.ID) }

// Propose implements Peers.
func (nobody) Propose(_ context.Context, leader Peer, _ [][]byte) ([][]byte, error) {
	return nil, unreached(leader.ID)
}

// Report implements Peers.
func (nobody) Report(_ context.Context, of Peer) (*peerv1.ReportResponse, error) {
	return nil, unreached(of.ID)
}

// ChangeMembership implements Peers.
func (nobody) ChangeMembership(_ context.Context, leader Peer, _ *peerv1.ChangeMembershipRequest) error {
	return unreached(leader.ID)
}

// Keep implements Peers.
func (nobody) Keep([]Peer) {}

// Introduce implements Discovery.
func (nobody) Introduce(_ context.Context, address string) (*peerv1.IntroduceResponse, error) {
	return nil, unreached(address)
}

// Promise implements Discovery.
func (nobody) Promise(_ context.Context, address string, _ *peerv1.PromiseRequest) error {
	return unreached(address)
}

// Enrol implements Discovery.
func (nobody) Enrol(_ context.Context, address string, _ *peerv1.EnrolRequest) (*peerv1.EnrolResponse, error) {
	return nil, unreached(address)
}
