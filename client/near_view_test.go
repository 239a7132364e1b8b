package client

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// asked is a question that waits.
type asked struct {
	done chan struct{}
	view consent.View
	err  error
}

// ask asks for a view, and returns once that waits for something.
func (r *nearRig) ask(ctx context.Context, c consent.Consistency) *asked {
	q := &asked{done: make(chan struct{})}
	go func() {
		defer close(q.done)
		q.view, q.err = r.View(ctx, c)
	}()
	synctest.Wait()
	return q
}

func (q *asked) waits() bool {
	synctest.Wait()
	select {
	case <-q.done:
		return false
	default:
		return true
	}
}

// wants fails unless the question is answered, with the error or with a view at a position.
func (q *asked) wants(t *testing.T, position uint64, err error) {
	t.Helper()
	if q.waits() {
		t.Fatal("it waits still")
	}
	switch {
	case !errors.Is(q.err, err):
		t.Errorf("error %v, want %v", q.err, err)
	case err == nil && q.view.Revision.Index != position:
		t.Errorf("at %d, want %d", q.view.Revision.Index, position)
	}
}

// pingFor returns the next ping that is one for a round, or the next that isn't.
func (s *script) pingFor(round bool) *consentv1.WatchPing {
	s.t.Helper()
	for {
		if ping := s.ping(); ping.GetFull() == round {
			return ping
		}
	}
}

var full = consent.Consistency{Full: true}

func from(epoch, index uint64) consent.Consistency {
	return consent.Consistency{AtLeast: consent.Revision{Epoch: epoch, Index: index}}
}

func TestFullWaitsForARoundOfItsOwn(t *testing.T) {
	inBubble(t, nil, func(r *nearRig) {
		t := r.t
		r.begin(10)
		first := r.ask(t.Context(), full)
		ping := r.stream.pingFor(true)
		second, third := r.ask(t.Context(), full), r.ask(t.Context(), full) // the ping is on its way already
		r.stream.send(changeMessage(12, nil), pongMessage(ping, 12, 0))
		first.wants(t, 12, nil)
		if !second.waits() || !third.waits() {
			t.Fatal("a question was answered by a proof of before it")
		}
		ping = r.stream.pingFor(true)
		r.stream.send(changeMessage(13, nil), pongMessage(ping, 13, 0))
		second.wants(t, 13, nil)
		third.wants(t, 13, nil)
	})
}

// An ordinary pong answers no question for a proof that began after it.
func TestFullIsNotAnsweredByAnotherPing(t *testing.T) {
	inBubble(t, nil, func(r *nearRig) {
		t := r.t
		r.begin(10)
		q := r.ask(t.Context(), full)
		round := r.stream.pingFor(true)
		r.prove(10)
		if !q.waits() {
			t.Fatal("answered by an ordinary pong")
		}
		r.stream.send(pongMessage(round, 10, 0))
		q.wants(t, 10, nil)
	})
}

func TestFullGoesOnAfterAFailure(t *testing.T) {
	inBubble(t, nil, func(r *nearRig) {
		t := r.t
		r.begin(10)
		q := r.ask(t.Context(), full)
		r.stream.send(pongMessage(r.stream.pingFor(true), 10, -1))
		if !q.waits() {
			t.Fatal("answered without a proof")
		}
		again := time.Now()
		ping := r.stream.pingFor(true)
		if rested := time.Since(again); rested < breather {
			t.Errorf("asked again after %v", rested)
		}
		r.stream.over <- nil // with the ping
		r.reopens()
		r.stream.send(caughtUpMessage(), changeMessage(11, nil))
		if again := r.stream.pingFor(true); again.GetId() <= ping.GetId() {
			t.Errorf("ping %d came after %d", again.GetId(), ping.GetId())
		} else {
			r.stream.send(pongMessage(again, 11, 0))
		}
		q.wants(t, 11, nil)
	})
}

func TestFullEndsWithItsTime(t *testing.T) {
	inBubble(t, nil, func(r *nearRig) {
		t := r.t
		unproven := r.ask(t.Context(), full)
		time.Sleep(testBound)
		unproven.wants(t, 0, consent.ErrNotReady)
		r.reopens()
		r.begin(10)
		go r.keepProvingOrdinarily(10)

		stale := r.ask(t.Context(), full)
		began := time.Now()
		<-stale.done
		if stale.wants(t, 0, consent.ErrStale); time.Since(began) != testBound {
			t.Errorf("it took %v, want the bound", time.Since(began))
		}

		hurried, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		q := r.ask(hurried, full)
		<-q.done
		if q.wants(t, 0, consent.ErrStale); hurried.Err() != nil {
			t.Error("the answer comes too late for who asked")
		}

		gone, leave := context.WithCancel(t.Context())
		q = r.ask(gone, full)
		leave()
		q.wants(t, 0, context.Canceled)
	})
}

