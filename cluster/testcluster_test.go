package cluster

import (
	"context"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// testCluster is several replicas in one process, on file systems in memory that can lose power, and on a testNet. Its methods are for
// the goroutine of the test.
type testCluster struct {
	tb       testing.TB
	net      *testNet
	replicas map[string]*testReplica
	ids      []string // sorted
}

// testReplica is one of them, running or not.
type testReplica struct {
	*Node // nil while it doesn't run
	o     Options
	fs    *vfs.MemFS
	wrap  func(vfs.FS) vfs.FS // around fs; nil for none
}

// wrapper is a file system that a test puts around those of a replica, by setting Options.FS to it.
type wrapper interface{ around(vfs.FS) vfs.FS }

// steady makes elections short, and long enough for several replicas under the race detector. Learners stay learners: nobody looks at them.
var steady = tuning{election: 100 * time.Millisecond, inspection: time.Hour}

// newCluster starts so many voters, n1 and so on, and so many learners, l1 and so on. The first ones begin with all of them as members.
// Set changes the options of each; it may be nil.
func newCluster(tb testing.TB, voters, learners int, set func(*Options)) *testCluster {
	tb.Helper()
	c := &testCluster{tb: tb, net: newTestNet(), replicas: map[string]*testReplica{}}
	var members []raft.Server
	add := func(name byte, count int, suffrage raft.ServerSuffrage) {
		for i := range count {
			id := string([]byte{name, byte('1' + i)})
			c.ids = append(c.ids, id)
			members = append(members, raft.Server{Suffrage: suffrage, ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
		}
	}
	add('n', voters, raft.Voter)
	add('l', learners, raft.Nonvoter)
	slices.Sort(c.ids)
	key := filepath.Join(tb.TempDir(), "pseudonym.key")
	for _, id := range c.ids {
		r := &testReplica{fs: vfs.NewCrashableMem()}
		r.o = Options{
			DataDir: "data", NodeID: id, PseudonymKeyFile: key, Peers: &testPeers{Peers: nobody{}, net: c.net, from: id}, tuning: steady,
		}
		r.o.tuning.transport, r.o.tuning.members = c.net.transport, members
		if set != nil {
			set(&r.o)
		}
		if own, wraps := r.o.FS.(wrapper); wraps {
			r.wrap = own.around
		}
		c.replicas[id] = r
	}
	tb.Cleanup(c.close)
	for _, id := range c.ids {
		c.start(id)
	}
	c.waitReady(c.ids...)
	return c
}

func (c *testCluster) close() {
	for _, id := range c.ids {
		if c.replicas[id].Node != nil {
			c.stop(id)
		}
	}
	c.net.close()
}

// start starts a replica that doesn't run.
func (c *testCluster) start(id string) {
	c.tb.Helper()
	r := c.replicas[id]
	r.o.FS = r.fs
	if r.wrap != nil {
		r.o.FS = r.wrap(r.fs)
	}
	n, err := Open(context.Background(), r.o)
	if err != nil {
		c.tb.Fatalf("starting %s: %v", id, err)
	}
	r.Node = n
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.net.nodes[id] = n
}

// stop closes a replica, as a process does that is told to end.
func (c *testCluster) stop(id string) {
	c.tb.Helper()
	n := c.unplug(id)
	if err := n.Close(); err != nil {
		c.tb.Errorf("stopping %s: %v", id, err)
	}
}

// kill stops a replica as kill -9 does: in the middle of whatever it does, and with all that it has written so far.
func (c *testCluster) kill(id string) {
	c.crash(id, vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(0, 0))}) // which all survives
}

// crash stops a replica with what of its disk survives a loss of power. None of what it still does reaches the others.
func (c *testCluster) crash(id string, survives vfs.CrashCloneCfg) {
	c.tb.Helper()
	c.crashAll(survives, id)
}

// crashAll is crash of several replicas at once: none of them hears how the others end.
func (c *testCluster) crashAll(survives vfs.CrashCloneCfg, ids ...string) {
	c.tb.Helper()
	nodes := make([]*Node, len(ids))
	for i, id := range ids {
		nodes[i] = c.unplug(id)
	}
	for i, id := range ids {
		r := c.replicas[id]
		left := r.fs.CrashClone(survives)
		if err := nodes[i].Close(); err != nil {
			c.tb.Errorf("closing %s after its crash: %v", id, err)
		}
		r.fs = left
	}
}

// unplug takes a replica off the network: who asks it is refused, and its answers are lost.
func (c *testCluster) unplug(id string) *Node {
	c.net.mu.Lock()
	delete(c.net.nodes, id)
	transport := c.net.transports[id]
	delete(c.net.transports, id)
	c.net.mu.Unlock()
	_ = transport.Close() // has no errors
	n := c.replicas[id].Node
	c.replicas[id].Node = nil
	return n
}

// cut loses all that is sent from one replica to another, and heals nothing of the other direction.
func (c *testCluster) cut(from, to string) {
	c.net.change(from, to, func(l *testLink) { l.cut = true })
}

// isolate cuts replicas off from all others than themselves, in both directions.
func (c *testCluster) isolate(ids ...string) {
	for _, id := range ids {
		for _, other := range c.ids {
			if !slices.Contains(ids, other) {
				c.cut(id, other)
				c.cut(other, id)
			}
		}
	}
}

// delay slows one direction.
func (c *testCluster) delay(from, to string, by time.Duration) {
	c.net.change(from, to, func(l *testLink) { l.delay = by })
}

// hold has the messages of one direction wait until release is called.
func (c *testCluster) hold(from, to string) (release func()) {
	held := make(chan struct{})
	c.net.change(from, to, func(l *testLink) { l.held = held })
	return sync.OnceFunc(func() {
		c.net.change(from, to, func(l *testLink) { l.held = nil })
		close(held)
	})
}

// heal mends all cuts and delays.
func (c *testCluster) heal() {
	for _, from := range c.ids {
		for _, to := range c.ids {
			c.net.change(from, to, func(l *testLink) { l.cut, l.delay = false, 0 })
		}
	}
}

// leader waits until one of those that run leads, and returns its id. Where one leads that others have left behind, it isn't that one.
func (c *testCluster) leader() string {
	c.tb.Helper()
	var leader string
	waitFor(c.tb, "a leader", func() bool {
		var newest uint64
		leader = ""
		for _, id := range c.running() {
			n := c.replicas[id].Node
			if lead := n.leader.reign.Load().here; lead != nil && lead.term > newest && n.raft.State() == raft.Leader {
				leader, newest = id, lead.term
			}
		}
		return leader != ""
	})
	return leader
}

// otherLeader waits until another leads.
func (c *testCluster) otherLeader(than string) string {
	c.tb.Helper()
	leader := ""
	waitFor(c.tb, "another leader than "+than, func() bool { leader = c.leader(); return leader != than })
	return leader
}

// followers returns who runs and doesn't lead.
func (c *testCluster) followers() []string {
	c.tb.Helper()
	leader := c.leader()
	return slices.DeleteFunc(c.running(), func(id string) bool { return id == leader })
}

func (c *testCluster) running() []string {
	return slices.DeleteFunc(slices.Clone(c.ids), func(id string) bool { return c.replicas[id].Node == nil })
}

// node returns a replica that runs.
func (c *testCluster) node(id string) *Node {
	c.tb.Helper()
	n := c.replicas[id].Node
	if n == nil {
		c.tb.Fatalf("%s doesn't run", id)
	}
	return n
}

// waitReady waits until replicas answer checks.
func (c *testCluster) waitReady(ids ...string) {
	c.tb.Helper()
	for _, id := range ids {
		waitFor(c.tb, id+" to be ready", func() bool { return c.node(id).Ready() == nil })
	}
}

// waitEqual waits until all that run have applied the same index, and compares their states.
func (c *testCluster) waitEqual() {
	c.tb.Helper()
	running := c.running()
	first := c.node(running[0])
	level := func() bool {
		return !slices.ContainsFunc(running, func(id string) bool { return c.node(id).store.Applied() != first.store.Applied() })
	}
	waitFor(c.tb, "the replicas to stand at the same index", func() bool {
		if !level() {
			return false
		}
		index := first.store.Applied()
		hashes := map[[32]byte]string{}
		for _, id := range running {
			hashes[stateHash(c.tb, c.node(id))] = id
		}
		if !level() || first.store.Applied() != index { // a new leader has begun its term meanwhile
			return false
		}
		if len(hashes) > 1 {
			c.tb.Errorf("replicas stand at index %d with different states: %v", index, slices.Sorted(maps.Values(hashes)))
		}
		return true
	})
}
