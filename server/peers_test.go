package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/consentd/consentd/cluster"
	"github.com/consentd/consentd/consent"
	peerv1 "github.com/consentd/consentd/proto/peer/v1"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/testing/protocmp"
)

var _ cluster.Peers = (*Peers)(nil)

// fakeReplica answers other replicas as the test says.
type fakeReplica struct {
	propose func(ctx context.Context, commands [][]byte) ([][]byte, error)
	report  *peerv1.ReportResponse

	mu     sync.Mutex
	change *peerv1.ChangeMembershipRequest
}

func (f *fakeReplica) Term(context.Context) (uint64, error) { return 7, nil }

func (f *fakeReplica) Cover(context.Context) (uint64, error) { return 42, nil }

func (f *fakeReplica) Propose(ctx context.Context, commands [][]byte) ([][]byte, error) {
	return f.propose(ctx, commands)
}

func (f *fakeReplica) Report(context.Context) (*peerv1.ReportResponse, error) { return f.report, nil }

func (f *fakeReplica) ChangeMembership(_ context.Context, change *peerv1.ChangeMembershipRequest) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.change = change
	return nil
}

func echo(_ context.Context, commands [][]byte) ([][]byte, error) { return commands, nil }

// peerRig is a replica on loopback that is asked by Peers over connections that the test can cut.
type peerRig struct {
	peers   *Peers
	to      Peer
	replica *fakeReplica
	log     *safeText
	metrics *prometheus.Registry // of the server that was started last

	mu    sync.Mutex
	conns []*countedConn
}

// countedConn knows whether it was closed.
type countedConn struct {
	net.Conn
	closed chan struct{}
	once   sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func newPeerRig(t *testing.T, replica *fakeReplica) *peerRig {
	t.Helper()
	r := &peerRig{replica: replica, log: new(safeText)}
	r.to = Peer{ID: "b", Address: r.serve(t, "127.0.0.1:0").address}
	r.peers = NewPeers(r.dial)
	t.Cleanup(func() {
		if err := r.peers.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// servedReplica is a server that was started.
type servedReplica struct {
	address string
	server  *PeerServer
	stop    func()
}

func (r *peerRig) serve(t *testing.T, address string) servedReplica {
	t.Helper()
	r.metrics = prometheus.NewRegistry()
	server := must[*PeerServer](t)(NewPeerServer(PeerServerOptions{
		Backend: r.replica, Logger: slog.New(slog.NewTextHandler(r.log, nil)), Registerer: r.metrics,
	}))
	var config net.ListenConfig
	listener := must[net.Listener](t)(config.Listen(t.Context(), "tcp", address))
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	stop := sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(server.Stop(ctx), <-served); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return servedReplica{listener.Addr().String(), server, stop}
}

func (r *peerRig) dial(ctx context.Context, _, address string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	counted := &countedConn{Conn: conn, closed: make(chan struct{})}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns = append(r.conns, counted)
	return counted, nil
}

func (r *peerRig) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.Close()
	}
}

func (r *peerRig) dialed() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conns)
}

