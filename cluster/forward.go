package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/store"
)

// A command is carried out by the leader, which may be another replica, and may change while the command is on its way. So it is repeated
// with the same request id at whoever leads, until it is known what it came to: the state machine executes a request once, and answers a
// repeat with what it came to the first time.
//
// What is told of it is never better than it is known. An attempt whose answer got lost may be in a log already, or get there later; after
// one only a success is certain. A refusal isn't, since the state machine doesn't remember those: the lost attempt may come after it, and
// not be refused.

// writeWait is how long a command may take if its caller doesn't say.
const writeWait = 10 * time.Second

// A command that found nobody to carry it out is tried again after a pause, which grows, or when another leads.
const firstPause, longestPause = 5 * time.Millisecond, 100 * time.Millisecond

// commit returns what a command came to, or why it came to nothing.
func (n *Node) commit(ctx context.Context, command store.Command) (store.Result, error) {
	if err := n.running(); err != nil {
		return store.Result{}, notWritten(err)
	}
	ctx, cancel := answerable(ctx, writeWait)
	defer cancel()
	var doubt error // of an attempt that may have been carried out, or may yet be
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		r := n.leader.reign.Load()
		result, err := n.attempt(ctx, r, command)
		if err == nil {
			return result, nil
		}
		lost := errors.Is(err, consent.ErrOutcomeUnknown)
		if lost && bug("repeat with a new request id") && command.Write != nil {
			command.Write.RequestID[15]++
		}
		if lost {
			doubt = err
		}
		if (lost || passes(err)) && n.lasts(ctx, r, pause) {
			continue
		}
		if doubt != nil {
			err = doubt
		}
		return store.Result{}, err
	}
}

// attempt has whoever leads carry a command out.
func (n *Node) attempt(ctx context.Context, r *reign, command store.Command) (store.Result, error) {
	switch {
	case r.here != nil:
		return n.carryOut(ctx, command)
	case r.elsewhere():
		return n.send(ctx, r, command)
	default:
		return store.Result{}, notWritten(consent.ErrNoLeader)
	}
}

// passes reports whether what kept a command from being carried out may pass by itself, or is another with the next leader.
func passes(err error) bool {
	return errors.Is(err, consent.ErrNotWritten) && !errors.Is(err, ErrClock)
}

// lasts waits for a pause, or for the end of a reign, and reports whether there is still time, and a replica, to try again.
func (n *Node) lasts(ctx context.Context, r *reign, pause time.Duration) bool {
	select {
	case <-time.After(pause):
	case <-r.ended.Done():
	case <-ctx.Done():
		return false
	}
	return n.failure.err() == nil && !n.leader.reign.Load().last && ctx.Err() == nil
}

// carryOut proposes a command here, and returns what it came to.
func (n *Node) carryOut(ctx context.Context, command store.Command) (store.Result, error) {
	switch {
	case n.failure.err() != nil: // which is in the log, and none of the caller's business
		return store.Result{}, notWritten(consent.ErrNotReady)
	case n.space.full.Load():
		return store.Result{}, consent.ErrStorageFull
	case n.leader.reign.Load().here == nil:
		return store.Result{}, notWritten(ErrNotLeading)
	}
	if bug("acknowledge before commit") && command.Write != nil {
		return n.acknowledgeEarly(ctx, command)
	}
	result, err := n.writes.propose(ctx, command)
	if err == nil {
		err = result.Err
	}
	return result, err
}

// send has another replica carry a command out. It is given up when that one doesn't lead any more.
func (n *Node) send(ctx context.Context, r *reign, command store.Command) (store.Result, error) {
	ctx, cancel := r.during(ctx)
	defer cancel()
	n.forwarded.Add(1)
	answer, err := n.peers.Propose(ctx, r.there, store.EncodeCommand(command))
	switch {
	case errors.Is(err, consent.ErrUnreached):
		return store.Result{}, notWritten(err)
	case err != nil: // in words, because what it wraps is about the call and not about the command
		return store.Result{}, unknown(fmt.Errorf("asking %s: %v", r.there.ID, err)) //nolint:errorlint // see above
	}
	result, err := decodeOutcome(answer, &command)
	if err != nil {
		err = fmt.Errorf("%s answered: %w", r.there.ID, err)
	}
	return result, err
}

// Propose carries out a command for another replica, and returns the outcome. It isn't passed on: what doesn't lead says so. The only
// commands that others may propose are writes, policies and the steps of a restore.
func (n *Node) Propose(ctx context.Context, command []byte) ([]byte, error) {
	if err := n.running(); err != nil {
		return encodeOutcome(store.Result{}, notWritten(err)), nil
	}
	ctx, cancel := answerable(ctx, writeWait)
	defer cancel()
	c, err := store.DecodeCommand(command)
	if err == nil && c.Write == nil && c.Policy == nil && c.Restore == nil {
		err = errors.New("it is none that another replica may propose")
	}
	if err != nil {
		return encodeOutcome(store.Result{}, notWritten(fmt.Errorf("the command can't be read: %w", err))), nil
	}
	result, err := n.carryOut(ctx, c)
	return encodeOutcome(result, err), nil
}

// An answer is given this much before the deadline of who waits for it, so that it gets there in time: a part of what is left, and not
// more than that.
const answerPart, answerMargin = 10, 20 * time.Millisecond

// answerable returns a context that ends early enough before the caller's deadline for an answer, or after a limit if there is none.
func answerable(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	deadline, limited := ctx.Deadline()
	if !limited {
		return context.WithTimeout(ctx, limit)
	}
	left := time.Until(deadline)
	return context.WithDeadline(ctx, deadline.Add(-min(left/answerPart, answerMargin)))
}
