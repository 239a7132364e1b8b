package client

import (
	"sync"
	"sync/atomic"
	"time"
)

// pings are those of one stream that no pong has answered. They end with it, and their ids go on in the next one: a pong that comes twice,
// or by another stream than its ping, finds none.
type pings struct {
	last *atomic.Uint64 // id of any stream

	mu      sync.Mutex
	waiting map[uint64]*ping
}

// ping is a question how fresh the replica is.
type ping struct {
	id      uint64
	sentAt  time.Time   // or before: read before it went out
	round   *round      // of those who wait for the pong; nil for an ordinary one
	overdue *time.Timer // ends the stream; nil for a ping that may take its time
}

func newPings(last *atomic.Uint64) *pings { return &pings{last: last, waiting: map[uint64]*ping{}} }

// send notes a ping that goes out next, and what to do if no pong has come in time, 0 for any.
func (p *pings) send(out *ping, patience time.Duration, overdue func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out.id = p.last.Add(1)
	if patience > 0 {
		out.overdue = time.AfterFunc(patience, overdue)
	}
	p.waiting[out.id] = out
}

// answer takes the ping that a pong is for, nil if there is none.
func (p *pings) answer(id uint64) *ping {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.waiting[id]
	if out != nil {
		p.take(out)
	}
	return out
}

// ordinaryWaits reports whether an ordinary ping has no answer yet.
func (p *pings) ordinaryWaits() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, out := range p.waiting {
		if out.round == nil {
			return true
		}
	}
	return false
}

// end gives up all that wait.
func (p *pings) end(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, out := range p.waiting {
		p.take(out)
		out.ended(why)
	}
}

func (p *pings) take(out *ping) {
	delete(p.waiting, out.id)
	if out.overdue != nil {
		out.overdue.Stop()
	}
}

// ended tells those who wait for the ping, if any do.
func (p *ping) ended(err error) {
	if p.round != nil {
		p.round.end(err)
	}
}
