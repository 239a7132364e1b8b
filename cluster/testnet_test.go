package cluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/consentd/consentd/consent"
	peerv1 "github.com/consentd/consentd/proto/peer/v1"
	"github.com/hashicorp/raft"
)

// testNet carries what the replicas of a test say to each other, Raft's messages and what they ask beside it. Each direction of each pair
// of replicas is a link of its own, which can be cut, slowed or held. A message that is under way arrives even if its sender has given up,
// as on a real network: then nobody hears of the answer.
type testNet struct {
	mu         sync.Mutex
	links      map[[2]string]*testLink
	nodes      map[string]*Node
	transports map[string]*testTransport
	messages   sync.WaitGroup // under way
	proposed   atomic.Int64   // calls with commands that were sent to other replicas
	carried    atomic.Int64   // of those, how many have arrived and been answered
	troubled   atomic.Int64   // messages that met a link which wasn't well
	untold     atomic.Bool    // what only tells of commits is lost
	closed     chan struct{}
}

// testLink is one direction.
type testLink struct {
	mu       sync.Mutex
	cut      bool
	delay    time.Duration
	held     chan struct{} // not nil: messages wait until it is closed
	troubled *atomic.Int64
}

func newTestNet() *testNet {
	return &testNet{
		links: map[[2]string]*testLink{}, nodes: map[string]*Node{}, transports: map[string]*testTransport{}, closed: make(chan struct{}),
	}
}

// close waits for the messages under way, which are lost. All replicas have to be closed before.
func (t *testNet) close() {
	close(t.closed)
	t.messages.Wait()
}

func (t *testNet) link(from, to string) *testLink {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.links[[2]string{from, to}]
	if l == nil {
		l = &testLink{troubled: &t.troubled}
		t.links[[2]string{from, to}] = l
	}
	return l
}

// change changes a link.
func (t *testNet) change(from, to string, f func(*testLink)) {
	l := t.link(from, to)
	l.mu.Lock()
	defer l.mu.Unlock()
	f(l)
}

// carry calls deliver once a message has come over a link, unless it is lost.
func (t *testNet) carry(from, to string, deliver func()) {
	l := t.link(from, to)
	t.messages.Go(func() {
		if l.pass(t.closed) {
			deliver()
		}
	})
}

// pass returns when a message has come over the link, and whether it has. A message that meets the cut at either end is lost.
func (l *testLink) pass(closed <-chan struct{}) bool {
	l.mu.Lock()
	cut, delay, held := l.cut, l.delay, l.held
	l.mu.Unlock()
	if cut || delay > 0 || held != nil {
		l.troubled.Add(1)
	}
	if cut {
		return false
	}
	if held != nil {
		select {
		case <-held:
			return true
		case <-closed:
			return false
		}
	}
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-closed:
			return false
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.cut
}

// exchange returns what handle does on the other replica, if request and answer arrive before the context ends.
func exchange[T any](ctx context.Context, t *testNet, from, to string, handle func() (T, error)) (value T, err error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	t.carry(from, to, func() {
		v, err := handle()
		t.carry(to, from, func() { answers <- answer{v, err} })
	})
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		return value, ctx.Err()
	}
}

// testPeers is how one replica asks the others.
type testPeers struct {
	Peers // what isn't here is what nobody answers
	net   *testNet
	from  string
}

// ask asks a replica. The replica hears of the deadline as of what is left of it when the question is sent, as with gRPC, and not that the
// asker has given up.
func ask[T any](ctx context.Context, p *testPeers, of Peer, question func(context.Context, *Node) (T, error)) (T, error) {
	p.net.mu.Lock()
	n := p.net.nodes[of.ID]
	p.net.mu.Unlock()
	var none T
	if n == nil {
		return none, consent.ErrUnreached
	}
	deadline, limited := ctx.Deadline()
	left := time.Until(deadline)
	return exchange(ctx, p.net, p.from, of.ID, func() (T, error) {
		ctx := context.WithoutCancel(ctx)
		if limited {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, left)
			defer cancel()
		}
		return question(ctx, n)
	})
}

func (p *testPeers) Term(ctx context.Context, of Peer) (uint64, error) {
	return ask(ctx, p, of, func(ctx context.Context, n *Node) (uint64, error) { return n.Term(ctx) })
}

func (p *testPeers) Cover(ctx context.Context, leader Peer) (uint64, error) {
	return ask(ctx, p, leader, func(ctx context.Context, n *Node) (uint64, error) { return n.Cover(ctx) })
}

func (p *testPeers) Propose(ctx context.Context, leader Peer, commands [][]byte) ([][]byte, error) {
	p.net.proposed.Add(1)
	return ask(ctx, p, leader, func(ctx context.Context, n *Node) ([][]byte, error) {
		defer p.net.carried.Add(1)
		return n.Propose(ctx, commands)
	})
}

