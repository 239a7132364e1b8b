package client

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

const (
	laneLife = time.Minute      // then another lane begins, at the replica whose turn it is
	laneless = 10 * time.Second // for so long nobody tries a lane after one was declined
	settled  = time.Second / 4  // for so long after a lane was left for what its replica couldn't answer, none is
)

// errNoLane is returned for a call that no lane takes. A unary call does for it.
var errNoLane = errors.New("no lane takes the call")

// lanes holds the lane that calls are put on. When that ends, is retired, or has lived for a while, the next call opens another: at the replica
// whose turn it is, and that says that it is ready.
type lanes struct {
	client  consentv1.PermissionServiceClient
	ctx     context.Context //nolint:containedctx // that of all streams
	cancel  context.CancelFunc
	current atomic.Pointer[lane]
	without atomic.Int64 // until when no lane is tried, in nanoseconds of Unix time
	moved   atomic.Int64 // when a lane was last left for what its replica couldn't answer, likewise
	bound   atomic.Int64 // the staleness bound that was told last, in nanoseconds; 0: none was

	mu      sync.Mutex
	opening *opening
	closed  bool
	running sync.WaitGroup
}

// opening is a lane that is being opened, for all who wait for it.
type opening struct {
	done chan struct{}
	lane *lane
	err  error
}

func (ls *lanes) start(client consentv1.PermissionServiceClient) {
	ls.client = client
	ls.ctx, ls.cancel = context.WithCancel(context.Background())
}

// close ends all lanes, and returns once nothing runs any more.
func (ls *lanes) close() {
	ls.mu.Lock()
	ls.closed = true
	ls.mu.Unlock()
	ls.cancel()
	ls.running.Wait()
}

// spawn starts a goroutine, unless all is closed.
func (ls *lanes) spawn(f func()) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if !ls.closed {
		ls.running.Go(f)
	}
}

// ask has a question answered on a lane. It returns errNoLane if none takes it, and otherwise the error of the answer, of the lane, or of
// whoever gave up.
func (ls *lanes) ask(ctx context.Context, until time.Time, tenant string, q *Question, permissions []string, d consent.Consistency) (reply, error) {
	if ls.areDeclined() {
		return reply{}, errNoLane
	}
	c := newCall(tenant, q, permissions)
	for {
		l, err := ls.take(ctx, until)
		if err == nil {
			err = l.ask(c, d)
		}
		switch {
		case errors.Is(err, errRetired):
			ls.current.CompareAndSwap(l, nil)
			continue
		case errors.Is(err, errCrowded):
			return reply{}, errNoLane
		case err != nil:
			return reply{}, err
		}
		if err := c.wait(ctx, until); err != nil {
			return reply{}, err
		}
		answer, err := c.reply, c.err
		c.free()
		return answer, err
	}
}

func (ls *lanes) areDeclined() bool {
	until := ls.without.Load()
	return until != 0 && time.Now().UnixNano() < until
}

// take returns the lane of now, and opens one if there is none.
func (ls *lanes) take(ctx context.Context, until time.Time) (*lane, error) {
	if l := ls.current.Load(); l != nil {
		return l, nil
	}
	o, err := ls.open()
	if err != nil {
		return nil, err
	}
	ctx, cancel := limit(ctx, until)
	defer cancel()
	select {
	case <-o.done:
		return o.lane, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// open begins to open a lane, if nobody does. No caller's context ends what others wait for.
func (ls *lanes) open() (*opening, error) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	switch l := ls.current.Load(); {
	case ls.closed:
		return nil, ErrClosed
	case l != nil:
		return opened(l), nil
	case ls.opening == nil:
		ls.opening = &opening{done: make(chan struct{})}
		o := ls.opening
		ls.running.Go(func() { ls.run(o) })
	}
	return ls.opening, nil
}

func opened(l *lane) *opening {
	o := &opening{done: make(chan struct{}), lane: l}
	close(o.done)
	return o
}

// run is the life of a lane.
func (ls *lanes) run(o *opening) {
	ctx, cancel := context.WithCancel(ls.ctx)
	defer cancel()
	stream, err := ls.client.StreamCheck(ctx)
	if err != nil {
		ls.publish(o, nil, ls.lost(err))
		return
	}
	l := &lane{stream: stream, cancel: cancel, shared: ls}
	age := time.AfterFunc(laneLife+rand.N(laneLife/4), func() {
		ls.current.CompareAndSwap(l, nil)
		l.retire()
	})
	defer age.Stop()
	ls.publish(o, l, nil)
	err = ls.lost(l.receive())
	ls.current.CompareAndSwap(l, nil)
	l.end(err)
}

// mayMove reports whether a lane is to be left because its replica couldn't answer a question. Where none can, as behind a sidecar that lost its
// upstream, a new stream for each question that fails would only be one more burden.
func (ls *lanes) mayMove() bool {
	now, last := time.Now().UnixNano(), ls.moved.Load()
	return (now < last || now-last >= int64(settled)) && ls.moved.CompareAndSwap(last, now)
}

// silence returns how long a lane may owe answers and give none: twice the staleness bound, and not less than half a second.
func (ls *lanes) silence() time.Duration {
	return 2 * max(cmp.Or(time.Duration(ls.bound.Load()), usualBound), time.Second/4)
}

func (ls *lanes) publish(o *opening, l *lane, err error) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	o.lane, o.err = l, err
	ls.current.Store(l)
	ls.opening = nil
	close(o.done)
}

// lost returns what the end of a stream means for the calls on it: they are asked again on another, or without one, if the end says that
// streams aren't wanted, or something of them isn't understood.
func (ls *lanes) lost(err error) error {
	told := errorOf(err)
	switch {
	case ls.ctx.Err() != nil:
		return ErrClosed
	case isAny(told, consent.ErrNotReady, consent.ErrStale): // as when the replica shuts down
		return told
	case isAny(told, context.Canceled, io.EOF):
		return ErrUnreachable
	default:
		ls.without.Store(time.Now().Add(laneless).UnixNano())
		return errNoLane
	}
}
