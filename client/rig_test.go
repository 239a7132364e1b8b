package client

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/consentd/consentd/cluster"
	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/consentd/consentd/server"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	anna       = "anna@example.com" // may be written to
	nobody     = "nobody@example.com"
	newsletter = "newsletter/email"
)

// rig is a node with a policy and a subject, and servers in front of it: each looks to clients like a replica of its own, none of which lags.
type rig struct {
	node    *cluster.Node
	servers []*testServer
}

// testServer is one server, on an address of its own.
type testServer struct {
	address string
	server  *server.Server
	state   *faultyState
	served  chan error
	stopped sync.Once
}

// faultyState is the node's state, save where a test breaks it.
type faultyState struct {
	server.State
	mu   sync.Mutex
	fail func(ctx context.Context) error
}

// failWith makes every look at the state call f first.
func (s *faultyState) failWith(f func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = f
}

func (s *faultyState) View(ctx context.Context, c consent.Consistency) (consent.View, error) {
	s.mu.Lock()
	fail := s.fail
	s.mu.Unlock()
	if fail != nil {
		if err := fail(ctx); err != nil {
			return consent.View{}, err
		}
	}
	return s.State.View(ctx, c)
}

func newRig(tb testing.TB, servers int, change ...func(*server.Options)) *rig {
	tb.Helper()
	quiet := slog.New(slog.DiscardHandler)
	node, err := cluster.Open(tb.Context(), cluster.Options{DataDir: filepath.Join(tb.TempDir(), "data"), Logger: quiet})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := node.Close(); err != nil {
			tb.Error(err)
		}
	})
	r := &rig{node: node}
	awaitNil(tb, node.Ready)
	r.fill(tb)
	for range servers {
		r.servers = append(r.servers, r.serve(tb, "127.0.0.1:0", change...))
	}
	return r
}

// serve starts a server on an address.
func (r *rig) serve(tb testing.TB, address string, change ...func(*server.Options)) *testServer {
	tb.Helper()
	s := &testServer{state: &faultyState{State: r.node}, served: make(chan error, 1)}
	o := server.Options{
		State: s.state, Records: r.node, Policies: r.node, Watching: r.node, Ready: r.node.Ready, Logger: slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&o)
	}
	var err error
	if s.server, err = server.New(o); err != nil {
		tb.Fatal(err)
	}
	network, path := "tcp", address
	if socket, found := strings.CutPrefix(address, "unix://"); found {
		network, path = "unix", socket
	}
	listener, err := (&net.ListenConfig{}).Listen(tb.Context(), network, path)
	if err != nil {
		tb.Fatal(err)
	}
	if s.address = address; network == "tcp" {
		s.address = listener.Addr().String()
	}
	go func() { s.served <- s.server.Serve(listener) }()
	tb.Cleanup(func() { s.stop(tb) })
	return s
}

// stop drains the server. It may be called again.
func (s *testServer) stop(tb testing.TB) {
	tb.Helper()
	s.stopped.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.server.Drain(ctx); err != nil {
			tb.Error(err)
		}
		if err := <-s.served; err != nil {
			tb.Error(err)
		}
	})
}

// kill cuts all connections at once.
func (s *testServer) kill() {
	s.stopped.Do(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.server.Drain(ctx) // says that the calls didn't finish
		<-s.served
	})
}

// target names all servers.
func (r *rig) target() string {
	var addresses []string
	for _, s := range r.servers {
		addresses = append(addresses, s.address)
	}
	return strings.Join(addresses, ",")
}

// dial returns a client of all servers.
func (r *rig) dial(tb testing.TB, opts ...Option) *Client {
	tb.Helper()
	return dial(tb, r.target(), opts...)
}

func dial(tb testing.TB, target string, opts ...Option) *Client {
	tb.Helper()
	c, err := Dial(tb.Context(), target, append([]Option{WithTimeout(20 * time.Second)}, opts...)...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

func (r *rig) fill(tb testing.TB) {
	tb.Helper()
	document, err := os.ReadFile("../examples/shop/policy.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	for _, tenant := range []string{defaultTenant, "other"} {
		put := consent.PolicyPut{Tenant: tenant, RequestID: consent.RequestID(uuid.Must(uuid.NewV7())), Document: document}
		if _, _, err := r.node.PutPolicy(tb.Context(), put); err != nil {
			tb.Fatal(err)
		}
	}
	scope, at := consent.Scope{Permissions: []string{newsletter}}, time.Now().Add(-time.Hour)
	_, err = r.node.Write(tb.Context(), consent.Write{
		Tenant: defaultTenant, RequestID: consent.RequestID(uuid.Must(uuid.NewV7())), Events: []consent.SubjectEvent{
			{Subject: anna, Event: consent.Event{
				Kind: consent.Granted, OccurredAt: consent.TimeOf(at), Scope: scope,
				Evidence: consent.Evidence{NoticeVersion: 3, Method: consent.MethodWebForm, Source: "test", Reference: "forms/1"},
			}},
			{Subject: anna, Event: consent.Event{Kind: consent.Confirmed, OccurredAt: consent.TimeOf(at.Add(time.Minute)), Scope: scope}},
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// awaitNil returns once f returns nil.
func awaitNil(tb testing.TB, f func() error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for f() != nil {
		select {
		case <-look.C:
		case <-ctx.Done():
			tb.Fatal(f())
		}
	}
}

// withdrawal is a write that withdraws a subject's consent, now.
func withdrawal(subject string) *consentv1.WriteEventsRequest {
	return &consentv1.WriteEventsRequest{Events: []*consentv1.Event{{
		Subject: subject, Kind: consentv1.EventKind_EVENT_KIND_WITHDRAWN, OccurredAt: timestamppb.Now(),
		Scope: &consentv1.Scope{Permissions: []string{newsletter}},
	}}}
}

// fakeServer serves what a test makes up.
func fakeServer(tb testing.TB, register func(*grpc.Server)) (address string) {
	tb.Helper()
	listener, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := grpc.NewServer()
	healthpb.RegisterHealthServer(s, health.NewServer())
	register(s)
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	tb.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			tb.Error(err)
		}
	})
	return listener.Addr().String()
}
