package cluster

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/consentd/consentd/consent"
)

// packer has commands travel together that would cost much alone: in entries of the log, and in calls to the leader.
//
// A flight costs about the same whatever is in it; so as many commands as wait share one. No command waits for others on purpose: the first
// one leaves alone, and what comes while it is on its way fills the next flight. With few flights in the air at once that happens by
// itself, the more so the slower they are.
//
// What becomes of a command is told exactly once, and never better than it is known: ErrNotWritten only as long as it hasn't left.
type packer[A any] struct {
	// launch lets a flight leave, and returns what waits for its end and answers each of its commands. Flights leave one after the other.
	launch func(flight []*parcel[A]) (land func())
	pace   func() // waits until a flight may leave, before it is packed

	queue        chan *parcel[A]
	waitingBytes atomic.Int64
	slots        chan struct{}  // one for each flight in the air
	flying       sync.WaitGroup // the same, to wait for all

	mu     sync.RWMutex // held for reading while putting into queue
	closed bool

	flights, commands atomic.Uint64 // that have left so far
}

// parcel is a command on its way.
type parcel[A any] struct {
	ctx     context.Context
	command []byte
	state   atomic.Int32
	done    chan answer[A] // holds one
}

type answer[A any] struct {
	value A
	err   error
}

// A parcel is waiting until either it leaves, or its sender gives it up.
const (
	waiting int32 = iota
	taken
	givenUp
)

// newPacker returns a packer for so many commands that wait and flights in the air. Its launch is still to be set.
func newPacker[A any](maxWaiting, maxFlights int) *packer[A] {
	return &packer[A]{pace: func() {}, queue: make(chan *parcel[A], maxWaiting), slots: make(chan struct{}, maxFlights)}
}

// send returns what became of a command.
func (p *packer[A]) send(ctx context.Context, command []byte) (A, error) {
	sent, err := p.put(ctx, command)
	if err != nil {
		var none A
		return none, err
	}
	return sent.wait()
}

// put has a command wait for the next flight.
func (p *packer[A]) put(ctx context.Context, command []byte) (*parcel[A], error) {
	if err := ctx.Err(); err != nil {
		return nil, notWritten(err)
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return nil, notWritten(consent.ErrNotReady)
	}
	w := &parcel[A]{ctx: ctx, command: command, done: make(chan answer[A], 1)}
	if p.waitingBytes.Add(int64(len(command))) > maxWaitingBytes {
		p.waitingBytes.Add(-int64(len(command)))
		return nil, consent.ErrOverloaded
	}
	select {
	case p.queue <- w:
		return w, nil
	default:
		p.waitingBytes.Add(-int64(len(command)))
		return nil, consent.ErrOverloaded
	}
}

// wait returns the answer, or at the end of the context what is known then.
func (w *parcel[A]) wait() (A, error) {
	select {
	case a := <-w.done:
		return a.value, a.err
	case <-w.ctx.Done():
	}
	var none A
	if w.state.CompareAndSwap(waiting, givenUp) {
		return none, notWritten(w.ctx.Err())
	}
	select {
	case a := <-w.done: // just in time
		return a.value, a.err
	default:
		return none, unknown(w.ctx.Err())
	}
}

func (w *parcel[A]) answer(value A, err error) { w.done <- answer[A]{value, err} }

// answerAll tells all in a flight the same error.
func answerAll[A any](flight []*parcel[A], err error) {
	var none A
	for _, w := range flight {
		w.answer(none, err)
	}
}

// run lets flights leave until close, and then with what is left. It returns when all are answered.
func (p *packer[A]) run() {
	defer p.flying.Wait()
	for first := range p.queue {
		p.slots <- struct{}{}
		p.pace()
		flight := p.pack(first)
		if len(flight) == 0 {
			<-p.slots
			continue
		}
		land := p.launch(flight)
		p.flights.Add(1)
		p.commands.Add(uint64(len(flight)))
		p.flying.Go(func() {
			land()
			<-p.slots
		})
	}
}

// close refuses further commands, and lets run end.
func (p *packer[A]) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	close(p.queue)
}

// pack returns the first parcel and those that wait behind it, as many as fit a flight.
func (p *packer[A]) pack(first *parcel[A]) []*parcel[A] {
	var flight []*parcel[A]
	bytes := 0
	for next := first; next != nil; next = p.poll() {
		p.waitingBytes.Add(-int64(len(next.command)))
		if next.ctx.Err() == nil && next.state.CompareAndSwap(waiting, taken) {
			flight = append(flight, next)
			bytes += len(next.command)
		}
		if bytes >= maxFlightBytes || len(flight) >= maxFlightCommands {
			break
		}
	}
	return flight
}

// poll returns a parcel that waits, or nil.
func (p *packer[A]) poll() *parcel[A] {
	select {
	case next := <-p.queue: // nil once closed and empty
		return next
	default:
		return nil
	}
}

// contents returns the commands of a flight.
func contents[A any](flight []*parcel[A]) [][]byte {
	commands := make([][]byte, len(flight))
	for i, w := range flight {
		commands[i] = w.command
	}
	return commands
}
