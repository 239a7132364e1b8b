package cluster

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/consentd/consentd/consent"
)

// asked is a request for a covering index that the test answers.
type asked struct {
	at     time.Time
	answer chan error
}

func newTestFreshness(bound time.Duration) *freshness {
	f := newFreshness(time.Now)
	f.bound = func() time.Duration { return bound }
	return f
}

// testFreshness runs freshness whose every round the test answers.
func testFreshness(t *testing.T, bound time.Duration) (*freshness, <-chan asked) {
	t.Helper()
	questions := make(chan asked)
	f := newTestFreshness(bound)
	f.index = func(ctx context.Context) (uint64, error) {
		q := asked{time.Now(), make(chan error)}
		select {
		case questions <- q:
			return 1, <-q.answer
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	f.applied = func(context.Context, uint64) error { return nil }
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { f.run(ctx); close(ended) }()
	t.Cleanup(func() { f.end(); cancel(); <-ended })
	return f, questions
}

func TestRequestsJoinOnlyARoundThatHasNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, rounds := testFreshness(t, time.Hour)
		proven := make(chan error, 3)
		prove := func() { proven <- f.prove(t.Context()) }

		go prove()
		first := <-rounds
		began := time.Now()
		<-time.After(time.Second)
		go prove() // after the first round began
		go prove()
		synctest.Wait()
		first.answer <- nil
		synctest.Wait()
		if len(proven) != 1 {
			t.Fatalf("%d requests were satisfied by the first round, want only the one it was for", len(proven))
		}
		if got := f.proof.Load().asOf; !got.Equal(began) {
			t.Errorf("fresh as of %s, want when the round began, %s", got, began)
		}
		second := <-rounds
		second.answer <- nil
		synctest.Wait()
		if len(proven) != 3 {
			t.Errorf("%d requests are satisfied after the second round, want all 3", len(proven))
		}
	})
}

func TestProofsAreRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound = 800 * time.Millisecond
		f, rounds := testFreshness(t, bound)
		if err := f.ready(); !errors.Is(err, consent.ErrNotReady) {
			t.Errorf("before the first proof: %v", err)
		}
		for range 20 {
			(<-rounds).answer <- nil
			synctest.Wait()
			if err := f.ready(); err != nil {
				t.Fatal(err)
			}
			if age := time.Since(f.proof.Load().asOf); age > bound/renewals {
				t.Fatalf("the proof is %s old", age)
			}
		}
		// While no round succeeds, it holds until the bound and no longer.
		last := f.proof.Load().asOf
		for time.Since(last) < bound {
			if err := f.ready(); err != nil {
				t.Fatalf("%s after the proof: %v", time.Since(last), err)
			}
			(<-rounds).answer <- errors.New("no majority")
			synctest.Wait()
		}
		if err := f.ready(); !errors.Is(err, consent.ErrStale) {
			t.Errorf("at the bound: %v", err)
		}
		(<-rounds).answer <- nil
		synctest.Wait()
		if err := f.ready(); err != nil {
			t.Errorf("after the next proof: %v", err)
		}
	})
}

// A question that gets no answer costs neither the proof before it nor the next one.
func TestLostQuestionMakesNothingStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTestFreshness(2 * time.Second)
		var asked atomic.Int64
		f.index = func(ctx context.Context) (uint64, error) {
			if asked.Add(1)%3 != 0 {
				return 1, nil
			}
			<-ctx.Done()
			return 0, ctx.Err()
		}
		f.applied = func(context.Context, uint64) error { return nil }
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { f.run(ctx); close(ended) }()
		defer func() { cancel(); <-ended }()

		if err := f.prove(t.Context()); err != nil {
			t.Fatal(err)
		}
		for began := time.Now(); time.Since(began) < time.Minute; <-time.After(10 * time.Millisecond) {
			if err := f.ready(); err != nil {
				t.Fatalf("%s after the first proof: %v", time.Since(began), err)
			}
		}
		if n := asked.Load(); n < 60 {
			t.Errorf("%d questions in a minute", n)
		}
	})
}