// keepProvingOrdinarily answers the pings that aren't for a round, until the stream ends.
func (r *nearRig) keepProvingOrdinarily(position uint64) {
	s := r.stream
	for {
		select {
		case ping := <-s.pings:
			if !ping.GetFull() {
				s.send(pongMessage(ping, position, 0))
			}
		case <-s.gone:
			return
		}
	}
}

func TestAtLeastWaits(t *testing.T) {
	inBubble(t, nil, func(r *nearRig) {
		t := r.t
		r.begin(10)
		r.ask(t.Context(), from(7, 10)).wants(t, 10, nil)
		q := r.ask(t.Context(), from(7, 13))
		r.stream.send(changeMessage(12, nil))
		if !q.waits() {
			t.Fatal("answered too early")
		}
		r.stream.send(changeMessage(14, nil))
		q.wants(t, 14, nil)

		late := r.ask(t.Context(), from(7, 99))
		go r.keepProving(14)
		began := time.Now()
		<-late.done
		late.wants(t, 0, consent.ErrStale)
		var stale *consent.StaleError
		if !errors.As(late.err, &stale) || stale.Reached != (consent.Revision{Epoch: 7, Index: 14}) || time.Since(began) != testBound {
			t.Errorf("error %v after %v", late.err, time.Since(began))
		}
	})
}

// A revision of another epoch is foreign only once it is proven that there was no restore of which nothing was heard here.
func TestAtLeastOfAnotherEpoch(t *testing.T) {
	inBubble(t, nil, func(r *nearRig) {
		t := r.t
		early := r.ask(t.Context(), from(8, 20)) // nothing was heard of any epoch yet
		r.begin(10)
		if !early.waits() {
			t.Fatal("it has ended before the epoch was proven")
		}
		r.stream.send(pongMessage(r.stream.pingFor(true), 10, 0))
		early.wants(t, 0, consent.ErrEpoch)

		q := r.ask(t.Context(), from(8, 20))
		ping := r.stream.pingFor(true)
		r.stream.send(resetMessage(8, 19, watchedTenant("shop", 1, 1)), pongMessage(ping, 19, 0))
		if !q.waits() {
			t.Fatal("it has ended, and the revision is of this epoch")
		}
		r.stream.send(changeMessage(20, nil))
		q.wants(t, 20, nil)
		r.stream.send(pongMessage(r.stream.pingFor(true), 20, 0)) // the reset asks for a proof by itself

		old := r.ask(t.Context(), from(7, 10))
		r.stream.send(pongMessage(r.stream.pingFor(true), 20, 0))
		old.wants(t, 0, consent.ErrEpoch)
	})
}

// The epoch ends while one waits for a revision of it.
func TestAtLeastWhenTheEpochEnds(t *testing.T) {
	inBubble(t, nil, func(r *nearRig) {
		t := r.t
		r.begin(10)
		q := r.ask(t.Context(), from(7, 13))
		r.stream.send(resetMessage(8, 19))
		q.wants(t, 0, consent.ErrEpoch)
	})
}

func TestBothDemands(t *testing.T) {
	inBubble(t, nil, func(r *nearRig) {
		t := r.t
		r.begin(10)
		q := r.ask(t.Context(), consent.Consistency{AtLeast: consent.Revision{Epoch: 7, Index: 11}, Full: true})
		r.stream.send(changeMessage(11, nil))
		r.stream.send(pongMessage(r.stream.pingFor(true), 11, 0))
		q.wants(t, 11, nil)
	})
}

func TestCloseLetsAllGo(t *testing.T) {
	inBubble(t, nil, func(r *nearRig) {
		t := r.t
		r.begin(10)
		shop := r.shop()
		r.replica.fill = func(ctx context.Context, _ *consentv1.FillRequest) (*consentv1.FillResponse, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		waiting := []*asked{r.ask(t.Context(), full), r.ask(t.Context(), from(7, 99)), r.ask(t.Context(), from(8, 1))}
		failed := make(chan error, 1)
		go func() {
			_, err := r.Record(t.Context(), shop, "anna", nil)
			failed <- err
		}()
		synctest.Wait()
		r.Close()
		for _, q := range waiting {
			q.wants(t, 0, consent.ErrNotReady)
		}
		if err := <-failed; !errors.Is(err, consent.ErrNotReady) {
			t.Errorf("a record: %v, want ErrNotReady", err)
		}
		if _, err := r.Record(t.Context(), shop, "anna", nil); !errors.Is(err, consent.ErrNotReady) {
			t.Errorf("a record after Close: %v, want ErrNotReady", err)
		}
		r.ask(t.Context(), full).wants(t, 0, consent.ErrNotReady)
		r.stream.closed()
	})
}

func TestNearOptions(t *testing.T) {
	_, conn := newFakeReplica(t)
	for name, o := range map[string]NearOptions{
		"no connection":      {},
		"a bound below zero": {Conn: conn, MaxStaleness: -1},
		"too little memory":  {Conn: conn, MaxBytes: 1},
	} {
		if near, err := NewNearCache(o); err == nil {
			near.Close()
			t.Errorf("%s: no error", name)
		}
	}
}
