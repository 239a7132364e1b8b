package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	peerv1 "github.com/consentd/consentd/proto/peer/v1"
)

// street is where replicas find each other, by addresses of their API that are made up: api-a is that of replica a. They talk to each other
// over wires on loopback, and ask each other by calling their methods. Its methods are for the goroutine of the test.
type street struct {
	tb  testing.TB
	key string

	mu     sync.Mutex
	houses map[string]*house // by id
}

// house is a replica, running or not.
type house struct {
	street *street
	id     string
	o      Options
	fs     *vfs.MemFS
	log    *logLines
	trap   *powerTrap // nil for none

	node    *Node // nil while it doesn't run
	wire    *Wire
	leave   context.CancelFunc
	started chan error // holds what Start returned
}

func newStreet(tb testing.TB) *street {
	tb.Helper()
	s := &street{tb: tb, key: filepath.Join(tb.TempDir(), "pseudonym.key"), houses: map[string]*house{}}
	if err := NewKeyFile(s.key); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		for _, h := range s.houses {
			h.stop()
			if tb.Failed() {
				tb.Logf("the log of %s:\n%s", h.id, h.log)
			}
		}
	})
	return s
}

// build adds a replica that doesn't run yet, and is told to look for others at some houses.
func (s *street) build(id string, expect int, join ...string) *house {
	h := &house{street: s, id: id, fs: vfs.NewCrashableMem(), log: &logLines{}}
	for _, other := range join {
		h.o.Join = append(h.o.Join, "api-"+other)
	}
	h.o.DataDir, h.o.NodeID, h.o.PseudonymKeyFile, h.o.BootstrapExpect = "data", id, s.key, expect
	h.o.Logger = slog.New(slog.NewTextHandler(h.log, nil))
	h.o.tuning = steady
	h.o.tuning.discovery, h.o.tuning.place, h.o.tuning.inspection = 5*time.Millisecond, 20*time.Millisecond, 20*time.Millisecond
	s.mu.Lock()
	defer s.mu.Unlock()
	s.houses[id] = h
	return h
}

// buildAll adds replicas that found a cluster together.
func (s *street) buildAll(ids ...string) []*house {
	houses := make([]*house, len(ids))
	for i, id := range ids {
		houses[i] = s.build(id, len(ids), ids...)
	}
	return houses
}

// open opens the replica, with the address that it had the last time.
func (h *house) open() {
	h.street.tb.Helper()
	listen := "127.0.0.1:0"
	if h.wire != nil {
		listen = h.wire.Address()
	}
	h.openAt(listen)
}

func (h *house) openAt(listen string) {
	h.street.tb.Helper()
	wire, err := OpenWire(context.Background(), WireOptions{Listen: listen})
	if err != nil {
		h.street.tb.Fatal(err)
	}
	h.o.FS, h.o.Wire = h.fs, wire
	if h.trap != nil {
		h.o.FS = h.trap.set(h, wire)
	}
	h.o.Peers = &neighbours{h.street, h.id}
	node, err := New(h.o)
	if err != nil {
		h.street.tb.Fatalf("opening %s: %v", h.id, err)
	}
	h.street.mu.Lock()
	defer h.street.mu.Unlock()
	h.node, h.wire = node, wire
}

// start opens the replica and starts it, and doesn't wait for that.
func (h *house) start() {
	h.street.tb.Helper()
	h.open()
	h.run()
}

func (h *house) run() {
	ctx, leave := context.WithCancel(context.Background())
	started, node := make(chan error, 1), h.node
	h.leave, h.started = leave, started
	if h.trap != nil {
		h.trap.armed.Store(true)
	}
	go func() { started <- node.Start(ctx) }()
}

// stop closes the replica, as a process does that is told to end.
func (h *house) stop() {
	h.street.tb.Helper()
	if node := h.unplug(); node != nil {
		h.close(node)
	}
}

// unplug takes the replica off the street: whoever asks it gets no answer, and it gets none.
func (h *house) unplug() *Node {
	h.street.mu.Lock()
	defer h.street.mu.Unlock()
	node := h.node
	h.node = nil
	return node
}

func (h *house) close(node *Node) {
	h.street.tb.Helper()
	if h.leave != nil {
		h.leave()
		<-h.started
		h.leave = nil
	}
	if err := errors.Join(node.Close(), h.wire.Close()); err != nil {
		h.street.tb.Errorf("closing %s: %v", h.id, err)
	}
}

// wipe replaces the disk of a replica that doesn't run by an empty one.
func (h *house) wipe() { h.fs = vfs.NewCrashableMem() }

// wantStarted waits until Start has succeeded.
func (h *house) wantStarted() {
	h.street.tb.Helper()
	select {
	case err := <-h.started:
		h.started <- err
		if err != nil {
			h.street.tb.Fatalf("starting %s: %v", h.id, err)
		}
	case <-time.After(10 * time.Second):
		h.street.tb.Fatalf("waited 10s for the start of %s; its log:\n%s", h.id, h.log)
	}
}

