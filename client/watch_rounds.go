package client

import (
	"context"
	"sync"

	"github.com/consentd/consentd/consent"
)

// rounds are the proofs that somebody waits for (fully_consistent). Each is one ping for which the replica proves its state anew. A
// question may share a ping that isn't sent yet, and never one that is: what is proven of the time before the question is too little.
type rounds struct {
	kick chan struct{} // holds one wish for a round

	mu    sync.Mutex
	next  *round // its ping isn't sent
	ended bool
}

// round is one ping, with those who wait for its pong.
type round struct {
	done chan struct{}
	err  error // why it proved nothing; valid once done is closed
}

func newRounds() *rounds { return &rounds{kick: make(chan struct{}, 1), next: newRound()} }

func newRound() *round { return &round{done: make(chan struct{})} }

func (r *round) end(err error) {
	r.err = err
	close(r.done)
}

// begin returns the round whose ping is about to be sent. Whoever asks from now on waits for the next. Somebody has to end it.
func (r *rounds) begin() *round {
	r.mu.Lock()
	defer r.mu.Unlock()
	begun := r.next
	if r.ended {
		return newRound()
	}
	r.next = newRound()
	return begun
}

// wish asks for a round soon.
func (r *rounds) wish() {
	select {
	case r.kick <- struct{}{}:
	default: // there is such a wish already, and its ping isn't sent
	}
}

// end lets go all who wait, for good.
func (r *rounds) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended {
		r.ended = true
		r.next.end(consent.ErrNotReady)
	}
}

// prove returns nil once a round that began after the call has proven what is here to be the newest. One that fails, as in an election or
// when its stream is cut, is followed by others until the context ends; then it returns the context's error, and why the last has failed.
func (r *rounds) prove(ctx context.Context) (failed, err error) {
	for {
		r.mu.Lock()
		next, ended := r.next, r.ended
		r.mu.Unlock()
		if ended {
			return nil, consent.ErrNotReady
		}
		r.wish()
		select {
		case <-next.done:
			if failed = next.err; failed == nil {
				return nil, nil
			}
		case <-ctx.Done():
			return failed, ctx.Err()
		}
	}
}
