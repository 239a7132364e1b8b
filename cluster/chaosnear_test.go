package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/consentd/consentd/cache"
	"github.com/consentd/consentd/client"
	"github.com/consentd/consentd/cluster/chaos"
	"github.com/consentd/consentd/consent"
)

// chaosCaches is how many near caches there are in a run.
const chaosCaches = 4

// chaosNear is one near cache of a run. It reaches the replicas by a fickle connection. The load calls what is in its place under a name
// for each, because one that comes anew may answer from before the one that went.
type chaosNear struct {
	*client.NearCache
	name  string
	conn  *fickleConn
	ahead *atomic.Int64 // by how much its clock is wrong
	now   func() time.Time
	leave func() // ends its crowd; nil if it has none
}

// addCaches puts near caches beside the cluster, and waits until they answer.
func (r *chaosRun) addCaches(seed uint64) {
	r.tb.Helper()
	r.apis = &chaosAPIs{net: r.c.net, ids: r.c.ids, of: map[string]*chaosAPI{}}
	r.tb.Cleanup(r.apis.close)
	r.trouble = &chaosTrouble{}
	waitFor(r.tb, "the tenant", func() bool { return r.c.node("n1").store.Head().Tenants["shop"] != nil })
	r.large = largeRecord(r.tb, r.c.node("n1").store.Head().Tenants["shop"].Number)
	r.load.Near = map[string]chaos.Checker{}
	for i := range chaosCaches {
		n := r.newCache(fmt.Sprintf("s%d", i+1), seed<<8|uint64(i))
		r.near = append(r.near, n)
		r.load.Near[n.name] = n
	}
	r.tb.Cleanup(func() {
		for _, n := range r.near {
			n.close()
		}
	})
	for _, n := range r.near {
		waitFor(r.tb, n.name+" to be ready", func() bool { return n.Ready() == nil })
		if n.leave != nil {
			waitFor(r.tb, n.name+" to be full", func() bool { return n.Stats().Evictions > 0 })
		}
	}
}

func (r *chaosRun) newCache(name string, seed uint64) *chaosNear {
	r.tb.Helper()
	n := &chaosNear{name: name, conn: newFickleConn(r.apis, r.trouble, seed), ahead: &atomic.Int64{}}
	n.now = skewed(n.ahead)
	o := client.NearOptions{Conn: n.conn, MaxBytes: cache.MinBytes, Now: n.now}
	crowded := strings.HasPrefix(name, crowdedCache)
	if crowded {
		o.Conn = &crowdedConn{n.conn, r.large}
	}
	if os.Getenv("CHAOSLOG") != "" {
		o.Logger = slog.New(slog.NewTextHandler(r.tb.Output(), nil)).With("cache", name)
	}
	var err error
	if n.NearCache, err = client.NewNearCache(o); err != nil {
		r.tb.Fatal(err)
	}
	if crowded {
		n.leave = crowd(n.NearCache)
	}
	return n
}

func (n *chaosNear) close() {
	if n.leave != nil {
		n.leave()
	}
	n.Close()
	n.conn.close()
}

// Check implements chaos.Checker. The answer is exactly that of its revision.
func (n *chaosNear) Check(ctx context.Context, q chaos.Question) (chaos.Reply, error) {
	view, err := n.View(ctx, consent.Consistency{AtLeast: q.Asked, Full: q.Level == chaos.Full})
	if err != nil {
		return chaos.Reply{}, err
	}
	name, subject := chaosPlace(q)
	for {
		tenant := view.Tenants[name]
		if tenant == nil || tenant.Policy == nil {
			return chaos.Reply{}, errors.New("the policy isn't here yet")
		}
		seen, record, err := n.Look(ctx, tenant, subject)
		if err != nil {
			return chaos.Reply{}, err
		}
		if view = seen; view.Tenants[name] == tenant {
			reply, err := chaosDecide(view, tenant, record, n.now())
			reply.Upto = reply.Revision.Index
			return reply, err
		}
	}
}

// replaceCache closes a near cache and opens another in its place, which knows nothing yet.
func (r *chaosRun) replaceCache(i int, seed uint64) {
	r.tb.Helper()
	old := r.near[i]
	r.renewed++
	next := r.newCache(fmt.Sprintf("%.2s, anew %d", old.name, r.renewed), seed)
	r.load.Replace(old.name, next.name, next)
	r.near[i] = next
	old.close()
}

// waitCaches waits until all near caches answer, and have come to what there is.
func (r *chaosRun) waitCaches() {
	r.tb.Helper()
	for _, n := range r.near {
		r.full(n, r.subjects[0])
	}
}

// compareCaches asks every near cache for every subject, and compares its answers with those of a replica. Nobody writes meanwhile.
func (r *chaosRun) compareCaches() error {
	r.tb.Helper()
	for _, subject := range r.subjects {
		want := r.full(r.load.Replicas[r.c.ids[0]], subject)
		for _, n := range r.near {
			if got := r.full(n, subject); got.Allowed != want.Allowed {
				return fmt.Errorf("%s says of %s that it is allowed: %t, and a replica: %t", n.name, subject, got.Allowed, want.Allowed)
			}
		}
	}
	return nil
}

// full asks until there is an answer.
func (r *chaosRun) full(c chaos.Checker, subject string) (reply chaos.Reply) {
	r.tb.Helper()
	waitFor(r.tb, "an answer about "+subject, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		var err error
		reply, err = c.Check(ctx, chaos.Question{Subject: subject, Level: chaos.Full})
		return err == nil
	})
	return reply
}