func (p *testPeers) Report(ctx context.Context, of Peer) (*peerv1.ReportResponse, error) {
	return ask(ctx, p, of, func(ctx context.Context, n *Node) (*peerv1.ReportResponse, error) { return n.Report(ctx) })
}

func (p *testPeers) ChangeMembership(ctx context.Context, leader Peer, c *peerv1.ChangeMembershipRequest) error {
	_, err := ask(ctx, p, leader, func(ctx context.Context, n *Node) (any, error) { return nil, n.ChangeMembership(ctx, c) })
	return err
}

// rpcPatience is how long Raft waits for an answer, and for one to a snapshot. A lost message is noticed as late, where a
// connection would break earlier.
const rpcPatience, snapshotPatience = 200 * time.Millisecond, time.Second

// testTransport is Raft's transport of one replica. It has no pipeline, so every message is answered before the next.
type testTransport struct {
	net       *testNet
	id        string
	consumer  chan raft.RPC
	closing   sync.Once
	closed    chan struct{}
	mu        sync.Mutex
	heartbeat func(raft.RPC)
}

// transport makes a replica's transport. It takes the place of the one that it had before it was restarted.
func (t *testNet) transport(id string) peerTransport {
	made := &testTransport{net: t, id: id, consumer: make(chan raft.RPC), closed: make(chan struct{})}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.transports[id] = made
	return made
}

var errRefused = errors.New("connection refused")

func call[T any](t *testTransport, to raft.ServerID, command any, reader io.Reader, patience time.Duration, resp *T) error {
	t.net.mu.Lock()
	target := t.net.transports[string(to)]
	t.net.mu.Unlock()
	if target == nil || target.gone() {
		return errRefused
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer, err := exchange(ctx, t.net, t.id, string(to), func() (any, error) { return target.handle(command, reader, patience) })
	if err != nil {
		return err
	}
	*resp = *answer.(*T)
	return nil
}

func (t *testTransport) gone() bool {
	select {
	case <-t.closed:
		return true
	default:
		return false
	}
}

// handle has the replica's Raft answer a message.
func (t *testTransport) handle(command any, reader io.Reader, patience time.Duration) (any, error) {
	answers := make(chan raft.RPCResponse, 1)
	rpc := raft.RPC{Command: command, Reader: reader, RespChan: answers}
	t.mu.Lock()
	heartbeat := t.heartbeat
	t.mu.Unlock()
	late := time.NewTimer(patience)
	defer late.Stop()
	if request, is := command.(*raft.AppendEntriesRequest); is && heartbeat != nil && isHeartbeat(request) {
		heartbeat(rpc)
	} else {
		select {
		case t.consumer <- rpc:
		case <-late.C:
			return nil, context.DeadlineExceeded
		case <-t.closed:
			return nil, errRefused
		}
	}
	select {
	case answer := <-answers:
		return answer.Response, answer.Error
	case <-late.C:
		return nil, context.DeadlineExceeded
	case <-t.closed:
		return nil, errRefused
	}
}

func (t *testTransport) Close() error {
	t.closing.Do(func() { close(t.closed) })
	return nil
}

func (t *testTransport) Consumer() <-chan raft.RPC     { return t.consumer }
func (t *testTransport) LocalAddr() raft.ServerAddress { return raft.ServerAddress(t.id) }

func (t *testTransport) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

func (t *testTransport) AppendEntries(
	id raft.ServerID, _ raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse,
) error {
	if t.net.untold.Load() && len(args.Entries) == 0 && !isHeartbeat(args) {
		t.net.troubled.Add(1)
		return errRefused
	}
	return call(t, id, args, nil, rpcPatience, resp)
}

func (t *testTransport) RequestVote(
	id raft.ServerID, _ raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse,
) error {
	return call(t, id, args, nil, rpcPatience, resp)
}

func (t *testTransport) RequestPreVote(
	id raft.ServerID, _ raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse,
) error {
	return call(t, id, args, nil, rpcPatience, resp)
}

func (t *testTransport) TimeoutNow(
	id raft.ServerID, _ raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse,
) error {
	return call(t, id, args, nil, rpcPatience, resp)
}

func (t *testTransport) InstallSnapshot(
	id raft.ServerID, _ raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader,
) error {
	text, err := io.ReadAll(data) // the sender may close it while the receiver still reads
	if err != nil {
		return err
	}
	return call(t, id, args, bytes.NewReader(text), snapshotPatience, resp)
}

func (t *testTransport) EncodePeer(_ raft.ServerID, a raft.ServerAddress) []byte { return []byte(a) }
func (t *testTransport) DecodePeer(a []byte) raft.ServerAddress                  { return raft.ServerAddress(a) }

func (t *testTransport) SetHeartbeatHandler(handle func(raft.RPC)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.heartbeat = handle
}
