package store

import (
	"context"
	"sync"
	"sync/atomic"
)

// progress is the index that is applied, and those who wait for it.
type progress struct {
	at      atomic.Uint64
	mu      sync.Mutex
	waiting map[*waiter]struct{}
	ended   bool
}

// waiter is told, by closing reached, that the index is applied or never will be.
type waiter struct {
	index   uint64
	reached chan struct{}
}

func (p *progress) get() uint64 { return p.at.Load() }

// set moves the index and lets those go who waited for it.
func (p *progress) set(index uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at.Store(index)
	for w := range p.waiting {
		if w.index <= index {
			close(w.reached)
			delete(p.waiting, w)
		}
	}
}

// end lets everyone go.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	for w := range p.waiting {
		close(w.reached)
		delete(p.waiting, w)
	}
}

// enqueue returns nil if there is nothing to wait for.
func (p *progress) enqueue(index uint64) *waiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at.Load() >= index || p.ended {
		return nil
	}
	if p.waiting == nil {
		p.waiting = map[*waiter]struct{}{}
	}
	w := &waiter{index, make(chan struct{})}
	p.waiting[w] = struct{}{}
	return w
}

func (p *progress) leave(w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, w)
}

// passed is the channel of what needn't be waited for.
var passed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// beyond returns a channel that is closed once the index is passed or never will be, and how to stop waiting for it.
func (p *progress) beyond(index uint64) (reached <-chan struct{}, leave func()) {
	w := p.enqueue(index + 1)
	if w == nil {
		return passed, func() {}
	}
	return w.reached, func() { p.leave(w) }
}

// wait returns nil once the index is applied, the context's error, or ErrClosed.
func (p *progress) wait(ctx context.Context, index uint64) error {
	if p.get() >= index {
		return nil
	}
	if w := p.enqueue(index); w != nil {
		select {
		case <-w.reached:
		case <-ctx.Done():
			p.leave(w)
			return ctx.Err()
		}
	}
	if p.get() < index {
		return ErrClosed
	}
	return nil
}
