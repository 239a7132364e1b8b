package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/store"
	"github.com/hashicorp/raft"
)

// proposer packs waiting commands into entries of the Raft log.
//
// An entry costs a sync of the disk on every replica, whatever is in it; so as many commands as wait go into one. No command waits for
// others on purpose: the first one leaves alone, and what comes while it is on its way fills the next entry. With few entries on their way
// at once (maxFlights) that happens by itself, the more so the slower the disk is.
//
// What becomes of a command is told exactly once, and never better than it is known: ErrNotWritten only if it can't be in the log, nor
// ever get there; otherwise the result, or ErrOutcomeUnknown.
type proposer struct {
	apply func(entry []byte) raft.ApplyFuture
	clock *stamper

	queue        chan *proposal
	waitingBytes atomic.Int64
	slots        chan struct{}  // one for each entry on its way
	flights      sync.WaitGroup // the same, to wait for all

	mu     sync.RWMutex // held for reading while putting into queue
	closed bool

	entries, commands atomic.Uint64 // proposed so far
}

// proposal is a command on its way into the log.
type proposal struct {
	ctx     context.Context
	command store.Command
	bytes   int // about what it adds to an entry
	state   atomic.Int32
	done    chan outcome // holds one
}

type outcome struct {
	result store.Result
	err    error
}

// A proposal is waiting until either the proposer takes it, or its caller gives it up.
const (
	waiting int32 = iota
	taken
	givenUp
)

func newProposer(apply func([]byte) raft.ApplyFuture, clock *stamper, maxWaiting int) *proposer {
	return &proposer{
		apply: apply, clock: clock,
		queue: make(chan *proposal, maxWaiting),
		slots: make(chan struct{}, maxFlights),
	}
}

// propose returns what a command came to.
func (p *proposer) propose(ctx context.Context, command store.Command) (store.Result, error) {
	if err := ctx.Err(); err != nil {
		return store.Result{}, notWritten(err)
	}
	w := &proposal{ctx: ctx, command: command, bytes: sizeOf(&command), done: make(chan outcome, 1)}
	if err := p.enqueue(w); err != nil {
		return store.Result{}, err
	}
	select {
	case o := <-w.done:
		return o.result, o.err
	case <-ctx.Done():
	}
	if w.state.CompareAndSwap(waiting, givenUp) {
		return store.Result{}, notWritten(ctx.Err())
	}
	select {
	case o := <-w.done: // just in time
		return o.result, o.err
	default:
		return store.Result{}, unknown(ctx.Err())
	}
}

func (p *proposer) enqueue(w *proposal) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return notWritten(consent.ErrNotReady)
	}
	if p.waitingBytes.Add(int64(w.bytes)) > maxWaitingBytes {
		p.waitingBytes.Add(-int64(w.bytes))
		return consent.ErrOverloaded
	}
	select {
	case p.queue <- w:
		return nil
	default:
		p.waitingBytes.Add(-int64(w.bytes))
		return consent.ErrOverloaded
	}
}

// run proposes what is put into the queue until close, and then what is left in it. It returns when all of it is answered.
func (p *proposer) run() {
	defer p.flights.Wait()
	for first := range p.queue {
		p.slots <- struct{}{}
		p.clock.pace()
		if batch := p.pack(first); len(batch) > 0 {
			p.launch(batch)
		} else {
			<-p.slots
		}
	}
}

// close refuses further commands, and lets run end.
func (p *proposer) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	close(p.queue)
}

// pack returns the first proposal and those that wait behind it, as many as fit an entry.
func (p *proposer) pack(first *proposal) []*proposal {
	var batch []*proposal
	bytes := 0
	for next := first; next != nil; next = p.poll() {
		p.waitingBytes.Add(-int64(next.bytes))
		if next.ctx.Err() == nil && next.state.CompareAndSwap(waiting, taken) {
			batch = append(batch, next)
			bytes += next.bytes
		}
		if bytes >= maxEntryBytes || len(batch) >= maxEntryCommands {
			break
		}
	}
	return batch
}

// poll returns a proposal that waits, or nil.
func (p *proposer) poll() *proposal {
	select {
	case next := <-p.queue: // nil once closed and empty
		return next
	default:
		return nil
	}
}

// launch hands an entry to Raft, in order, and has its answer awaited. Without a stamp there is no entry.
func (p *proposer) launch(batch []*proposal) {
	stamp, err := p.clock.next()
	if err != nil {
		answer(batch, nil, notWritten(err))
		<-p.slots
		return
	}
	commands := make([]store.Command, len(batch))
	for i, w := range batch {
		commands[i] = w.command
	}
	future := p.apply(store.EncodeEntry(stamp, commands))
	p.entries.Add(1)
	p.commands.Add(uint64(len(batch)))
	p.flights.Go(func() {
		results, err := resultsOf(future, len(batch))
		answer(batch, results, err)
		<-p.slots
	})
}

// answer tells everybody in an entry what their command came to.
func answer(batch []*proposal, results []store.Result, err error) {
	for i, w := range batch {
		if err != nil {
			w.done <- outcome{err: err}
		} else {
			w.done <- outcome{result: results[i]}
		}
	}
}

// resultsOf waits for an entry to be applied, and returns the results of its commands.
func resultsOf(future raft.ApplyFuture, commands int) ([]store.Result, error) {
	if err := future.Error(); err != nil {
		return nil, raftError(err)
	}
	switch answer := future.Response().(type) {
	case []store.Result:
		if len(answer) == commands {
			return answer, nil
		}
		return nil, unknown(fmt.Errorf("%d results for %d commands", len(answer), commands))
	case error: // it is in the log, but this replica stopped before applying it
		return nil, unknown(answer)
	default:
		return nil, unknown(fmt.Errorf("the state machine answered %T", answer))
	}
}

// raftError returns what an error of Raft's means for a command.
func raftError(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader):
		return notWritten(ErrNotLeading)
	case bug("call lost leadership not written"):
		return notWritten(err)
	case errors.Is(err, raft.ErrLeadershipTransferInProgress), errors.Is(err, raft.ErrEnqueueTimeout):
		return notWritten(err)
	default: // above all ErrLeadershipLost and ErrRaftShutdown: another leader may or may not have it
		return unknown(err)
	}
}

func notWritten(cause error) error { return fmt.Errorf("%w (%w)", consent.ErrNotWritten, cause) }

func unknown(cause error) error { return fmt.Errorf("%w (%w)", consent.ErrOutcomeUnknown, cause) }

// sizeOf returns about how many bytes a command takes in an entry.
func sizeOf(c *store.Command) int {
	const perCommand, perEvent = 64, 64
	size := perCommand
	switch {
	case c.Policy != nil:
		size += len(c.Policy.Document)
	case c.Restore != nil:
		size += len(c.Restore.Piece)
	case c.Write != nil:
		for i := range c.Write.Events {
			e := &c.Write.Events[i].Event
			size += perEvent + len(e.Evidence.NoticeHash) + len(e.Evidence.Source) + len(e.Evidence.Reference)
			for _, names := range [][]string{e.Scope.Permissions, e.Scope.Purposes, e.Scope.Channels} {
				for _, name := range names {
					size += len(name) + 1
				}
			}
		}
	}
	return size
}
