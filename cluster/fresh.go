package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/consentd/consentd/consent"
)

// freshness proves how new the state here is, in rounds.
//
// A round begins at a moment t of this machine's clock. It then finds out an index of the log that covers every write acknowledged
// before t, and is done once that index is applied here: the state is fresh as of t. What finds the index out is evidence gathered after
// t; nothing that was on its way before counts. So a question that waits for a round (fully_consistent) may join one that hasn't begun
// yet, and never one that has; all that wait share the next.
//
// The proof is published after the state that it is about, and read before it: whoever loads the proof and then the head sees a head at
// least as new as proven. No clock of another machine is read anywhere, and none is compared with ours.
type freshness struct {
	now   func() time.Time
	bound func() time.Duration // how old a proof may be
	// index returns an index of the log that covers every write acknowledged before the call.
	index func(context.Context) (uint64, error)
	// applied waits until the store has applied an index.
	applied func(context.Context, uint64) error
	first   func()       // called after the first proof
	log     *slog.Logger // told when checks turn STALE, and when they are answered again

	proof atomic.Pointer[proof] // nil before the first, and after the last

	mu    sync.Mutex
	next  *round // not begun
	ended bool
	kick  chan struct{} // holds one wish for a round
}

// proof says that the state here holds every write that was acknowledged before a moment.
type proof struct{ asOf time.Time }

// round is one that some wait for.
type round struct {
	done chan struct{}
	err  error // valid once done is closed
}

// A proof is renewed this many times within the bound, and a question that isn't answered within this part of it is given up. So a round
// that fails, or one whose question is lost, makes no check stale. What was answered is waited for longer, since a later round would have
// to wait for as much.
const (
	renewals     = 8
	questionPart = 4
)

// breather is the pause between a round that failed and the next.
const breather = 25 * time.Millisecond

func newFreshness(now func() time.Time) *freshness {
	return &freshness{now: now, log: slog.New(slog.DiscardHandler), next: newRound(), kick: make(chan struct{}, 1)}
}

func newRound() *round { return &round{done: make(chan struct{})} }

// run holds rounds, one after the other, until the context ends: when asked, often enough that a proof doesn't grow old, and soon after one
// that failed.
func (f *freshness) run(ctx context.Context) {
	renew := time.NewTimer(f.bound() / renewals)
	defer renew.Stop()
	told, failed := newStaleness(f.log, f.now), error(nil)
	for {
		select {
		case <-renew.C:
		case <-f.kick:
		case <-ctx.Done():
			return
		}
		told.tell(f, failed) // the process may have been suspended since
		failed = f.hold(ctx)
		told.tell(f, failed)
		next := f.bound() / renewals
		if failed != nil {
			next = 0
			select {
			case <-time.After(breather):
			case <-ctx.Done():
				return
			}
		}
		renew.Reset(next)
	}
}

// hold holds the next round, and returns why it proved nothing.
func (f *freshness) hold(ctx context.Context) error {
	f.mu.Lock()
	r := f.next
	if !bug("join a round that has begun") {
		f.next = newRound()
	}
	f.mu.Unlock()

	began := f.now()
	ctx, cancel := context.WithTimeout(ctx, f.bound())
	defer cancel()
	index, err := f.ask(ctx)
	if err == nil {
		err = f.applied(ctx, index)
	}
	if bug("stamp freshness when it was answered") {
		began = f.now()
	}
	if bug("join a round that has begun") {
		f.mu.Lock()
		f.next = newRound()
		f.mu.Unlock()
	}
	if err == nil {
		err = f.publish(proof{asOf: began})
	}
	r.err = err
	close(r.done)
	return err
}

// ask returns a covering index, unless it takes too long to find one.
func (f *freshness) ask(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, f.bound()/questionPart)
	defer cancel()
	return f.index(ctx)
}

func (f *freshness) publish(p proof) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return consent.ErrNotReady
	}
	if f.proof.Swap(&p) == nil && f.first != nil {
		f.first()
	}
	return nil
}

// end withdraws the proof for good, so that nothing is decided here any more. Those who wait for a round are let go.
func (f *freshness) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return
	}
	f.ended = true
	f.proof.Store(nil)
	f.next.err = consent.ErrNotReady
	close(f.next.done)
	f.next = newRound()
}

// begin wishes for a round soon.
func (f *freshness) begin() {
	select {
	case f.kick <- struct{}{}:
	default: // there is such a wish already, and the round for it hasn't begun
	}
}

// prove returns nil once a round that began after the call has proven the state here fresh. Rounds that fail, as they do in an election,
// are followed by others, until the context ends.
func (f *freshness) prove(ctx context.Context) error {
	var failed error
	for {
		f.mu.Lock()
		r, ended := f.next, f.ended
		f.mu.Unlock()
		if ended {
			return consent.ErrNotReady
		}
		f.begin()
		select {
		case <-r.done:
			if failed = r.err; failed == nil {
				return nil
			}
		case <-ctx.Done():
			return f.unproven(ctx, failed)
		}
	}
}

// unproven returns what it means that a context ended before a proof: staleness, or that there is no state to answer from yet, because of
// the last round that failed; and the context's own error when the caller went away.
func (f *freshness) unproven(ctx context.Context, failed error) error {
	cause := cmp.Or(failed, ctx.Err())
	switch {
	case !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return ctx.Err()
	case f.proof.Load() == nil:
		return fmt.Errorf("%w (%w)", consent.ErrNotReady, cause)
	default:
		return fmt.Errorf("%w (%w)", consent.ErrStale, cause)
	}
}

// ready returns nil while decisions may be given, and otherwise why not.
func (f *freshness) ready() error {
	p := f.proof.Load()
	if p == nil {
		return fmt.Errorf("%w: nothing proves yet that the state here is the newest", consent.ErrNotReady)
	}
	bound := f.bound()
	if age, fresh := (consent.View{Head: &consent.Head{}, FreshAsOf: p.asOf, Bound: bound}).Age(f.now()); !fresh {
		return fmt.Errorf("%w: it was last proven the newest %s ago, and %s is allowed", consent.ErrStale, age.Round(time.Millisecond), bound)
	}
	return nil
}
