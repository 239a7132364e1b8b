package server_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/server"
	"github.com/prometheus/client_golang/prometheus"
)

// nothing is a State that isn't ready. A replica gives its cluster's node instead.
type nothing struct{}

func (nothing) View(context.Context, consent.Consistency) (consent.View, error) {
	return consent.View{}, consent.ErrNotReady
}

func (nothing) Record(context.Context, *consent.Tenant, string, *consent.Buffer) (consent.Record, error) {
	return nil, consent.ErrNotReady
}

// A server listens where it is told, answers until it is drained, and then returns.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := server.New(server.Options{State: nothing{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	listener, err := server.Listen(ctx, "127.0.0.1:0", server.ListenOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	served := make(chan error)
	go func() { served <- s.Serve(listener) }()
	fmt.Println("drained:", s.Drain(ctx))
	fmt.Println("served:", <-served)
	// Output:
	// drained: <nil>
	// served: <nil>
}

// What other machines could reach is refused, until somebody allows it.
func ExampleListen() {
	_, err := server.Listen(context.Background(), "0.0.0.0:0", server.ListenOptions{})
	fmt.Println(err)
	// Output:
	// listening on 0.0.0.0:0: the address isn't a loopback address, and nothing authenticates callers yet: listen on 127.0.0.1, [::1] or a unix socket, or allow the danger explicitly
}

// Operators see why a process isn't ready.
func ExampleOpsHandler() {
	ops := server.OpsHandler(server.OpsOptions{
		Gatherer: prometheus.NewRegistry(),
		Ready:    func() error { return consent.ErrNotReady },
	})
	reply := httptest.NewRecorder()
	ops.ServeHTTP(reply, httptest.NewRequest(http.MethodGet, "/readyz", http.NoBody))
	fmt.Println(reply.Code, reply.Body)
	// Output: 503 not ready yet: ask again
}

// aReplica answers other replicas. A replica gives its cluster's node instead.
type aReplica struct{ server.PeerBackend }

func (aReplica) Term(context.Context) (uint64, error) { return 7, nil }

// Propose refuses what only a leader can do.
func (aReplica) Propose(context.Context, [][]byte) ([][]byte, error) {
	return nil, fmt.Errorf("%w: a new one is being elected", consent.ErrNoLeader)
}

// Replicas ask each other over connections that the cluster's wire dials. An error keeps its meaning on the way.
func ExampleNewPeers() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := server.NewPeerServer(server.PeerServerOptions{Backend: aReplica{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	served := make(chan error)
	go func() { served <- s.Serve(listener) }()
	peers := server.NewPeers(func(ctx context.Context, _, address string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	})
	other := server.Peer{ID: "b", Address: listener.Addr().String()}

	fmt.Println(peers.Term(ctx, other))
	_, err = peers.Propose(ctx, other, [][]byte{[]byte("a command")})
	fmt.Println("no leader:", errors.Is(err, consent.ErrNoLeader), "- unreached:", errors.Is(err, consent.ErrUnreached))
	fmt.Println("stopped:", errors.Join(s.Stop(ctx), <-served))
	fmt.Println("closed:", peers.Close())
	// Output:
	// 7 <nil>
	// no leader: true - unreached: false
	// stopped: <nil>
	// closed: <nil>
}
