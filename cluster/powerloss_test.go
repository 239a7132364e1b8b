package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/consentd/consentd/consent"
	"github.com/google/go-cmp/cmp"
)

// TestNodeSurvivesPowerLoss cuts the power of a whole node, log and ledger on one disk, again and again: while writers write, while
// snapshots cut the log as short as Raft allows, and in the middle of starts. What was acknowledged has to be there afterwards, once, and
// a repeated request has to return its first result.
func TestNodeSurvivesPowerLoss(t *testing.T) {
	disks, cycles := 10, 20
	if testing.Short() {
		disks = 2
	}
	rng := rand.New(rand.NewPCG(crashSeed(t), 7))
	lost, kept, unanswered := 0, 0, 0
	for range disks {
		l := &losses{t: t, rng: rng, fs: vfs.NewCrashableMem(), o: memoryOptions(t, nil)}
		l.o.tuning = tuning{election: 5 * time.Millisecond, trailingLogs: 1, snapshotInterval: 5 * time.Millisecond, snapshotEntries: 4}
		for cycle := range cycles {
			if rng.IntN(8) == 0 {
				l.loseWhileOpening()
			}
			l.writeAndLose(cycle)
			if t.Failed() {
				t.FailNow()
			}
		}
		n := l.openLeading()
		l.check(n, l.promised)
		closeNode(t, n)
		lost, kept, unanswered = lost+l.lost, kept+len(l.promised), unanswered+l.unanswered
	}
	t.Logf("%d power losses, %d acknowledged writes kept, %d without an answer", lost, kept, unanswered)
}

// losses is a node's disk, and what was acknowledged of what was written to it.
type losses struct {
	t   *testing.T
	rng *rand.Rand
	fs  *vfs.MemFS
	o   Options

	promised         []written
	lost, unanswered int
}

// written is a write, and what became of it.
type written struct {
	write  consent.Write
	result consent.WriteResult
	err    error
}

func (l *losses) open() *Node {
	l.t.Helper()
	l.o.FS = l.fs
	n, err := Open(context.Background(), l.o)
	if err != nil {
		l.t.Fatalf("after %d power losses: %v", l.lost, err)
	}
	return n
}

func (l *losses) openLeading() *Node {
	l.t.Helper()
	n := l.open()
	waitFor(l.t, "leadership", func() bool { return n.leader.reign.Load().here != nil })
	return n
}

// lose leaves the disk as the power loss leaves it.
func (l *losses) lose() *vfs.MemFS {
	l.lost++
	return l.fs.CrashClone(crashConfig(l.rng))
}

func (l *losses) loseWhileOpening() {
	l.t.Helper()
	opened := make(chan *Node)
	go func() { opened <- l.open() }()
	select {
	case n := <-opened:
		go func() { opened <- n }()
	case <-time.After(time.Duration(l.rng.IntN(20_000)) * time.Microsecond):
	}
	after := l.lose()
	closeNode(l.t, <-opened)
	l.fs = after
}

// writeAndLose opens the node, checks what the last loss left, and loses the power while it writes.
func (l *losses) writeAndLose(cycle int) {
	l.t.Helper()
	n := l.openLeading()
	l.check(n, l.promised[max(0, len(l.promised)-50):])

	const writers = 4
	acknowledged := make(chan written)
	ctx, cancel := context.WithCancel(context.Background())
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() { writeOn(ctx, l.t, n, fmt.Sprintf("%d-%d", cycle, w), acknowledged) })
	}
	for range l.rng.IntN(40) {
		l.take(<-acknowledged)
	}
	after := l.lose() // none of the writers' further writes were acknowledged to us
	cancel()
	go func() { writing.Wait(); close(acknowledged) }()
	for w := range acknowledged {
		l.unanswered++
		l.repeatLater(w)
	}
	closeNode(l.t, n)
	l.fs = after
}

// take keeps what was acknowledged.
func (l *losses) take(w written) {
	if w.err != nil {
		l.t.Errorf("write: %v", w.err)
		return
	}
	l.promised = append(l.promised, w)
}

// repeatLater lets a write whose answer the loss has swallowed be repeated at the next start, as a client would.
func (l *losses) repeatLater(w written) {
	w.result = consent.WriteResult{}
	l.promised = append(l.promised, w)
}

// writeOn writes until the context ends.
func writeOn(ctx context.Context, t *testing.T, n *Node, subject string, acknowledged chan<- written) {
	t.Helper()
	for i := 0; ctx.Err() == nil; i++ {
		w := grant(t, subject)
		w.Events[0].Event.Evidence.Reference = fmt.Sprint(i)
		result, err := n.Write(ctx, w)
		acknowledged <- written{w, result, err}
	}
}

// check repeats writes, expects the first results, and each event once.
func (l *losses) check(n *Node, promised []written) {
	l.t.Helper()
	repeated := make([]written, len(promised))
	var repeating sync.WaitGroup
	for i, w := range promised {
		repeating.Go(func() {
			result, err := n.Write(context.Background(), w.write)
			repeated[i] = written{w.write, result, err}
		})
	}
	repeating.Wait()
	subjects := map[string]map[string]int{} // subject → reference → how often
	for i, r := range repeated {
		w := &promised[i]
		if r.err != nil {
			l.t.Fatalf("after %d power losses: repeating: %v", l.lost, r.err)
		}
		if w.result.Stamp == 0 {
			w.result = r.result // the loss swallowed the first
		}
		if diff := cmp.Diff(w.result, r.result); diff != "" {
			l.t.Fatalf("after %d power losses: a repeated request returned something else (-first +repeated):\n%s", l.lost, diff)
		}
		subjects[w.write.Events[0].Subject] = map[string]int{}
	}
	for subject, seen := range subjects {
		for _, e := range historyOf(l.t, n, subject) {
			seen[e.Event.Evidence.Reference]++
		}
	}
	for _, w := range promised {
		event := w.write.Events[0]
		if times := subjects[event.Subject][event.Event.Evidence.Reference]; times != 1 {
			l.t.Fatalf("after %d power losses: an acknowledged event is in the ledger %d times", l.lost, times)
		}
	}
}

// A promise that the disk broke has to be seen as such, or the test above proves nothing.
func TestPowerLossIsSeen(t *testing.T) {
	fs := vfs.NewCrashableMem()
	o := memoryOptions(t, fs)
	n := openNode(t, o)
	mustWrite(t, n, grant(t, "anna"))
	before := fs.CrashClone(vfs.CrashCloneCfg{})
	w := grant(t, "bert")
	mustWrite(t, n, w)
	closeNode(t, n)
	o.FS = before
	n = openNode(t, o)
	if events := historyOf(t, n, "bert"); len(events) != 0 {
		t.Errorf("what was written after the loss is there: %v", events)
	}
	if events := historyOf(t, n, "anna"); len(events) != 1 {
		t.Errorf("what was written before the loss: %v", events)
	}
	if _, err := n.Write(t.Context(), w); err != nil && !errors.Is(err, consent.ErrNotWritten) {
		t.Error(err)
	}
}
