package cluster

import (
	"context"
	"errors"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/consentd/consentd/server"
)

// chaosAPIs are the APIs of the replicas that run, over connections in memory: what near caches reach them by.
type chaosAPIs struct {
	net *testNet
	ids []string

	mu     sync.Mutex
	of     map[string]*chaosAPI
	ending sync.WaitGroup
}

// chaosAPI is the API of one replica, from its start to its end.
type chaosAPI struct {
	node *Node
	conn *grpc.ClientConn
	stop func()
}

// api returns a replica's API, or nil if it doesn't run.
func (a *chaosAPIs) api(id string) (*chaosAPI, error) {
	a.net.mu.Lock()
	node := a.net.nodes[id]
	a.net.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	is := a.of[id]
	if is != nil && is.node == node {
		return is, nil
	}
	if is != nil {
		a.ending.Go(is.stop)
		delete(a.of, id)
	}
	if node == nil {
		return nil, nil
	}
	is, err := newChaosAPI(node)
	if err == nil {
		a.of[id] = is
	}
	return is, err
}

// runs reports whether the API is that of a replica that hasn't crashed.
func (a *chaosAPIs) runs(id string, is *chaosAPI) bool {
	a.net.mu.Lock()
	defer a.net.mu.Unlock()
	return a.net.nodes[id] == is.node
}

func (a *chaosAPIs) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, is := range a.of {
		is.stop()
	}
	a.ending.Wait()
}

func newChaosAPI(node *Node) (*chaosAPI, error) {
	api, err := server.New(server.Options{State: node, Records: node, Policies: node, Watching: node, Now: node.options.Now})
	if err != nil {
		return nil, err
	}
	listener := bufconn.Listen(1 << 20)
	served := make(chan error, 1)
	go func() { served <- api.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///replica", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		return nil, err
	}
	return &chaosAPI{node, conn, func() {
		_ = conn.Close()
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		if err := errors.Join(api.Drain(gone), <-served); err != nil && !errors.Is(err, context.Canceled) {
			panic(err)
		}
	}}, nil
}
