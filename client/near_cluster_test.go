package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/consentd/consentd/cluster"
	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/server"
	"github.com/google/uuid"
)

// threeReplicas are a cluster in this process, over real connections.
type threeReplicas struct {
	t     *testing.T
	nodes []*cluster.Node
	stops []func()
	ports []string

	mu    sync.Mutex
	acked []ack // in the order of their times
}

// ack is a write that was acknowledged.
type ack struct {
	at       time.Time
	revision consent.Revision
}

func newThreeReplicas(t *testing.T) *threeReplicas {
	t.Helper()
	key := filepath.Join(t.TempDir(), "pseudonym.key")
	if err := cluster.NewKeyFile(key); err != nil {
		t.Fatal(err)
	}
	c := &threeReplicas{t: t}
	var listeners []net.Listener
	for range 3 {
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners, c.ports = append(listeners, listener), append(c.ports, listener.Addr().String())
	}
	var starts []<-chan error
	for i, listener := range listeners {
		starts = append(starts, c.start(fmt.Sprint("n", i+1), key, listener))
	}
	for _, started := range starts {
		if err := <-started; err != nil {
			t.Fatal(err)
		}
	}
	for _, node := range c.nodes {
		awaitNil(t, node.Ready)
	}
	return c
}

func (c *threeReplicas) start(id, key string, listener net.Listener) <-chan error {
	t, quiet := c.t, slog.New(slog.DiscardHandler)
	t.Helper()
	wire, err := cluster.OpenWire(t.Context(), cluster.WireOptions{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	peers := server.NewPeers(wire.DialPeer)
	node, err := cluster.New(cluster.Options{
		DataDir: t.TempDir(), NodeID: id, PseudonymKeyFile: key, MinFreeBytes: -1, Wire: wire, Peers: peers, Logger: quiet,
		BootstrapExpect: len(c.ports), Join: c.ports, Listen: []string{listener.Addr().String()},
	})
	if err != nil {
		t.Fatal(err)
	}
	api, err := server.New(server.Options{
		State: node, Records: node, Policies: node, Cluster: node, Discovery: node, Watching: node, Ready: node.Ready, Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	among, err := server.NewPeerServer(server.PeerServerOptions{Backend: node})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served, started := make(chan error, 2), make(chan error, 1)
	go func() { served <- api.Serve(listener) }()
	go func() { served <- among.Serve(wire.PeerListener()) }()
	go func() { started <- node.Start(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		soon, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		err := errors.Join(api.Drain(soon), among.Stop(soon), node.Close(), peers.Close(), wire.Close(), <-served, <-served)
		if err != nil {
			t.Errorf("%s: %v", id, err)
		}
	})
	t.Cleanup(stop)
	c.nodes, c.stops = append(c.nodes, node), append(c.stops, stop)
	return started
}

// near returns a near cache of some tenants, or of all.
func (c *threeReplicas) near(tenants ...string) *NearCache {
	c.t.Helper()
	conn, err := Connect(strings.Join(c.ports, ","), ConnOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	near, err := NewNearCache(NearOptions{Conn: conn, MaxBytes: 16 << 20, Tenants: tenants})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(near.Close)
	awaitNil(c.t, near.Ready)
	return near
}

func newRequestID() consent.RequestID { return consent.RequestID(uuid.Must(uuid.NewV7())) }

// policyOf returns a policy with some of the permissions.
func policyOf(permissions int) []byte {
	document := "purposes:\n"
	for i := range permissions {
		document += fmt.Sprintf("  purpose_%d: {bases: [consent]}\n", i)
	}
	return []byte(document)
}

func (c *threeReplicas) put(tenant string, permissions int) {
	c.t.Helper()
	put := consent.PolicyPut{Tenant: tenant, RequestID: newRequestID(), Document: policyOf(permissions)}
	v, _, err := c.nodes[0].PutPolicy(c.t.Context(), put)
	if err != nil {
		c.t.Error(err)
		return
	}
	c.acknowledged(v.Revision)
}

// write does something to somebody at one of the replicas.
func (c *threeReplicas) write(ctx context.Context, node *cluster.Node, random *rand.Rand, tenant string) {
	scope := consent.Scope{Permissions: []string{fmt.Sprintf("purpose_%d", random.IntN(2))}}
	event := consent.Event{
		Kind: consent.Granted, OccurredAt: consent.TimeOf(time.Now().Add(-time.Second)), Scope: scope,
		Evidence: consent.Evidence{NoticeVersion: 1, Method: consent.MethodWebForm, Source: "test", Reference: "forms/1"},
	}
	switch random.IntN(10) {
	case 0:
		event = consent.Event{Kind: consent.Erased}
	case 1, 2, 3, 4:
		event = consent.Event{Kind: consent.Withdrawn, Scope: scope}
	}
	subject := subjectName(random.IntN(20 * subjects))
	w := consent.Write{Tenant: tenant, RequestID: newRequestID(), Events: []consent.SubjectEvent{{Subject: subject, Event: event}}}
	if done, err := node.Write(ctx, w); err == nil {
		c.acknowledged(done.Revision)
	} else if ctx.Err() == nil && !errors.Is(err, consent.ErrOutcomeUnknown) && !errors.Is(err, consent.ErrNotReady) &&
		!errors.Is(err, consent.ErrNotWritten) && !errors.Is(err, consent.ErrNoLeader) {
		c.t.Errorf("a write: %v", err)
	}
}

func (c *threeReplicas) acknowledged(r consent.Revision) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acked = append(c.acked, ack{time.Now(), r})
}

// judgeFreshness fails if a view lacks what was acknowledged before the time that it is said to be fresh as of.
func (c *threeReplicas) judgeFreshness(v consent.View) {
	c.mu.Lock()
	defer c.mu.Unlock()
	later, _ := slices.BinarySearchFunc(c.acked, v.FreshAsOf, func(a ack, t time.Time) int { return a.at.Compare(t) })
	for _, a := range c.acked[:later] {
		if a.revision.Index > v.Revision.Index {
			c.t.Errorf("%+v is said to be fresh as of %v, and %+v was acknowledged at %v", v.Revision, v.FreshAsOf, a.revision, a.at)
		}
	}
}

// judge asks the near cache about somebody, and a replica for the same. It returns whether they could be compared: not if the record has
// changed since.
func (c *threeReplicas) judge(near *NearCache, node *cluster.Node, tenant string) (compared bool, err error) {
	ctx := c.t.Context()
	v, err := near.View(ctx, consent.Consistency{})
	if err != nil {
		return false, err
	}
	c.judgeFreshness(v)
	t, subject := v.Tenants[tenant], subjectName(rand.IntN(20*subjects))
	if t == nil {
		return false, nil
	}
	v, record, err := near.Look(ctx, t, subject)
	if err != nil {
		return false, err
	}
	c.judgeFreshness(v)
	same, err := node.Fill(ctx, tenant, subject, v.Revision)
	if err != nil || same.Record.Index() > v.Revision.Index {
		return false, nil //nolint:nilerr // a replica that can't say gives nothing to compare with
	}
	if !slices.Equal(record, same.Record) {
		c.t.Errorf("%s at %+v: near %x, and at the replica %x", subject, v.Revision, record, same.Record)
	}
	c.judgeAnswers(node, v, v.Tenants[tenant], subject, record)
	return true, nil
}

// judgeAnswers fails if a policy and a record decide otherwise than those of the replica, provided that it has the same policy.
func (c *threeReplicas) judgeAnswers(node *cluster.Node, v consent.View, t *consent.Tenant, subject string, record consent.Record) {
	var buf consent.Buffer
	theirs, err := node.View(c.t.Context(), consent.Consistency{})
	if err != nil || theirs.Revision.Epoch != v.Revision.Epoch || t.Policy == nil {
		return
	}
	there := theirs.Tenants[t.Name]
	other, err := node.Record(c.t.Context(), there, subject, &buf)
	if err != nil || other.Index() > v.Revision.Index || there.Policy.Version != t.Policy.Version {
		return
	}
	now := consent.TimeOf(time.Now())
	for i := range t.Policy.Permissions {
		mine := &t.Policy.Permissions[i]
		yours := there.Policy.Permission(mine.Name)
		a, b := consent.Decide(mine, record, consent.Question{}, now), consent.Decide(yours, other, consent.Question{}, now)
		if a != b {
			c.t.Errorf("%s of %s: near %+v, and at the replica %+v", mine.Name, subject, a, b)
		}
	}
}

// TestNearCacheOfACluster has near caches of all tenants and of some follow a cluster that is written to, loses its leader
// and a replica, and is restored. What they say is what a replica says.
func TestNearCacheOfACluster(t *testing.T) {
	c := newThreeReplicas(t)
	c.put("shop", 2)
	c.put("other", 2)
	nears := []*NearCache{c.near(), c.near("shop", "late"), c.near(), c.near("shop", "late")}
	var live atomic.Int32 // how many of the nodes
	live.Store(3)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	for i := range 3 {
		random := rand.New(rand.NewPCG(uint64(i), 1))
		running.Go(func() {
			for wait(ctx, time.Millisecond) == nil {
				if int(live.Load()) > i {
					c.write(ctx, c.nodes[i], random, []string{"shop", "other", "late"}[random.IntN(3)])
				}
			}
		})
	}
	follow := func(while string, until func(compared int) bool) {
		t.Helper()
		compared, began := 0, time.Now()
		for !until(compared) && time.Since(began) < time.Minute {
			same, err := c.judge(nears[rand.IntN(len(nears))], c.nodes[rand.IntN(2)], []string{"shop", "late"}[rand.IntN(2)])
			if err != nil && !errors.Is(err, consent.ErrNotReady) && !errors.Is(err, consent.ErrStale) {
				t.Errorf("while %s: %v", while, err)
			}
			if same {
				compared++
			}
		}
		if !until(compared) {
			t.Errorf("while %s, %d answers were compared in a minute", while, compared)
		}
	}
	enough := func(compared int) bool { return compared >= 300 }

	follow("it is written to", enough)
	c.put("late", 1)
	c.put("shop", 3)
	c.put("shop", 4)
	follow("policies change", enough)
	if _, err := c.nodes[0].TransferLeadership(ctx, "n2"); err != nil {
		t.Log("leadership didn't move: ", err)
	}
	follow("leadership moves", enough)
	c.everythingAcknowledgedIsSeen(nears)

	var backup bytes.Buffer
	awaitNil(t, func() error {
		backup.Reset()
		return c.nodes[0].BackUp(ctx, &backup)
	})
	epoch := nears[0].cache.Reached().Epoch
	awaitNil(t, func() error { // on a busy machine the leader may go amid it; twice is as good as once
		_, err := c.nodes[1].Restore(ctx, true, bytes.NewReader(backup.Bytes()))
		return err
	})
	follow("a backup is restored", func(compared int) bool {
		return compared >= 300 && nears[0].cache.Reached().Epoch != epoch && nears[1].cache.Reached().Epoch != epoch
	})
	live.Store(2) // the third is written to no more
	c.stops[2]()
	follow("a replica is gone", enough)
	c.everythingAcknowledgedIsSeen(nears)
}

// everythingAcknowledgedIsSeen fails unless what was acknowledged before the question is in an answer that asks for it.
func (c *threeReplicas) everythingAcknowledgedIsSeen(nears []*NearCache) {
	c.t.Helper()
	for range 20 {
		c.mu.Lock()
		newest := c.acked[len(c.acked)-1].revision
		c.mu.Unlock()
		for _, near := range nears {
			for _, demand := range []consent.Consistency{{AtLeast: newest}, {Full: true}} {
				v, err := near.View(c.t.Context(), demand)
				if err != nil || v.Revision.Index < newest.Index {
					c.t.Errorf("asked for %+v, it is at %+v, %v", demand, v, err)
				}
			}
		}
	}
}
