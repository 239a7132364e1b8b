package chaos

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Condition is how a link is. The zero Condition is well.
type Condition struct {
	Stalled bool          // nothing arrives until it is well again, as when packets are lost and sent again
	Delay   time.Duration // from the sending of a byte to its arrival
	Rate    int           // bytes a second; 0 for no limit
}

// Links are those between the replicas of a cluster: one from each to each, for all that it sends there, on whichever connection.
type Links struct {
	mu       sync.Mutex
	links    map[[2]string]*link
	pipes    map[*pipe]struct{}
	troubled atomic.Int64
}

// link is one direction between two replicas.
type link struct {
	mu       sync.Mutex
	is       Condition
	changed  chan struct{} // closed with the next change
	troubled *atomic.Int64
}

// NewLinks returns links that are well.
func NewLinks() *Links {
	return &Links{links: map[[2]string]*link{}, pipes: map[*pipe]struct{}{}}
}

func (l *Links) link(from, to string) *link {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := [2]string{from, to}
	if l.links[key] == nil {
		l.links[key] = &link{changed: make(chan struct{}), troubled: &l.troubled}
	}
	return l.links[key]
}

// Set changes how a link is.
func (l *Links) Set(from, to string, is Condition) { l.link(from, to).set(is) }

// Heal makes all links well.
func (l *Links) Heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, link := range l.links {
		link.set(Condition{})
	}
}

// Troubled returns how often something was sent over a link that wasn't well.
func (l *Links) Troubled() int64 { return l.troubled.Load() }

// Break closes the connections between two replicas, whoever made them.
func (l *Links) Break(a, b string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.pipes {
		if p.from == a && p.to == b || p.from == b && p.to == a {
			p.close()
		}
	}
}

func (l *link) set(is Condition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.is = is
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *link) now() (Condition, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.is, l.changed
}

// chunk is what was sent, and when it is due.
type chunk struct {
	bytes []byte
	due   time.Time
}

// A link holds at most so much of a direction of a connection: who sends more waits, as with a full window.
const (
	chunkBytes = 16 << 10
	maxChunks  = 64
)

// carry copies what comes from a reader to a writer, as the link allows, until either ends.
func (l *link) carry(ctx context.Context, to io.Writer, from io.Reader) {
	ctx, cancel := context.WithCancel(ctx)
	chunks := make(chan chunk, maxChunks)
	go func() {
		defer cancel()
		for c := range chunks {
			if l.pass(ctx, c) != nil {
				return
			}
			if _, err := to.Write(c.bytes); err != nil {
				return
			}
		}
	}()
	defer func() { close(chunks); <-ctx.Done() }()
	for {
		buf := make([]byte, chunkBytes)
		n, err := from.Read(buf)
		if n > 0 {
			is, _ := l.now()
			select {
			case chunks <- chunk{buf[:n], time.Now().Add(is.Delay)}:
			case <-ctx.Done():
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits until a chunk may arrive.
func (l *link) pass(ctx context.Context, c chunk) error {
	is, _ := l.now()
	if is != (Condition{}) {
		l.troubled.Add(1)
	}
	if is.Rate > 0 {
		c.due = later(c.due, time.Now().Add(time.Duration(len(c.bytes))*time.Second/time.Duration(is.Rate)))
	}
	if wait := time.Until(c.due); wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for {
		is, changed := l.now()
		if !is.Stalled {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
