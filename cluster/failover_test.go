package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/consentd/consentd/consent"
	"github.com/hashicorp/raft"
)

// asInProduction leaves all timeouts as they are, but for autopilot's.
func asInProduction(o *Options) {
	o.tuning.election = 0
	o.MaxStaleness = 2 * time.Second
}

// traffic checks and writes on replicas all the time, and counts what fails.
type traffic struct {
	stop    context.CancelFunc
	working sync.WaitGroup
	mu      sync.Mutex
	gap     time.Duration // the longest between two acknowledged writes
	wrote   int
	faults  []error
}

// startTraffic starts two writers and a reader on each of some replicas.
func startTraffic(t *testing.T, nodes ...*Node) *traffic {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	tr := &traffic{stop: cancel}
	last := time.Now()
	for _, n := range nodes {
		for w := range 2 {
			subject := fmt.Sprintf("%s %d", n.dir.nodeID, w)
			tr.working.Go(func() {
				for ctx.Err() == nil {
					_, err := n.Write(context.Background(), grant(t, subject))
					tr.mu.Lock()
					tr.wrote++
					tr.gap, last = max(tr.gap, time.Since(last)), time.Now()
					tr.mu.Unlock()
					tr.note(err)
					<-time.After(time.Millisecond)
				}
			})
		}
		tr.working.Go(func() {
			for ctx.Err() == nil {
				if v, err := n.View(context.Background(), consent.Consistency{}); err != nil {
					tr.note(err)
				} else if age, fresh := v.Age(time.Now()); !fresh {
					tr.note(fmt.Errorf("%s: %w: %s", n.dir.nodeID, consent.ErrStale, age))
				}
				<-time.After(time.Millisecond)
			}
		})
	}
	return tr
}

func (tr *traffic) note(err error) {
	if err != nil {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		tr.faults = append(tr.faults, err)
	}
}

// end stops the traffic and returns what failed.
func (tr *traffic) end() []error {
	tr.stop()
	tr.working.Wait()
	return tr.faults
}

func (tr *traffic) written() int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.wrote
}

// makeLeader has leadership transferred until a replica has it.
func (c *testCluster) makeLeader(id string) {
	c.tb.Helper()
	waitFor(c.tb, id+" to lead", func() bool {
		leader := c.leader()
		if leader != id {
			_ = c.node(leader).raft.LeadershipTransferToServer(raft.ServerID(id), raft.ServerAddress(id)).Error() // it is tried again
		}
		return leader == id
	})
}

// nodes returns those of some ids.
func (c *testCluster) nodes(ids ...string) (nodes []*Node) {
	c.tb.Helper()
	for _, id := range ids {
		nodes = append(nodes, c.node(id))
	}
	return nodes
}

// While a crashed leader is replaced, writes on the others wait, and no check is stale.
func TestKilledLeaderMakesNothingStale(t *testing.T) {
	c := newCluster(t, 3, 0, asInProduction)
	leader := c.leader()
	tr := startTraffic(t, c.nodes(c.followers()...)...)
	waitFor(t, "traffic", func() bool { return tr.written() > 100 })
	c.kill(leader)
	killed := time.Now()
	c.otherLeader(leader)
	t.Logf("another leads after %s", time.Since(killed))
	before := tr.written()
	waitFor(t, "traffic after the election", func() bool { return tr.written() > before+100 })
	if faults := tr.end(); len(faults) > 0 {
		t.Errorf("%d calls failed, the first with %v", len(faults), faults[0])
	}
	t.Logf("the longest wait for a write was %s", tr.gap)
	c.start(leader)
	c.waitReady(leader)
	c.waitEqual()
}

// A leader that is told to end hands over first: nothing fails, and nothing waits for an election.
func TestHandOver(t *testing.T) {
	c := newCluster(t, 3, 0, asInProduction)
	leader := c.leader()
	tr := startTraffic(t, c.nodes(c.ids...)...)
	waitFor(t, "traffic", func() bool { return tr.written() > 100 })
	began := time.Now()
	if err := c.node(leader).HandOver(t.Context()); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	if c.node(leader).leader.reign.Load().there.ID == "" {
		t.Error("nobody is known to lead after the hand-over")
	}
	before := tr.written()
	waitFor(t, "traffic after the hand-over", func() bool { return tr.written() > before+100 })
	if faults := tr.end(); len(faults) > 0 {
		t.Errorf("%d calls failed, the first with %v", len(faults), faults[0])
	}
	if took > time.Second || tr.gap > time.Second {
		t.Errorf("the hand-over took %s, and a write waited for %s, as if for an election", took, tr.gap)
	}
	t.Logf("handed over in %s, and the longest wait for a write was %s", took, tr.gap)
	if err := c.node(leader).HandOver(t.Context()); err != nil {
		t.Errorf("a replica that doesn't lead: %v", err)
	}
}

func TestHandOverToNobody(t *testing.T) {
	c := newCluster(t, 3, 1, nil)
	leader := c.leader()
	for _, id := range c.followers() {
		if id[0] == 'n' {
			c.kill(id)
		}
	}
	began := time.Now()
	if err := c.node(leader).HandOver(t.Context()); err != nil || time.Since(began) > time.Second {
		t.Errorf("with nobody to lead: %v after %s", err, time.Since(began))
	}
}

