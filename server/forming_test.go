package server_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/consentd/consentd/cluster"
	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/consentd/consentd/server"
)

// replica is a whole one: its node, its port for peers and its API, on loopback.
type replica struct {
	node    *cluster.Node
	started chan error
}

// startReplica starts one that others find at listener, and closes it with the test.
func startReplica(t *testing.T, listener net.Listener, o cluster.Options) *replica {
	t.Helper()
	wire, err := cluster.OpenWire(t.Context(), cluster.WireOptions{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	peers := server.NewPeers(wire.DialPeer)
	o.DataDir, o.Wire, o.Peers, o.Listen = t.TempDir(), wire, peers, []string{listener.Addr().String()}
	node, err := cluster.New(o)
	if err != nil {
		t.Fatal(err)
	}
	forPeers, err := server.NewPeerServer(server.PeerServerOptions{Backend: node})
	if err != nil {
		t.Fatal(err)
	}
	api, err := server.New(server.Options{State: node, Records: node, Policies: node, Cluster: node, Discovery: node, Ready: node.Ready})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 2)
	go func() { served <- forPeers.Serve(wire.PeerListener()) }()
	go func() { served <- api.Serve(listener) }()
	r := &replica{node, make(chan error, 1)}
	ctx, leave := context.WithCancel(context.Background())
	go func() { r.started <- node.Start(ctx) }()
	t.Cleanup(func() {
		leave()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := errors.Join(api.Drain(ctx), forPeers.Stop(ctx), node.Close(), peers.Close(), wire.Close(), <-served, <-served); err != nil {
			t.Errorf("closing a replica: %v", err)
		}
	})
	return r
}

func (r *replica) waitReady(t *testing.T) {
	t.Helper()
	if err := <-r.started; err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "a replica to be ready", func() bool { return r.node.Ready() == nil })
}

func waitUntil(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited 20s for %s", what)
		}
	}
}

// Three replicas with the same options found a cluster over the network, and one more joins it as a learner.
func TestClusterFormsOverTheNetwork(t *testing.T) {
	o := cluster.Options{BootstrapExpect: 3, PseudonymKeyFile: filepath.Join(t.TempDir(), "pseudonym.key"), Version: "test"}
	if err := cluster.NewKeyFile(o.PseudonymKeyFile); err != nil {
		t.Fatal(err)
	}
	listeners := make([]net.Listener, 4)
	for i := range listeners {
		var err error
		if listeners[i], err = server.Listen(t.Context(), "127.0.0.1:0", server.ListenOptions{}); err != nil {
			t.Fatal(err)
		}
		if i < o.BootstrapExpect {
			o.Join = append(o.Join, listeners[i].Addr().String())
		}
	}
	replicas := make([]*replica, len(listeners))
	for i, listener := range listeners[:3] {
		o.NodeID = fmt.Sprintf("n%d", i+1)
		replicas[i] = startReplica(t, listener, o)
	}
	for _, r := range replicas[:3] {
		r.waitReady(t)
	}
	written, err := replicas[1].node.Write(t.Context(), consent.Write{
		Tenant: "shop", RequestID: consent.RequestID(uuid.Must(uuid.NewV7())),
		Events: []consent.SubjectEvent{{Subject: "anna", Event: consent.Event{Kind: consent.Withdrawn}}},
	})
	if err != nil {
		t.Fatal(err)
	}

	o.NodeID, o.Learner = "n4", true
	replicas[3] = startReplica(t, listeners[3], o)
	replicas[3].waitReady(t)
	for i, r := range replicas {
		if _, err := r.node.View(t.Context(), consent.Consistency{AtLeast: written.Revision, Full: true}); err != nil {
			t.Errorf("replica %d: %v", i, err)
		}
	}
	waitUntil(t, "all members to be healthy", func() bool { return sound(t, replicas[3].node) })
}

// sound reports whether a replica knows of three healthy voters and a healthy learner, each by its API.
func sound(t *testing.T, n *cluster.Node) bool {
	t.Helper()
	status, err := n.Status(t.Context())
	if err != nil {
		return false
	}
	voters, learners := 0, 0
	for _, m := range status.GetMembers() {
		if !m.GetHealthy() || len(m.GetListen()) != 1 || m.GetVersion() != "test" {
			return false
		}
		if m.GetRole() == consentv1.MemberRole_MEMBER_ROLE_LEARNER {
			learners++
		} else {
			voters++
		}
	}
	return voters == 3 && learners == 1 && status.GetFailuresTolerated() == 1
}