// wantRefused waits until Start has failed.
func (h *house) wantRefused(want error, says ...string) {
	h.street.tb.Helper()
	select {
	case err := <-h.started:
		h.started <- err
		wantError(h.street.tb, err, want, says...)
	case <-time.After(20 * time.Second):
		h.street.tb.Fatalf("waited 20s for the start of %s to fail; its log:\n%s", h.id, h.log)
	}
}

func wantError(tb testing.TB, err, want error, says ...string) {
	tb.Helper()
	for _, part := range says {
		if !errors.Is(err, want) || !strings.Contains(err.Error(), part) {
			tb.Errorf("%v, want %v with %q", err, want, part)
		}
	}
}

func (h *house) wantReady() {
	h.street.tb.Helper()
	h.wantStarted()
	waitReady(h.street.tb, h.node)
}

// wantLog waits until the log says something.
func (h *house) wantLog(says string) {
	h.street.tb.Helper()
	waitFor(h.street.tb, fmt.Sprintf("%q in the log of %s", says, h.id), func() bool { return strings.Contains(h.log.String(), says) })
}

// wantMembers waits until the replica knows these members, each as its id, its suffrage and its address.
func (h *house) wantMembers(want ...string) {
	h.street.tb.Helper()
	slices.Sort(want)
	var got []string
	defer func() {
		if h.street.tb.Failed() {
			h.street.tb.Logf("%s knows %v, want %v", h.id, got, want)
		}
	}()
	waitFor(h.street.tb, "the members", func() bool {
		got = nil
		for _, s := range h.node.servers() {
			got = append(got, memberText(string(s.ID), s.Suffrage, string(s.Address)))
		}
		slices.Sort(got)
		return slices.Equal(got, want)
	})
}

func memberText(id string, suffrage raft.ServerSuffrage, address string) string {
	return fmt.Sprintf("%s %s %s", id, suffrage, address)
}

func (h *house) voter() string   { return memberText(h.id, raft.Voter, h.wire.Address()) }
func (h *house) learner() string { return memberText(h.id, raft.Nonvoter, h.wire.Address()) }

// logLines is a log that can be read while it is written.
type logLines struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns what was written.
func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// neighbours is how a replica asks the others of its street.
type neighbours struct {
	street *street
	from   string
}

var errNobodyHome = errors.New("connection refused")

// ask calls a replica, if both it and the one that asks run until the answer is there.
func (p *neighbours) ask(to string, call func(*Node) error) error {
	home := func() *Node {
		p.street.mu.Lock()
		defer p.street.mu.Unlock()
		if h, from := p.street.houses[to], p.street.houses[p.from]; h != nil && h.node != nil && from.node != nil {
			return h.node
		}
		return nil
	}
	node := home()
	if node == nil {
		return fmt.Errorf("%s: %w", to, errNobodyHome)
	}
	err := call(node)
	if home() != node {
		return fmt.Errorf("%s: %w", to, errNobodyHome)
	}
	return err
}

func (p *neighbours) askAt(api string, call func(*Node) error) error {
	return p.ask(strings.TrimPrefix(api, "api-"), call)
}

// askPeer calls a replica at its address for peers.
func (p *neighbours) askPeer(to Peer, call func(*Node) error) error {
	return p.ask(to.ID, func(n *Node) error {
		if string(n.address()) != to.Address {
			return errNobodyHome
		}
		return call(n)
	})
}

func (p *neighbours) Introduce(ctx context.Context, address string) (r *peerv1.IntroduceResponse, err error) {
	err = p.askAt(address, func(n *Node) error { r, err = n.Introduce(ctx); return err })
	return r, err
}

func (p *neighbours) Promise(ctx context.Context, address string, promise *peerv1.PromiseRequest) error {
	return p.askAt(address, func(n *Node) error { return n.Promise(ctx, promise) })
}

func (p *neighbours) Enrol(ctx context.Context, address string, e *peerv1.EnrolRequest) (r *peerv1.EnrolResponse, err error) {
	err = p.askAt(address, func(n *Node) error { r, err = n.Enrol(ctx, e); return err })
	return r, err
}

func (p *neighbours) Term(ctx context.Context, of Peer) (term uint64, err error) {
	err = p.askPeer(of, func(n *Node) error { term, err = n.Term(ctx); return err })
	return term, err
}

func (p *neighbours) Cover(ctx context.Context, leader Peer) (index uint64, err error) {
	err = p.askPeer(leader, func(n *Node) error { index, err = n.Cover(ctx); return err })
	return index, err
}

func (p *neighbours) Propose(ctx context.Context, leader Peer, commands [][]byte) (outcomes [][]byte, err error) {
	err = p.askPeer(leader, func(n *Node) error { outcomes, err = n.Propose(ctx, commands); return err })
	return outcomes, err
}

func (p *neighbours) Report(ctx context.Context, of Peer) (r *peerv1.ReportResponse, err error) {
	err = p.askPeer(of, func(n *Node) error { r, err = n.Report(ctx); return err })
	return r, err
}

func (p *neighbours) ChangeMembership(ctx context.Context, leader Peer, c *peerv1.ChangeMembershipRequest) error {
	return p.askPeer(leader, func(n *Node) error { return n.ChangeMembership(ctx, c) })
}

func (p *neighbours) Keep([]Peer) {}