// A replica in a minority turns unready past the bound, and ready again by itself.
func TestMinorityTurnsStaleAndReadyAgain(t *testing.T) {
	const bound = 500 * time.Millisecond
	c := newCluster(t, 3, 0, func(o *Options) { o.MaxStaleness = bound })
	for _, id := range []string{c.leader(), c.followers()[0]} {
		n := c.node(id)
		c.isolate(id)
		cut := time.Now()
		waitFor(t, id+" to be stale", func() bool { return errors.Is(n.Ready(), consent.ErrStale) })
		if after := time.Since(cut); after > 2*bound {
			t.Errorf("%s was cut off, and ready for another %s", id, after)
		}
		if n.Stats().Fresh {
			t.Errorf("the figures of %s, cut off, say that it is fresh", id)
		}
		ctx, cancel := context.WithTimeout(t.Context(), bound)
		if _, err := n.View(ctx, consent.Consistency{Full: true}); !errors.Is(err, consent.ErrStale) {
			t.Errorf("%s, cut off, answers with %v", id, err)
		}
		cancel()
		if err := n.BackUp(t.Context(), io.Discard); !errors.Is(err, consent.ErrStale) {
			t.Errorf("%s, cut off, backs up with %v", id, err)
		}
		c.heal()
		waitFor(t, id+" to be fresh again", func() bool { return n.Stats().Fresh })
	}
}

// A leader that reaches only a learner proves nothing, to itself or to the learner, whatever Raft thinks of its leadership.
func TestLeaderWithLearnersOnlyProvesNothing(t *testing.T) {
	const last = "n1"
	c := newCluster(t, 3, 1, func(o *Options) {
		if o.NodeID == last {
			o.tuning.election = 5 * time.Second // it takes itself for the leader for long
		}
	})
	c.makeLeader(last)
	c.isolate(last, "l1")
	next := c.otherLeader(last)
	written := mustWrite(t, c.node(next), grant(t, "anna"))
	if c.node(last).leader.reign.Load().here == nil {
		t.Fatal("the leader that was cut off has noticed, so that this proves nothing")
	}
	for _, id := range []string{last, "l1"} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if v, err := c.node(id).View(ctx, consent.Consistency{Full: true}); err == nil {
			t.Errorf("%s proved index %d, and %d was acknowledged elsewhere", id, v.Revision.Index, written.Revision.Index)
		}
		ctx, cancel2 := context.WithTimeout(t.Context(), 300*time.Millisecond)
		var stale *consent.StaleError
		if _, err := c.node(id).View(ctx, consent.Consistency{AtLeast: written.Revision}); !errors.As(err, &stale) ||
			stale.Reached.Index >= written.Revision.Index {
			t.Errorf("%s at a revision that it can't have: %v", id, err)
		}
		cancel()
		cancel2()
	}
	c.heal()
	for _, id := range c.ids {
		if _, err := c.node(id).View(t.Context(), consent.Consistency{AtLeast: written.Revision, Full: true}); err != nil {
			t.Errorf("%s after the links were mended: %v", id, err)
		}
	}
	c.waitEqual()
}

// A leader that stood still while another took over answers with what that one has written, or not at all. Here its messages stand still.
func TestLeaderThatStoodStill(t *testing.T) {
	c := newCluster(t, 3, 0, nil)
	last := c.leader()
	var release []func()
	for _, id := range c.followers() {
		release = append(release, c.hold(last, id), c.hold(id, last))
	}
	next := c.otherLeader(last)
	written := mustWrite(t, c.node(next), grant(t, "anna"))
	answered := make(chan error, 1)
	go func() {
		v, err := c.node(last).View(t.Context(), consent.Consistency{Full: true})
		if err == nil && v.Revision.Index < written.Revision.Index {
			err = fmt.Errorf("answered at index %d, and %d was acknowledged before the question", v.Revision.Index, written.Revision.Index)
		}
		answered <- err
	}()
	for _, f := range release {
		f()
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
	c.waitEqual()
}

// A command that arrives at a leader after its repeat was carried out by another is carried out once.
func TestLateProposalIsCarriedOutOnce(t *testing.T) {
	c := newCluster(t, 3, 0, nil)
	first := c.leader()
	asker, third := c.followers()[0], c.followers()[1]
	release := c.hold(asker, first)
	defer release()
	write := grant(t, "anna")
	result := make(chan consent.WriteResult, 1)
	go func() {
		r, err := c.node(asker).Write(t.Context(), write)
		if err != nil {
			t.Error(err)
		}
		result <- r
	}()
	waitFor(t, "the command to be on its way", func() bool { return c.net.proposed.Load() > 0 })
	for _, id := range c.followers() {
		c.cut(first, id)
	}
	c.otherLeader(first)
	got := <-result
	c.heal()
	c.makeLeader(third) // the asker reaches the first one with nothing
	c.makeLeader(first)
	release() // and the command arrives
	waitFor(t, "all proposals to arrive", func() bool { return c.net.carried.Load() == c.net.proposed.Load() })
	if again := mustWrite(t, c.node(first), write); again.Revision != got.Revision {
		t.Errorf("the command came to %+v, and to %+v when repeated", got, again)
	}
	for _, id := range c.ids {
		if _, err := c.node(id).View(t.Context(), consent.Consistency{Full: true}); err != nil {
			t.Fatal(err)
		}
		if events := historyOf(t, c.node(id), "anna"); len(events) != 1 {
			t.Errorf("%s has the event %d times", id, len(events))
		}
	}
}