// An index that takes long to be applied is waited for: asking again would only make it a later one.
func TestSlowApplyingIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound = 2 * time.Second
		f, rounds := testFreshness(t, bound)
		f.applied = func(ctx context.Context, _ uint64) error {
			select {
			case <-time.After(bound / 2):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		(<-rounds).answer <- nil
		<-time.After(bound/2 + time.Millisecond)
		if err := f.ready(); err != nil {
			t.Error(err)
		}
	})
}

func TestWaitingForARoundEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, rounds := testFreshness(t, time.Hour)
		noMajority := errors.New("no majority")

		fail := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			proven := make(chan error)
			go func() { proven <- f.prove(ctx) }()
			for {
				select {
				case r := <-rounds:
					r.answer <- noMajority
				case err := <-proven:
					return err
				}
			}
		}
		if err := fail(); !errors.Is(err, consent.ErrNotReady) || !errors.Is(err, noMajority) {
			t.Errorf("only failed rounds: %v", err)
		}
		f.publish(proof{asOf: time.Now()})
		if err := fail(); !errors.Is(err, consent.ErrStale) || !errors.Is(err, noMajority) {
			t.Errorf("only failed rounds after a proof: %v", err)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.prove(ctx); !errors.Is(err, consent.ErrStale) {
			t.Errorf("at the deadline: %v", err)
		}
		(<-rounds).answer <- nil // the round that it had waited for
		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		if err := f.prove(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, consent.ErrStale) {
			t.Errorf("after the caller left: %v", err)
		}
		(<-rounds).answer <- nil

		proven := make(chan error)
		go func() { proven <- f.prove(t.Context()) }()
		running := <-rounds
		f.end()
		running.answer <- nil
		if err := <-proven; !errors.Is(err, consent.ErrNotReady) {
			t.Errorf("a round after the end: %v", err)
		}
		if f.proof.Load() != nil {
			t.Error("a round that was under way brought the proof back")
		}
		if err := f.prove(t.Context()); !errors.Is(err, consent.ErrNotReady) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// A machine that was suspended shows as the wall clock having moved without the monotonic one. The test's clock has only a wall part, so
// it moves the proof's instead.
func TestSuspendedMachineIsStale(t *testing.T) {
	f := newTestFreshness(2 * time.Second)
	now := time.Now()
	v := consent.View{Head: &consent.Head{}, FreshAsOf: now, Bound: f.bound()}
	if _, fresh := v.Age(now.Round(0).Add(time.Hour)); fresh {
		t.Error("a view is fresh after an hour without a monotonic reading")
	}
}

func TestViewConsistency(t *testing.T) {
	o := memoryOptions(t, vfs.NewMem())
	o.MaxStaleness = 500 * time.Millisecond
	n := openNode(t, o)
	written := mustWrite(t, n, grant(t, "anna"))
	short := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	left, leave := context.WithCancel(t.Context())
	leave()
	ahead, foreign := written.Revision, written.Revision
	ahead.Index += 1000
	foreign.Epoch++
	foreignAhead := consent.Revision{Epoch: foreign.Epoch, Index: ahead.Index}
	tests := []struct {
		name string
		ctx  context.Context
		c    consent.Consistency
		want error
	}{
		{"what is here", t.Context(), consent.Consistency{}, nil},
		{"a write", t.Context(), consent.Consistency{AtLeast: written.Revision}, nil},
		{"everything", t.Context(), consent.Consistency{Full: true}, nil},
		{"both", t.Context(), consent.Consistency{AtLeast: written.Revision, Full: true}, nil},
		{"what isn't written yet", short(), consent.Consistency{AtLeast: ahead}, consent.ErrStale},
		{"what isn't written yet, without a deadline", t.Context(), consent.Consistency{AtLeast: ahead}, consent.ErrStale},
		{"what isn't written yet, and the caller left", left, consent.Consistency{AtLeast: ahead}, context.Canceled},
		{"another epoch's", t.Context(), consent.Consistency{AtLeast: foreign}, consent.ErrEpoch},
		{"another epoch's that is ahead", t.Context(), consent.Consistency{AtLeast: foreignAhead}, consent.ErrEpoch},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			asked := time.Now()
			v, err := n.View(tt.ctx, tt.c)
			if !errors.Is(err, tt.want) {
				t.Fatalf("%v, want %v", err, tt.want)
			}
			if err != nil {
				return
			}
			if v.Revision.Index < tt.c.AtLeast.Index {
				t.Errorf("revision %d, want at least %d", v.Revision.Index, tt.c.AtLeast.Index)
			}
			if tt.c.Full && v.FreshAsOf.Before(asked) {
				t.Errorf("fresh as of %s before the question", asked.Sub(v.FreshAsOf))
			}
			if _, fresh := v.Age(time.Now()); !fresh {
				t.Error("the view is stale")
			}
		})
	}
}

