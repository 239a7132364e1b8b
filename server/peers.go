package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	peerv1 "github.com/consentd/consentd/proto/peer/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"

	"github.com/consentd/consentd/consent"
)

const (
	maxPeerBytes = 16 << 20 // of a message between replicas
	// peerConnectTime is how long a connection may take to come about, with all round trips of its handshakes on a slow link.
	peerConnectTime = 3 * time.Second
	// A replica that was restarted is looked for often: until it is found, no write of this one's callers gets through.
	firstPeerBackoff, lastPeerBackoff = 50 * time.Millisecond, time.Second
	// peerPing finds a connection whose other end is gone. The library pings no oftener.
	peerPing, peerPingTimeout = 10 * time.Second, 2 * time.Second
)

// Peer is another replica, as the cluster names it. The type is that of the cluster, which this room doesn't know.
type Peer = struct {
	ID      string
	Address string // of its port for peers
}

// DialPeer returns a connection to the port for peers of another replica, after it has proven to be the one named.
type DialPeer func(ctx context.Context, id, address string) (net.Conn, error)

// Peers asks other replicas, over one connection to each, made when it is first needed. Its methods return an error with the words of
// the replica that refused; errors.Is finds the sentinel of consent in it. It may be used by many goroutines.
type Peers struct {
	dial DialPeer

	mu     sync.Mutex
	conns  map[Peer]*grpc.ClientConn
	closed bool
}

// NewPeers returns Peers that connect by dial. Close it after use.
func NewPeers(dial DialPeer) *Peers {
	return &Peers{dial: dial, conns: map[Peer]*grpc.ClientConn{}}
}

// Term returns a replica's current Raft term, read from its stable store after the call.
func (p *Peers) Term(ctx context.Context, of Peer) (uint64, error) {
	reply, err := askPeer(ctx, p, of, peerv1.PeerServiceClient.Term, &peerv1.TermRequest{})
	return reply.GetTerm(), err
}

// Cover returns an index that covers every write acknowledged before the call, from the leader.
func (p *Peers) Cover(ctx context.Context, leader Peer) (uint64, error) {
	reply, err := askPeer(ctx, p, leader, peerv1.PeerServiceClient.Cover, &peerv1.CoverRequest{})
	return reply.GetIndex(), err
}

// Propose returns the outcomes of commands, from the leader. consent.ErrUnreached means that the call can't have arrived; after any other
// error it may have.
func (p *Peers) Propose(ctx context.Context, leader Peer, commands [][]byte) (outcomes [][]byte, err error) {
	reply, err := askPeer(ctx, p, leader, peerv1.PeerServiceClient.Propose, &peerv1.ProposeRequest{Commands: commands})
	return reply.GetOutcomes(), err
}

// Report returns where a replica stands.
func (p *Peers) Report(ctx context.Context, of Peer) (*peerv1.ReportResponse, error) {
	return askPeer(ctx, p, of, peerv1.PeerServiceClient.Report, &peerv1.ReportRequest{})
}

// ChangeMembership has the leader change who belongs to the cluster.
func (p *Peers) ChangeMembership(ctx context.Context, leader Peer, change *peerv1.ChangeMembershipRequest) error {
	_, err := askPeer(ctx, p, leader, peerv1.PeerServiceClient.ChangeMembership, change)
	return err
}

// Keep closes the connections to all others than those named.
func (p *Peers) Keep(peers []Peer) {
	keep := make(map[Peer]bool, len(peers))
	for _, one := range peers {
		keep[one] = true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for one, conn := range p.conns {
		if !keep[one] {
			delete(p.conns, one)
			conn.Close() //nolint:errcheck // it tells only of a second closing
		}
	}
}

// Close closes all connections. Calls that run end with an error, and so do later ones.
func (p *Peers) Close() error {
	p.Keep(nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return nil
}

// conn returns the connection to a replica, which needn't be there yet.
func (p *Peers) conn(to Peer) (*grpc.ClientConn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, fmt.Errorf("%w (this replica is closing)", consent.ErrUnreached)
	}
	if conn := p.conns[to]; conn != nil {
		return conn, nil
	}
	conn, err := newConn(func(ctx context.Context) (net.Conn, error) { return p.dial(ctx, to.ID, to.Address) })
	if err == nil {
		p.conns[to] = conn
	}
	return conn, err
}

// newConn returns a connection that is made by dial when it is first needed, and again whenever it breaks. Names aren't resolved here.
func newConn(dial func(context.Context) (net.Conn, error)) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///replica",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()), // the connection that was dialed is secured, or isn't meant to be
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstPeerBackoff, Multiplier: 1.6, Jitter: 0.2, MaxDelay: lastPeerBackoff},
			MinConnectTimeout: peerConnectTime,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: peerPing, Timeout: peerPingTimeout, PermitWithoutStream: true}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxPeerBytes)),
		grpc.WithDisableServiceConfig(),
	)
}

