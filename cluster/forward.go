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
	text := store.EncodeCommand(command)
	var doubt error // of an attempt that may have been carried out, or may yet be
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		r := n.leader.reign.Load()
		result, err := n.attempt(ctx, r, &command, text)
		if err == nil {
			return result, nil
		}
		lost := errors.Is(err, consent.ErrOutcomeUnknown)
		if lost && bug("repeat with a new request id") && command.Write != nil {
			command.Write.RequestID[15]++
			text = store.EncodeCommand(command)
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

// attempt has whoever leads carry a command out, of which it gets the text.
func (n *Node) attempt(ctx context.Context, r *reign, command *store.Command, text []byte) (store.Result, error) {
	switch {
	case r.here != nil:
		return n.carryOut(ctx, command, text)
	case r.elsewhere():
		return n.forward(ctx, command, text)
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
func (n *Node) carryOut(ctx context.Context, command *store.Command, text []byte) (store.Result, error) {
	if err := n.refusal(); err != nil {
		return store.Result{}, err
	}
	if bug("acknowledge before commit") && command.Write != nil {
		return n.acknowledgeEarly(ctx, *command)
	}
	return n.writes.send(ctx, text)
}

// refusal returns why no command can be carried out here now, nil if one can.
func (n *Node) refusal() error {
	switch {
	case n.failure.err() != nil: // which is in the log, and none of the caller's business
		return notWritten(consent.ErrNotReady)
	case n.space.full.Load():
		return consent.ErrStorageFull
	case n.leader.reign.Load().here == nil:
		return notWritten(ErrNotLeading)
	default:
		return nil
	}
}

// forward has another replica carry a command out, and returns what it came to.
func (n *Node) forward(ctx context.Context, command *store.Command, text []byte) (store.Result, error) {
	told, err := n.calls.send(ctx, text)
	if err != nil {
		return store.Result{}, err
	}
	result, err := decodeOutcome(told.outcome, command)
	if err != nil {
		err = fmt.Errorf("%s answered: %w", told.by, err)
	}
	return result, err
}

// toldOutcome is the outcome of a command, and which replica told it.
type toldOutcome struct {
	outcome []byte
	by      string
}

// call sends the commands of a flight to the leader.
func (n *Node) call(flight []*parcel[toldOutcome]) (land func()) {
	r := n.leader.reign.Load()
	if !r.elsewhere() {
		return func() { answerAll(flight, notWritten(consent.ErrNoLeader)) }
	}
	return func() {
		outcomes, err := n.ask(r, flight)
		if err != nil {
			answerAll(flight, err)
			return
		}
		for i, w := range flight {
			w.answer(toldOutcome{outcomes[i], r.there.ID}, nil)
		}
	}
}

// ask returns the outcomes of commands from another replica. It is given up when that one doesn't lead any more, and when none of the
// senders waits.
func (n *Node) ask(r *reign, flight []*parcel[toldOutcome]) ([][]byte, error) {
	ctx, cancel := context.WithDeadline(r.ended, lastDeadline(flight))
	defer cancel()
	outcomes, err := n.peers.Propose(ctx, r.there, contents(flight))
	switch {
	case errors.Is(err, consent.ErrUnreached):
		return nil, notWritten(err)
	case err != nil: // in words, because what it wraps is about the call and not about the commands
		return nil, unknown(fmt.Errorf("asking %s: %v", r.there.ID, err)) //nolint:errorlint // see above
	case len(outcomes) != len(flight):
		return nil, unknown(fmt.Errorf("%s answered %d of %d commands", r.there.ID, len(outcomes), len(flight)))
	default:
		return outcomes, nil
	}
}

// lastDeadline returns until when somebody waits for a flight, at most for writeWait from now.
func lastDeadline(flight []*parcel[toldOutcome]) time.Time {
	var last time.Time
	most := time.Now().Add(writeWait)
	for _, w := range flight {
		switch deadline, limited := w.ctx.Deadline(); {
		case !limited || deadline.After(most):
			return most
		case deadline.After(last):
			last = deadline
		}
	}
	return last
}

// Propose carries out commands for another replica, and returns the outcome of each. They aren't passed on: what doesn't lead says so. The
// only commands that others may propose are writes, policies and the steps of a restore; one that can't be read spoils no other.
func (n *Node) Propose(ctx context.Context, commands [][]byte) ([][]byte, error) {
	ctx, cancel := answerable(ctx, writeWait)
	defer cancel()
	sent, refused := make([]*parcel[store.Result], len(commands)), make([]error, len(commands))
	for i, text := range commands { // all before the first is waited for, so that they share an entry
		sent[i], refused[i] = n.accept(ctx, text)
	}
	outcomes := make([][]byte, len(commands))
	for i, err := range refused {
		var result store.Result
		if err == nil {
			result, err = sent[i].wait()
		}
		outcomes[i] = encodeOutcome(result, err)
	}
	return outcomes, nil
}

// accept puts a command of another replica among those that wait to be proposed.
func (n *Node) accept(ctx context.Context, text []byte) (*parcel[store.Result], error) {
	if err := n.running(); err != nil {
		return nil, notWritten(err)
	}
	if err := n.refusal(); err != nil {
		return nil, err
	}
	c, err := store.DecodeCommand(text)
	if err == nil && c.Write == nil && c.Policy == nil && c.Restore == nil {
		err = errors.New("it is none that another replica may propose")
	}
	if err != nil {
		return nil, notWritten(fmt.Errorf("the command can't be read: %w", err))
	}
	return n.writes.put(ctx, text)
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