func TestPeersAsk(t *testing.T) {
	report := &peerv1.ReportResponse{Term: 7, LastIndex: 9, Applied: 8, Version: "1", Ready: true, Listen: []string{"127.0.0.1:1"}}
	r := newPeerRig(t, &fakeReplica{propose: echo, report: report})
	ctx := background(t)
	if term := must[uint64](t)(r.peers.Term(ctx, r.to)); term != 7 {
		t.Errorf("term %d", term)
	}
	if index := must[uint64](t)(r.peers.Cover(ctx, r.to)); index != 42 {
		t.Errorf("covering index %d", index)
	}
	large := bytes.Repeat([]byte("x"), 8<<20)
	commands := [][]byte{[]byte("small"), {}, large}
	if back := must[[][]byte](t)(r.peers.Propose(ctx, r.to, commands)); !slices.EqualFunc(back, commands, bytes.Equal) {
		t.Errorf("%d outcomes came back, and differ", len(back))
	}
	if diff := cmp.Diff(report, must[*peerv1.ReportResponse](t)(r.peers.Report(ctx, r.to)), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	change := &peerv1.ChangeMembershipRequest{Change: peerv1.MembershipChange_MEMBERSHIP_CHANGE_REMOVE, NodeId: "c"}
	if err := r.peers.ChangeMembership(ctx, r.to, change); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(change, r.replica.change, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	if n := r.dialed(); n != 1 {
		t.Errorf("%d connections for one replica", n)
	}
	if _, err := r.peers.Propose(ctx, r.to, [][]byte{make([]byte, maxPeerBytes)}); err == nil || errors.Is(err, consent.ErrUnreached) {
		t.Errorf("a command that is too large: %v", err)
	}
}

// TestPeerErrorsKeepTheirMeaning sends every error that the law knows to another replica and back.
func TestPeerErrorsKeepTheirMeaning(t *testing.T) {
	var failure error
	r := newPeerRig(t, &fakeReplica{propose: func(context.Context, [][]byte) ([][]byte, error) { return nil, failure }})
	sentinels := []error{
		consent.ErrStale, consent.ErrNotReady, consent.ErrEpoch, consent.ErrNotWritten, consent.ErrOutcomeUnknown, consent.ErrOverloaded,
		consent.ErrRequestReused, consent.ErrRequestExpired, consent.ErrRequestFuture, consent.ErrETag, consent.ErrUnknownTenant,
		consent.ErrUnknownVersion, consent.ErrStorageFull, consent.ErrNoLeader, consent.ErrUnknownMember, consent.ErrMembership,
		consent.ErrBackup, consent.ErrTooManyNames, context.DeadlineExceeded, context.Canceled,
	}
	for _, sentinel := range sentinels {
		t.Run(known(sentinel).reason, func(t *testing.T) {
			failure = fmt.Errorf("the reason is this: %w", sentinel)
			_, err := r.peers.Propose(background(t), r.to, nil)
			for _, other := range append(sentinels, consent.ErrUnreached) {
				if is := errors.Is(err, other); is != errors.Is(failure, other) {
					t.Errorf("%v is %v: %v", err, other, is)
				}
			}
			if err == nil || !strings.Contains(err.Error(), "the reason is this") || !strings.Contains(err.Error(), "b at 127.0.0.1") {
				t.Errorf("%v lacks the words, or who said them", err)
			}
		})
	}
	for _, o := range outcomes {
		if errors.Is(meaningOf(o.reason), consent.ErrUnreached) {
			t.Errorf("%s would be taken for a call that never arrived", o.reason)
		}
	}
	first := errors.Join(consent.ErrNotReady, consent.ErrOutcomeUnknown)
	failure = first
	if _, err := r.peers.Propose(background(t), r.to, nil); !errors.Is(err, consent.ErrOutcomeUnknown) {
		t.Errorf("of two meanings: %v", err)
	}
	failure = errors.New(strings.Repeat("ä", 1<<20))
	if _, err := r.peers.Propose(background(t), r.to, nil); err == nil || len(err.Error()) > 2*maxWords {
		t.Errorf("an endless error has %d bytes", len(err.Error()))
	}
	if log := r.log.String(); log != "" {
		t.Errorf("refusals are logged: %s", log)
	}
}

// TestUnreachedIsCertain: only a call that found no connection is told to be unreached.
func TestUnreachedIsCertain(t *testing.T) {
	arrived := make(chan struct{})
	var r *peerRig
	r = newPeerRig(t, &fakeReplica{propose: func(ctx context.Context, commands [][]byte) ([][]byte, error) {
		if string(commands[0]) == "cut" {
			r.cut()
		}
		close(arrived)
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	mute := must[net.Listener](t)(new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0"))
	defer mute.Close()
	gone := must[net.Listener](t)(new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0"))
	gone.Close()
	refuse := NewPeers(func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("it is a stranger") })
	defer refuse.Close()
	hang := NewPeers(func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	defer hang.Close()
	closed := NewPeers(r.dial)
	closed.Close()

	tests := []struct {
		name    string
		peers   *Peers
		to      Peer
		command string
		within  time.Duration
		reached bool
		words   string
	}{
		{"nobody listens", r.peers, Peer{"c", gone.Addr().String()}, "", time.Minute, false, "connection refused"},
		{"nobody speaks", r.peers, Peer{"d", mute.Addr().String()}, "", 100 * time.Millisecond, false, ""},
		{"a stranger", refuse, r.to, "", time.Minute, false, "it is a stranger"},
		{"no answer to the dialing", hang, r.to, "", 50 * time.Millisecond, false, ""},
		{"closed", closed, r.to, "", time.Minute, false, "closing"},
		{"cut while it runs", r.peers, r.to, "cut", time.Minute, true, ""},
		{"too late", r.peers, r.to, "", 100 * time.Millisecond, true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			arrived = make(chan struct{})
			ctx, cancel := context.WithTimeout(context.Background(), tt.within)
			defer cancel()
			_, err := tt.peers.Propose(ctx, tt.to, [][]byte{[]byte(tt.command)})
			if err == nil || errors.Is(err, consent.ErrUnreached) == tt.reached || !strings.Contains(err.Error(), tt.words) {
				t.Errorf("error %v, want one that says unreached: %v, and %q", err, !tt.reached, tt.words)
			}
			if late := tt.within < time.Minute; late && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v, want one of the deadline", err)
			}
			if tt.reached {
				<-arrived
			}
		})
	}
}

// TestPeersFindARestartedReplica at the same address, soon and by themselves.
func TestPeersFindARestartedReplica(t *testing.T) {
	r := newPeerRig(t, &fakeReplica{propose: echo})
	first := r.serve(t, "127.0.0.1:0")
	to := Peer{"c", first.address}
	must[[][]byte](t)(r.peers.Propose(background(t), to, nil))
	first.stop()
	waitFor(t, "the replica to be missed", func() bool {
		_, err := r.peers.Propose(background(t), to, nil)
		return errors.Is(err, consent.ErrUnreached)
	})
	r.serve(t, first.address)
	back := time.Now()
	waitFor(t, "the replica to be found", func() bool {
		_, err := r.peers.Propose(background(t), to, nil)
		return err == nil
	})
	if took := time.Since(back); took > 3*time.Second {
		t.Errorf("it was found only after %v", took)
	}
}

func TestKeepClosesTheOthers(t *testing.T) {
	r := newPeerRig(t, &fakeReplica{propose: echo})
	other := Peer{"c", r.to.Address}
	for _, to := range []Peer{r.to, other, r.to} {
		must[uint64](t)(r.peers.Term(background(t), to))
	}
	if n := r.dialed(); n != 2 {
		t.Fatalf("%d connections for two replicas", n)
	}
	r.peers.Keep([]Peer{r.to, {"d", "127.0.0.1:1"}})
	<-r.conns[1].closed
	select {
	case <-r.conns[0].closed:
		t.Error("a connection to keep was closed")
	default:
	}
	must[uint64](t)(r.peers.Term(background(t), other))
	if n := r.dialed(); n != 3 {
		t.Errorf("%d connections after a closed one is needed again", n)
	}
}

func TestPeerServerOutlivesAPanic(t *testing.T) {
	r := newPeerRig(t, &fakeReplica{propose: func(context.Context, [][]byte) ([][]byte, error) { panic("at the disco") }})
	if _, err := r.peers.Propose(background(t), r.to, nil); err == nil || errors.Is(err, consent.ErrUnreached) {
		t.Errorf("error %v", err)
	}
	must[uint64](t)(r.peers.Term(background(t), r.to))
	if !strings.Contains(r.log.String(), "at the disco") {
		t.Error("the panic isn't logged")
	}
}

// TestPeerCallsAreCounted counts them by method and code, beside the API's own metrics in one registry.
func TestPeerCallsAreCounted(t *testing.T) {
	r := newPeerRig(t, &fakeReplica{propose: func(context.Context, [][]byte) ([][]byte, error) { return nil, consent.ErrNoLeader }})
	must[uint64](t)(r.peers.Term(background(t), r.to))
	if _, err := r.peers.Propose(background(t), r.to, nil); !errors.Is(err, consent.ErrNoLeader) {
		t.Fatal(err)
	}
	for _, collector := range newCallMetrics(nil).collectors() {
		r.metrics.MustRegister(collector)
	}
	ops := httptest.NewRecorder()
	OpsHandler(OpsOptions{Gatherer: r.metrics}).ServeHTTP(ops, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	for _, want := range []string{
		`consentd_peers_grpc_server_handled_total{grpc_code="OK",grpc_method="Term",grpc_service="peer.v1.PeerService",grpc_type="unary"} 1`,
		`consentd_peers_grpc_server_handled_total{grpc_code="Unavailable",grpc_method="Propose"`,
		`consentd_peers_grpc_server_handling_seconds_count{grpc_method="Propose"`,
	} {
		if !strings.Contains(ops.Body.String(), want) {
			t.Errorf("%s isn't there in\n%s", want, ops.Body)
		}
	}
}

func TestPeerServerNeedsABackend(t *testing.T) {
	if _, err := NewPeerServer(PeerServerOptions{}); err == nil {
		t.Error("no error without a backend")
	}
}

// TestPeerServerStops: what runs is finished, or cut when the context ends.
func TestPeerServerStops(t *testing.T) {
	for name, patient := range map[string]bool{"patiently": true, "at once": false} {
		t.Run(name, func(t *testing.T) {
			arrived, release := make(chan struct{}), make(chan struct{})
			r := newPeerRig(t, &fakeReplica{propose: func(ctx context.Context, _ [][]byte) ([][]byte, error) {
				close(arrived)
				select {
				case <-release:
					return [][]byte{[]byte("done")}, nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}})
			s := r.serve(t, "127.0.0.1:0")
			asked := make(chan error, 1)
			go func() {
				_, err := r.peers.Propose(context.Background(), Peer{"c", s.address}, nil)
				asked <- err
			}()
			<-arrived
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			stopped := make(chan error, 1)
			go func() { stopped <- s.server.Stop(ctx) }()
			waitFor(t, "new calls to be refused", func() bool {
				_, err := r.peers.Term(context.Background(), Peer{"d", s.address})
				return errors.Is(err, consent.ErrUnreached)
			})
			if patient {
				close(release)
			} else {
				cancel()
			}
			if err := <-stopped; (err == nil) != patient {
				t.Errorf("stopping: %v", err)
			}
			if err := <-asked; (err == nil) != patient || errors.Is(err, consent.ErrUnreached) {
				t.Errorf("the call that ran: %v", err)
			}
		})
	}
}
