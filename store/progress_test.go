package store

import (
	"context"
	"errors"
	"sync"
	"testing"
)

func TestWaitAppliedReturnsWhenReached(t *testing.T) {
	s := openStore(t, Options{})
	var group sync.WaitGroup
	for index := uint64(1); index <= 3; index++ {
		group.Go(func() {
			if err := s.WaitApplied(t.Context(), index); err != nil || s.Applied() < index {
				t.Errorf("WaitApplied(%d) = %v at %d", index, err, s.Applied())
			}
		})
	}
	f := newFeeder(t, s)
	f.write(nthKey(1), granted(0, "newsletter/email"))
	s.Advance(2)
	s.Advance(3)
	group.Wait()
	if err := s.WaitApplied(t.Context(), 2); err != nil {
		t.Errorf("WaitApplied of what is applied: %v", err)
	}
}

func TestWaitAppliedGivesUp(t *testing.T) {
	var p progress
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.wait(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("wait with a cancelled context = %v", err)
	}
	if len(p.waiting) != 0 {
		t.Error("who gave up is still waiting")
	}
	waited := make(chan error)
	go func() { waited <- p.wait(t.Context(), 1) }()
	p.end()
	if err := <-waited; !errors.Is(err, ErrClosed) {
		t.Errorf("wait on what ended = %v, want ErrClosed", err)
	}
}

func TestAdvanceMovesTheIndexAlone(t *testing.T) {
	s := openStore(t, Options{})
	before := stateHash(t, s)
	s.Advance(5)
	s.Advance(3)
	if s.Applied() != 5 || stateHash(t, s) != before {
		t.Errorf("Applied = %d, want 5 and the same state", s.Applied())
	}
}

func TestBeyond(t *testing.T) {
	var p progress
	p.set(5)
	reached, leave := p.beyond(4)
	<-reached
	leave()
	reached, leave = p.beyond(5)
	_, other := p.beyond(5)
	other()
	select {
	case <-reached:
		t.Error("5 is beyond 5")
	default:
	}
	if len(p.waiting) != 1 {
		t.Errorf("%d wait, want the one that hasn't left", len(p.waiting))
	}
	p.set(6)
	<-reached
	leave()
	reached, leave = p.beyond(6)
	p.end()
	<-reached
	leave()
	reached, _ = p.beyond(9)
	<-reached
}
