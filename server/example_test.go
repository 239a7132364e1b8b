package server_test

import (
	"context"
	"fmt"
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
