package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/consentd/consentd/consent"
	"google.golang.org/grpc"
)

// core is what the services share.
type core struct {
	state    State
	records  Records
	policies Policies
	cluster  Cluster
	several  Several                  // the state, if it reads several records at once
	near     Near                     // the state of a sidecar; nil on a replica
	upstream grpc.ClientConnInterface // of a sidecar
	watching Watching
	now      func() time.Time
	log      *slog.Logger

	decisions decisionCounts
	watches   *watchCounts
	gate      gate
	buffers   sync.Pool
	blocks    sync.Pool
	batches   sync.Pool // of *batch
	newest    atomic.Pointer[revisionToken]

	drainOnce sync.Once
	draining  chan struct{} // closed when open streams are to end
	streams   sync.WaitGroup
}

func newCore(o Options) *core {
	var near Near
	if o.Upstream != nil {
		near = o.State.(Near) //nolint:errcheck // validated
	}
	several, _ := o.State.(Several)
	return &core{
		state:    o.State,
		several:  several,
		records:  o.Records,
		policies: o.Policies,
		cluster:  o.Cluster,
		near:     near,
		upstream: o.Upstream,
		watching: o.Watching,
		now:      o.Now,
		log:      o.Logger,
		watches:  newWatchCounts(),
		gate:     gate{most: o.MaxInFlight},
		buffers:  sync.Pool{New: func() any { return new(consent.Buffer) }},
		blocks:   sync.Pool{New: func() any { return new(block) }},
		draining: make(chan struct{}),
	}
}

func (c *core) borrow() *consent.Buffer {
	return c.buffers.Get().(*consent.Buffer) //nolint:errcheck // the pool holds nothing else
}

func (c *core) giveBack(buf *consent.Buffer) { c.buffers.Put(buf) }

// revisionToken is a revision and its text.
type revisionToken struct {
	revision consent.Revision
	text     string
}

// token returns the text of a revision. Most calls between two writes share it.
func (c *core) token(r consent.Revision) string {
	if t := c.newest.Load(); t != nil && t.revision == r {
		return t.text
	}
	t := &revisionToken{r, r.String()}
	c.newest.Store(t)
	return t.text
}

// untilDrained runs a stream's handler until it returns, or the server is told to stop. The handler may then be waiting for a message
// that never comes: gRPC wakes it once this has returned, and Drain waits for that.
func (c *core) untilDrained(handle func() error) error {
	done := make(chan error, 1)
	c.streams.Go(func() { done <- handle() })
	select {
	case err := <-done:
		return err
	case <-c.draining:
		return errDraining
	}
}

// contain runs f, and turns a panic into an error. Goroutines of a handler need it: what guards handlers doesn't reach them.
func (c *core) contain(ctx context.Context, f func() error) (err error) {
	defer c.rescue(ctx, &err)
	return f()
}

// rescue, deferred, turns a panic of the function into its error.
func (c *core) rescue(ctx context.Context, err *error) {
	if cause := recover(); cause != nil {
		*err = c.panicked(ctx, cause)
	}
}

// ended turns the end of a caller's messages into the end of the stream without an error.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// endStreams tells open streams to end. It may be called again.
func (c *core) endStreams() { c.drainOnce.Do(func() { close(c.draining) }) }
