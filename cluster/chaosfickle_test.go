package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// chaosTrouble is what becomes of what near caches are told, message by message. What isn't set doesn't happen. It counts what it has
// done.
type chaosTrouble struct {
	calm, cut, off     atomic.Bool  // streams end soon, or nobody is reached
	slow, slowFills    atomic.Int64 // nanoseconds that each message, or answer to Fill, is held at most
	lose, double, swap atomic.Int32 // one in so many
	done               atomic.Int64
}

// heal ends it all.
func (t *chaosTrouble) heal() {
	t.cut.Store(false)
	t.off.Store(false)
	t.slow.Store(0)
	t.slowFills.Store(0)
	for _, one := range []*atomic.Int32{&t.lose, &t.double, &t.swap} {
		one.Store(0)
	}
}

// fickleConn is a connection that leads to another replica each time: a stream here, the next one there, and each Fill to anyone, who may
// lag behind the one that tells of changes. Streams end after a while even without trouble, so that their readers move.
type fickleConn struct {
	apis    *chaosAPIs
	trouble *chaosTrouble
	life    context.Context
	close   context.CancelFunc

	mu   sync.Mutex
	dice *rand.Rand
}

var _ grpc.ClientConnInterface = (*fickleConn)(nil)

// fickleLife is how long a stream lasts at most without trouble.
const fickleLife = 800 * time.Millisecond

func newFickleConn(apis *chaosAPIs, trouble *chaosTrouble, seed uint64) *fickleConn {
	c := &fickleConn{apis: apis, trouble: trouble, dice: rand.New(rand.NewPCG(seed, 4))}
	c.life, c.close = context.WithCancel(context.Background())
	return c
}

// below returns a random number.
func (c *fickleConn) below(n int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dice.Int64N(n)
}

// happens reports whether something that happens to one message in so many happens to this one.
func (c *fickleConn) happens(one *atomic.Int32) bool {
	n := one.Load()
	if n == 0 || c.below(int64(n)) > 0 {
		return false
	}
	c.trouble.done.Add(1)
	return true
}

// hold waits for a part of a time, if it isn't 0.
func (c *fickleConn) hold(ctx context.Context, most *atomic.Int64) error {
	if most.Load() == 0 {
		return nil
	}
	c.trouble.done.Add(1)
	select {
	case <-time.After(time.Duration(c.below(most.Load()))):
		return nil
	case <-ctx.Done():
		return grpcstatus.FromContextError(ctx.Err()).Err()
	}
}

// any returns a replica that runs.
func (c *fickleConn) any() (string, *chaosAPI, error) {
	if c.trouble.off.Load() {
		return "", nil, errNotThere
	}
	ids := c.apis.ids
	id := ids[c.below(int64(len(ids)))]
	api, err := c.apis.api(id)
	if err == nil && api == nil {
		err = errNotThere
	}
	return id, api, err
}

var errNotThere = grpcstatus.Error(codes.Unavailable, "connection error: it doesn't run")

// Invoke implements grpc.ClientConnInterface.
func (c *fickleConn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	id, api, err := c.any()
	if err != nil {
		return err
	}
	if err := api.conn.Invoke(ctx, method, args, reply, opts...); err != nil {
		return err
	}
	if err := c.hold(ctx, &c.trouble.slowFills); err != nil {
		return err
	}
	if !c.apis.runs(id, api) {
		return errNotThere
	}
	return nil
}

// NewStream implements grpc.ClientConnInterface.
func (c *fickleConn) NewStream(
	ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	id, api, err := c.any()
	if err != nil {
		return nil, err
	}
	life := fickleLife/8 + time.Duration(c.below(int64(fickleLife)))
	switch {
	case c.trouble.calm.Load():
		life = time.Hour
	case c.trouble.cut.Load():
		c.trouble.done.Add(1)
		life = time.Duration(c.below(int64(fickleLife / 8)))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, life, errNotThere)
	stream, err := api.conn.NewStream(ctx, desc, method, opts...)
	if err != nil {
		cancel()
		return nil, err
	}
	context.AfterFunc(c.life, cancel)
	return &fickleStream{ClientStream: stream, conn: c, ctx: ctx, runs: func() bool { return c.apis.runs(id, api) }}, nil
}

// fickleStream is a stream whose messages meet trouble. One goroutine receives.
type fickleStream struct {
	grpc.ClientStream
	conn  *fickleConn
	ctx   context.Context
	runs  func() bool
	queue []*consentv1.WatchResponse // to be received next
}

// RecvMsg implements grpc.ClientStream.
func (s *fickleStream) RecvMsg(m any) error {
	to, ok := m.(*consentv1.WatchResponse)
	if !ok {
		return fmt.Errorf("near caches receive no %T", m)
	}
	if len(s.queue) == 0 {
		if err := s.receive(); err != nil {
			return err
		}
	}
	if err := s.conn.hold(s.ctx, &s.conn.trouble.slow); err != nil {
		return err
	}
	if !s.runs() || s.conn.trouble.off.Load() {
		return errNotThere
	}
	proto.Reset(to)
	proto.Merge(to, s.queue[0])
	s.queue = s.queue[1:]
	return nil
}

// receive puts one message or several into the queue.
func (s *fickleStream) receive() error {
	t := s.conn.trouble
	m, err := s.next()
	for err == nil && s.conn.happens(&t.lose) {
		m, err = s.next()
	}
	if err != nil {
		return err
	}
	s.queue = append(s.queue, m)
	if s.conn.happens(&t.double) {
		s.queue = append(s.queue, m)
	}
	if s.conn.happens(&t.swap) {
		later, err := s.next()
		if err != nil {
			return err
		}
		s.queue = append([]*consentv1.WatchResponse{later}, s.queue...)
	}
	return nil
}

func (s *fickleStream) next() (*consentv1.WatchResponse, error) {
	m := &consentv1.WatchResponse{}
	return m, s.ClientStream.RecvMsg(m)
}
