package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/consentd/consentd/cluster"
	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
)

// replica is all of a replica but the process: wire, peers, node and both servers, on loopback.
type replica struct {
	id   string
	node *cluster.Node
	stop func()
	rig  // its clients
}

// startReplica runs a replica that is to found a cluster with those at the addresses.
func startReplica(t *testing.T, id, key string, listener net.Listener, addresses []string) (r *replica, started <-chan error) {
	t.Helper()
	wire := must[*cluster.Wire](t)(cluster.OpenWire(background(t), cluster.WireOptions{Listen: "127.0.0.1:0"}))
	peers := NewPeers(wire.DialPeer)
	node := must[*cluster.Node](t)(cluster.New(cluster.Options{
		DataDir: t.TempDir(), NodeID: id, PseudonymKeyFile: key, MinFreeBytes: -1, Wire: wire, Peers: peers,
		BootstrapExpect: len(addresses), Join: addresses, Listen: []string{listener.Addr().String()},
	}))
	r = &replica{id: id, node: node}
	r.server = must[*Server](t)(New(Options{
		State: node, Records: node, Policies: node, Cluster: node, Discovery: node, Watching: node, Ready: node.Ready,
	}))
	among := must[*PeerServer](t)(NewPeerServer(PeerServerOptions{Backend: node}))
	r.connect(t, listener.Addr().String())

	ctx, cancel := context.WithCancel(context.Background())
	served, ran := make(chan error, 2), make(chan error, 1)
	go func() { served <- r.server.Serve(listener) }()
	go func() { served <- among.Serve(wire.PeerListener()) }()
	go func() { ran <- node.Start(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		soon, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		err := errors.Join(r.conn.Close(), r.server.Drain(soon), among.Stop(soon), node.Close(), peers.Close(), wire.Close(), <-served, <-served)
		if err != nil {
			t.Errorf("%s: %v", id, err)
		}
	})
	t.Cleanup(r.stop)
	return r, ran
}

func (r *replica) connect(t *testing.T, address string) {
	t.Helper()
	r.conn = must[*grpc.ClientConn](t)(grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials())))
	r.permissions = consentv1.NewPermissionServiceClient(r.conn)
	r.records = consentv1.NewRecordServiceClient(r.conn)
	r.policies = consentv1.NewPolicyServiceClient(r.conn)
	r.cluster = consentv1.NewClusterServiceClient(r.conn)
	r.watch = consentv1.NewWatchServiceClient(r.conn)
}