// A write that waits for its revision is seen as soon as it is applied.
func TestAtLeastWaits(t *testing.T) {
	n := openNode(t, memoryOptions(t, vfs.NewMem()))
	next := mustWrite(t, n, grant(t, "anna")).Revision
	next.Index++
	seen := make(chan error)
	go func() {
		v, err := n.View(t.Context(), consent.Consistency{AtLeast: next})
		if err == nil && v.Revision.Index < next.Index {
			err = errors.New("too early")
		}
		seen <- err
	}()
	mustWrite(t, n, grant(t, "bert"))
	if err := <-seen; err != nil {
		t.Error(err)
	}
}

// A replica that lost its leadership proves nothing any more, whatever its Raft believes, and neither does one whose term has moved.
func TestNoProofWithoutLeadership(t *testing.T) {
	n := openNode(t, memoryOptions(t, vfs.NewMem()))
	if _, err := n.coveringIndex(t.Context()); err != nil {
		t.Fatal(err)
	}
	term, err := n.term()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.logs.SetUint64(currentTermKey, term+1); err != nil {
		t.Fatal(err)
	}
	if _, err := n.coveringIndex(t.Context()); !errors.Is(err, ErrNotLeading) {
		t.Errorf("with a later term on disk: %v", err)
	}
	if err := n.logs.SetUint64(currentTermKey, term); err != nil {
		t.Fatal(err)
	}
	n.leader.reign.Store(newReign(nil, Peer{ID: "another"}))
	if _, err := n.coveringIndex(t.Context()); !errors.Is(err, consent.ErrUnreached) {
		t.Errorf("without leadership: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := n.View(ctx, consent.Consistency{Full: true}); !errors.Is(err, consent.ErrStale) {
		t.Errorf("a full view without leadership: %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := n.Write(ctx, grant(t, "anna")); !errors.Is(err, consent.ErrNotWritten) || !errors.Is(err, consent.ErrUnreached) {
		t.Errorf("a write without leadership: %v", err)
	}
}

// What was gathered while leading counts only if the same leadership still stands afterwards.
func TestLeadershipIsLookedAtAgain(t *testing.T) {
	n := openNode(t, memoryOptions(t, vfs.NewMem()))
	lead := n.leader.reign.Load().here
	if err := n.stillLeads(lead); err != nil {
		t.Fatal(err)
	}
	if err := n.stillLeads(&leadership{term: lead.term}); !errors.Is(err, ErrNotLeading) {
		t.Errorf("after another leadership in the same term: %v", err)
	}
	stopped := openNode(t, memoryOptions(t, vfs.NewMem()))
	closeNode(t, stopped)
	if err := (&Node{logs: n.logs, leader: n.leader, raft: stopped.raft}).stillLeads(lead); !errors.Is(err, ErrNotLeading) {
		t.Errorf("with a Raft that doesn't lead: %v", err)
	}
}

func TestViewAllocatesNothing(t *testing.T) {
	n := openNode(t, memoryOptions(t, vfs.NewMem()))
	mustWrite(t, n, grant(t, "anna"))
	tenant := n.store.Head().Tenants["shop"]
	var buf consent.Buffer
	if allocations := testing.AllocsPerRun(1000, func() {
		v, err := n.View(context.Background(), consent.Consistency{})
		if err != nil || v.Head == nil {
			t.Fatal(err)
		}
		record, err := n.Record(context.Background(), tenant, "anna", &buf)
		if err != nil || record == nil {
			t.Fatal(err)
		}
	}); allocations != 0 {
		t.Errorf("a view and a record cost %v allocations", allocations)
	}
}

func BenchmarkView(b *testing.B) {
	n := openNode(b, memoryOptions(b, vfs.NewMem()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := n.View(context.Background(), consent.Consistency{}); err != nil {
			b.Fatal(err)
		}
	}
}