// method is a call of PeerService.
type method[Q, A any] func(client peerv1.PeerServiceClient, ctx context.Context, request Q, o ...grpc.CallOption) (A, error)

// askPeer calls a replica. A call that never got as far as a connection is ErrUnreached: the library names the other end of a call as soon as
// there is one to send it on, before the first byte.
func askPeer[Q, A any](ctx context.Context, p *Peers, to Peer, call method[Q, A], request Q) (reply A, err error) {
	conn, err := p.conn(to)
	if err != nil {
		return reply, err
	}
	var other peer.Peer
	reply, err = call(peerv1.NewPeerServiceClient(conn), ctx, request, grpc.Peer(&other))
	switch {
	case err == nil:
		return reply, nil
	case other.Addr == nil && other.AuthInfo == nil:
		return reply, fmt.Errorf("%s at %s: %w (%w)", to.ID, to.Address, consent.ErrUnreached, heard(err))
	default:
		return reply, fmt.Errorf("%s at %s: %w", to.ID, to.Address, heard(err))
	}
}

// Introduce returns who the replica at an address of the API is.
func (p *Peers) Introduce(ctx context.Context, address string) (reply *peerv1.IntroduceResponse, err error) {
	err = discover(address, func(client peerv1.DiscoveryServiceClient) error {
		reply, err = client.Introduce(ctx, &peerv1.IntroduceRequest{})
		return err
	})
	return reply, err
}

// Promise binds a new replica to the one that founds a cluster.
func (p *Peers) Promise(ctx context.Context, address string, promise *peerv1.PromiseRequest) error {
	return discover(address, func(client peerv1.DiscoveryServiceClient) error {
		_, err := client.Promise(ctx, promise)
		return err
	})
}

// Enrol takes a new replica into the cluster of the one asked.
func (p *Peers) Enrol(ctx context.Context, address string, enrol *peerv1.EnrolRequest) (reply *peerv1.EnrolResponse, err error) {
	err = discover(address, func(client peerv1.DiscoveryServiceClient) error {
		reply, err = client.Enrol(ctx, enrol)
		return err
	})
	return reply, err
}

// discover calls the API of a replica, on a connection for this call alone: before there is a cluster, who answers there may change.
func discover(address string, call func(peerv1.DiscoveryServiceClient) error) (err error) {
	conn, err := newConn(func(ctx context.Context) (net.Conn, error) { return dialAPI(ctx, address) })
	if err != nil {
		return fmt.Errorf("%s: %w", address, err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := call(peerv1.NewDiscoveryServiceClient(conn)); err != nil {
		return fmt.Errorf("%s: %w", address, plainly(heard(err)))
	}
	return nil
}

var errWrongPort = errors.New("something else answers there than the API of consentd: name --listen addresses, not those of --raft-listen or " +
	"--ops-listen")

// plainly returns an error of a call, or what the library's words for one that never began mean.
func plainly(err error) error {
	if _, cause, found := strings.Cut(err.Error(), "error reading server preface: "); found {
		if strings.Contains(cause, "tls: ") { // of the other end, which refuses the certificate after the handshake
			return errors.New(strings.TrimRight(cause, `"`))
		}
		return errWrongPort
	}
	if _, cause, found := strings.Cut(err.Error(), "Error while dialing: "); found {
		return errors.New(strings.TrimRight(cause, `"`))
	}
	return err
}

// dialAPI dials an address as Listen takes it.
func dialAPI(ctx context.Context, address string) (net.Conn, error) {
	var dialer net.Dialer
	if path, found := strings.CutPrefix(address, unixScheme); found {
		return dialer.DialContext(ctx, "unix", path)
	}
	return dialer.DialContext(ctx, "tcp", address)
}