// three founds a cluster of three replicas over DiscoveryService, and returns the leader and the others.
func three(t *testing.T) (leader *replica, followers []*replica) {
	t.Helper()
	key := filepath.Join(t.TempDir(), "pseudonym.key")
	if err := cluster.NewKeyFile(key); err != nil {
		t.Fatal(err)
	}
	var listeners []net.Listener
	var addresses []string
	for range 3 {
		listeners = append(listeners, must[net.Listener](t)(Listen(background(t), "127.0.0.1:0", ListenOptions{})))
		addresses = append(addresses, listeners[len(listeners)-1].Addr().String())
	}
	var replicas []*replica
	var starts []<-chan error
	for i, id := range []string{"a", "b", "c"} {
		r, started := startReplica(t, id, key, listeners[i], addresses)
		replicas, starts = append(replicas, r), append(starts, started)
	}
	for _, started := range starts {
		if err := <-started; err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range replicas {
		waitFor(t, r.id+" to be ready", func() bool { return r.node.Ready() == nil })
	}
	status := replicas[0].statusWhen(t, "all to be healthy", func(s *consentv1.GetClusterStatusResponse) bool {
		return len(s.GetMembers()) == 3 && !slices.ContainsFunc(s.GetMembers(), func(m *consentv1.Member) bool { return !m.GetHealthy() })
	})
	for _, r := range replicas {
		if r.id == status.GetLeader() {
			leader = r
		} else {
			followers = append(followers, r)
		}
	}
	return leader, followers
}

func (r *replica) statusWhen(
	t *testing.T, what string, holds func(*consentv1.GetClusterStatusResponse) bool,
) (status *consentv1.GetClusterStatusResponse) {
	t.Helper()
	waitFor(t, what, func() bool {
		var err error
		status, err = r.cluster.GetClusterStatus(background(t), &consentv1.GetClusterStatusRequest{})
		return err == nil && holds(status)
	})
	return status
}

func (r *replica) put(t *testing.T, document string) {
	t.Helper()
	if _, err := r.policies.PutPolicy(background(t), &consentv1.PutPolicyRequest{Document: document}); err != nil {
		t.Fatalf("putting a policy at %s: %v", r.id, err)
	}
}

// decides returns what a replica decides of a permission at a consistency, and nothing if it can't.
func (r *replica) decides(t *testing.T, subject, permission string, c *consentv1.Consistency) consentv1.Decision {
	t.Helper()
	reply, err := r.permissions.Check(background(t), &consentv1.CheckRequest{Subject: subject, Permissions: []string{permission}, Consistency: c})
	if err != nil {
		t.Errorf("a check at %s: %v", r.id, err)
		return consentv1.Decision_DECISION_UNSPECIFIED
	}
	return reply.GetResults()[0].GetAnswer().GetDecision()
}

func atLeast(revision string) *consentv1.Consistency {
	return &consentv1.Consistency{Requirement: &consentv1.Consistency_AtLeast{AtLeast: revision}}
}

var newest = &consentv1.Consistency{Requirement: &consentv1.Consistency_FullyConsistent{FullyConsistent: true}}

const (
	allow = consentv1.Decision_DECISION_ALLOW
	deny  = consentv1.Decision_DECISION_DENY
)

// TestThreeReplicas founds a cluster over real connections, and does with it what people do.
func TestThreeReplicas(t *testing.T) {
	leader, followers := three(t)
	all := append([]*replica{leader}, followers...)
	t.Run("they agree who they are", func(t *testing.T) { theyAgree(t, all) })
	t.Run("a policy is known everywhere at once", func(t *testing.T) { policiesAreKnown(t, all) })
	t.Run("what one writes the others read", func(t *testing.T) { writesAreRead(t, all) })
	t.Run("a repeat elsewhere is the same write", func(t *testing.T) { repeatsAreOne(t, all) })
	t.Run("a backup comes back", func(t *testing.T) { backupsComeBack(t, leader, followers) })
	t.Run("leadership moves", func(t *testing.T) { leadershipMoves(t, leader, followers) })
	t.Run("a leader goes", func(t *testing.T) { aLeaderGoes(t, followers[0], []*replica{leader, followers[1]}) })
}

func theyAgree(t *testing.T, all []*replica) {
	t.Helper()
	first := all[0].statusWhen(t, "a status", func(*consentv1.GetClusterStatusResponse) bool { return true })
	if first.GetClusterId() == "" || first.GetLeader() != all[0].id || first.GetFailuresTolerated() != 1 {
		t.Errorf("status %v", first)
	}
	for _, r := range all {
		status := must[*consentv1.GetClusterStatusResponse](t)(r.cluster.GetClusterStatus(background(t), &consentv1.GetClusterStatusRequest{}))
		if status.GetNodeId() != r.id || status.GetClusterId() != first.GetClusterId() || status.GetLeader() != first.GetLeader() {
			t.Errorf("%s says %v", r.id, status)
		}
		_, err := r.cluster.RemoveMember(background(t), &consentv1.RemoveMemberRequest{Id: "nobody"})
		wantError(t, err, codes.NotFound, "UNKNOWN_MEMBER")
	}
}

// policiesAreKnown puts policies at one replica and writes under them at another, before it can have heard of them.
func policiesAreKnown(t *testing.T, all []*replica) {
	t.Helper()
	document := testPolicy
	for i := range 20 {
		name := fmt.Sprintf("round_%d", i)
		document += "  " + name + ": {bases: [consent]}\n"
		putAt, writeAt := all[i%3], all[(i+1)%3]
		putAt.put(t, document)
		writeAt.write(t, grant(anna, name))
	}
}

func writesAreRead(t *testing.T, all []*replica) {
	t.Helper()
	const permission = "recommendations/web"
	for i, r := range all {
		subject := fmt.Sprintf("subject-%d", i)
		granted := r.write(t, grant(subject, permission)).GetRevision()
		for _, other := range all {
			if got := other.decides(t, subject, permission, atLeast(granted)); got != allow {
				t.Errorf("%s wrote a grant, and %s decides %v", r.id, other.id, got)
			}
		}
		r.write(t, event(subject, consentv1.EventKind_EVENT_KIND_WITHDRAWN, permission))
		for _, other := range all {
			if got := other.decides(t, subject, permission, newest); got != deny {
				t.Errorf("%s wrote a withdrawal, and %s decides %v", r.id, other.id, got)
			}
		}
	}
	// Without a deadline a replica waits for the bound. With one, its answer had to be here within the last 20 ms.
	current := must[consent.Revision](t)(consent.ParseRevision(all[1].check(t, anna, permission).GetRevision()))
	_, err := all[1].permissions.Check(t.Context(), &consentv1.CheckRequest{
		Subject: anna, Permissions: []string{permission}, Consistency: atLeast(consent.Revision{Epoch: current.Epoch, Index: 1 << 40}.String()),
	})
	if s := wantError(t, err, codes.Unavailable, "STALE"); !strings.Contains(s.Message(), "only at") {
		t.Errorf("the revision reached isn't told: %s", s.Message())
	}
}

func repeatsAreOne(t *testing.T, all []*replica) {
	t.Helper()
	first := all[1].write(t, event("repeated", consentv1.EventKind_EVENT_KIND_ERASED))
	for _, r := range all {
		again := must[*consentv1.WriteEventsResponse](t)(r.records.WriteEvents(background(t), &consentv1.WriteEventsRequest{
			RequestId: first.GetRequestId(), Events: []*consentv1.Event{event("repeated", consentv1.EventKind_EVENT_KIND_ERASED)},
		}))
		if again.GetRevision() != first.GetRevision() {
			t.Errorf("%s wrote it again", r.id)
		}
	}
}

func backupsComeBack(t *testing.T, leader *replica, followers []*replica) {
	t.Helper()
	const permission = "recommendations/web"
	followers[0].write(t, grant("kept", permission))
	file := must[[]byte](t)(backedUp(background(t), &followers[1].rig))
	before := followers[0].write(t, grant("lost", permission)).GetRevision()

	_, err := restored(background(t), &leader.rig, true, string(file[:len(file)-1]))
	wantError(t, err, codes.FailedPrecondition, "BACKUP_UNUSABLE")
	if got := leader.decides(t, "lost", permission, newest); got != allow {
		t.Errorf("after half a backup: %v", got)
	}
	_, err = restored(background(t), &leader.rig, false, string(file))
	wantError(t, err, codes.FailedPrecondition, "BACKUP_UNUSABLE")

	half := len(file) / 2
	reply := must[*consentv1.RestoreResponse](t)(restored(background(t), &followers[0].rig, true, string(file[:half]), string(file[half:])))
	if reply.GetSubjects() == 0 || reply.GetTenants() != 1 || reply.GetBackedUpAt() == nil {
		t.Errorf("reply %v", reply)
	}
	for _, r := range append(followers, leader) {
		if kept, lost := r.decides(t, "kept", permission, atLeast(reply.GetRevision())), r.decides(t, "lost", permission, newest); kept != allow || lost != deny {
			t.Errorf("%s decides %v and %v", r.id, kept, lost)
		}
		_, err := r.permissions.Check(background(t), &consentv1.CheckRequest{
			Subject: "kept", Permissions: []string{permission}, Consistency: atLeast(before),
		})
		wantError(t, err, codes.FailedPrecondition, "EPOCH_CHANGED")
	}
}

func leadershipMoves(t *testing.T, leader *replica, followers []*replica) {
	t.Helper()
	to := followers[0].id
	reply := must[*consentv1.TransferLeadershipResponse](t)(leader.cluster.TransferLeadership(background(t), &consentv1.TransferLeadershipRequest{Id: to}))
	if reply.GetLeader() != to {
		t.Errorf("%s leads, want %s", reply.GetLeader(), to)
	}
	for _, r := range append(followers, leader) {
		r.write(t, event("after", consentv1.EventKind_EVENT_KIND_ERASED))
	}
}

// aLeaderGoes while others write: each write is done in the end, by whoever leads then, and none twice.
func aLeaderGoes(t *testing.T, leader *replica, others []*replica) {
	t.Helper()
	const permission = "recommendations/web"
	var writers sync.WaitGroup
	gone := make(chan struct{})
	for i, r := range others {
		writers.Go(func() {
			for n := 0; ; n++ {
				subject := fmt.Sprintf("writer-%d-%d", i, n)
				reply, err := r.records.WriteEvents(background(t), events(grant(subject, permission)))
				if err != nil {
					t.Errorf("%s writes: %v", r.id, err)
					return
				}
				if got := r.decides(t, subject, permission, atLeast(reply.GetRevision())); got != allow {
					t.Errorf("%s wrote a grant and decides %v", r.id, got)
				}
				select {
				case <-gone:
					return
				default:
				}
			}
		})
	}
	leader.stop()
	close(gone)
	writers.Wait()
	status := others[0].statusWhen(t, "a new leader", func(s *consentv1.GetClusterStatusResponse) bool {
		return s.GetLeader() != "" && s.GetLeader() != leader.id // who is seen as the leader for a moment longer
	})
	if status.GetFailuresTolerated() != 0 {
		t.Errorf("status %v", status)
	}
}
