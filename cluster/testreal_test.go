package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/server"
)

// realCluster is replicas as they are shipped, but for the process: on a disk, over wires and gRPC on loopback, with their own timings.
type realCluster struct {
	tb       testing.TB
	key      string
	replicas []*realReplica
}

// realReplica is one of them, running or not.
type realReplica struct {
	*Node
	cluster *realCluster
	o       Options
	listen  string // the address of its API
	wired   string // the address of its wire
	stop    func()
}

// newRealCluster founds a cluster, and waits until all answer.
func newRealCluster(tb testing.TB, size int) *realCluster {
	tb.Helper()
	c := &realCluster{tb: tb, key: filepath.Join(tb.TempDir(), "pseudonym.key")}
	if err := NewKeyFile(c.key); err != nil {
		tb.Fatal(err)
	}
	for range size {
		c.build().o.BootstrapExpect = size
	}
	var starts []<-chan error
	for _, r := range c.replicas {
		if size > 1 {
			r.o.Join = c.addresses()
		}
		starts = append(starts, r.start())
	}
	for i, r := range c.replicas {
		r.wantReady(starts[i])
	}
	c.putPolicy()
	return c
}

// build adds a replica that doesn't run yet.
func (c *realCluster) build() *realReplica {
	c.tb.Helper()
	r := &realReplica{cluster: c, listen: freeAddress(c.tb), wired: freeAddress(c.tb)}
	r.o = Options{
		DataDir: c.tb.TempDir(), NodeID: fmt.Sprintf("n%d", len(c.replicas)+1), PseudonymKeyFile: c.key, MinFreeBytes: -1,
		Listen: []string{r.listen},
	}
	c.replicas = append(c.replicas, r)
	return r
}

func freeAddress(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (c *realCluster) addresses() []string {
	var all []string
	for _, r := range c.replicas {
		all = append(all, r.listen)
	}
	return all
}

// start opens the replica and starts it. What that came to is told on the channel.
func (r *realReplica) start() <-chan error {
	tb := r.cluster.tb
	tb.Helper()
	wire, err := OpenWire(context.Background(), WireOptions{Listen: r.wired})
	if err != nil {
		tb.Fatal(err)
	}
	peers := server.NewPeers(wire.DialPeer)
	r.o.Wire, r.o.Peers = wire, peers
	if r.Node, err = New(r.o); err != nil {
		tb.Fatal(err)
	}
	listener, err := net.Listen("tcp", r.listen)
	if err != nil {
		tb.Fatal(err)
	}
	api, err := server.New(server.Options{
		State: r.Node, Records: r.Node, Policies: r.Node, Cluster: r.Node, Discovery: r.Node, Ready: r.Ready,
	})
	if err != nil {
		tb.Fatal(err)
	}
	among, err := server.NewPeerServer(server.PeerServerOptions{Backend: r.Node})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served, started, node := make(chan error, 2), make(chan error, 1), r.Node
	go func() { served <- api.Serve(listener) }()
	go func() { served <- among.Serve(wire.PeerListener()) }()
	go func() { started <- node.Start(ctx) }()
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		soon, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := errors.Join(api.Drain(soon), among.Stop(soon), node.Close(), peers.Close(), wire.Close(), <-served, <-served); err != nil {
			tb.Errorf("stopping %s: %v", r.o.NodeID, err)
		}
	}
	tb.Cleanup(r.stop)
	return started
}

func (r *realReplica) wantReady(started <-chan error) {
	r.cluster.tb.Helper()
	if err := <-started; err != nil {
		r.cluster.tb.Fatalf("starting %s: %v", r.o.NodeID, err)
	}
	waitReady(r.cluster.tb, r.Node)
}

// putPolicy makes newsletter/email of tenant shop askable.
func (c *realCluster) putPolicy() {
	c.tb.Helper()
	put := consent.PolicyPut{
		Tenant: "shop", RequestID: newRequestID(c.tb), Document: []byte("purposes: {newsletter: {channels: {email: {bases: [consent]}}}}\n"),
	}
	if _, _, err := c.replicas[0].PutPolicy(context.Background(), put); err != nil {
		c.tb.Fatal(err)
	}
}

// leader waits until a replica leads, and returns it and the others.
func (c *realCluster) leader() (leader *realReplica, followers []*realReplica) {
	c.tb.Helper()
	waitFor(c.tb, "a leader", func() bool {
		leader, followers = nil, nil
		for _, r := range c.replicas {
			if r.Stats().Leads {
				leader = r
			} else {
				followers = append(followers, r)
			}
		}
		return leader != nil && len(followers) == len(c.replicas)-1
	})
	return leader, followers
}

// dial returns a connection to the replica's API. It is closed with the test.
func (r *realReplica) dial() *grpc.ClientConn {
	tb := r.cluster.tb
	tb.Helper()
	conn, err := grpc.NewClient("passthrough:///"+r.listen, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return conn
}
