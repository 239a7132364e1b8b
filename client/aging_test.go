package client

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/consent/clocktest"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/grpc"
)

// jumpingClock is the time, save that it jumps when a test says so.
type jumpingClock struct {
	mu              sync.Mutex
	monotonic, wall time.Duration // ahead
}

func (c *jumpingClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return clocktest.MonotonicStoodStill(time.Now().Add(c.monotonic), c.wall-c.monotonic)
}

// jump moves the monotonic clock, the wall clock, or both.
func (c *jumpingClock) jump(d time.Duration, which [2]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if which[0] {
		c.monotonic += d
	}
	if which[1] {
		c.wall += d
	}
}

func withClock(c *jumpingClock) Option { return func(o *options) { o.now = c.now } }

// ages is what an answer says of its age, by whichever way it came.
type ages struct{ age, cacheFor time.Duration }

func saidOf(results []Result, err error) (ages, error) {
	if err != nil {
		return ages{}, err
	}
	return ages{results[0].Age, results[0].CacheFor}, results[0].Err
}

// ways are all that ask replicas.
var ways = map[string]func(context.Context, *Client) (ages, error){
	"check": func(ctx context.Context, c *Client) (ages, error) {
		a, err := c.Check(ctx, Question{Subject: anna, Permission: newsletter})
		return ages{a.Age, a.CacheFor}, err
	},
	"all": func(ctx context.Context, c *Client) (ages, error) {
		return saidOf(c.CheckAll(ctx, Question{Subject: anna}, newsletter))
	},
	"batch": func(ctx context.Context, c *Client) (ages, error) {
		return saidOf(c.BatchCheck(ctx, []Question{{Subject: anna, Permission: newsletter}}))
	},
	"segment": func(ctx context.Context, c *Client) (s ages, err error) {
		for chunk, err := range c.CheckSegment(ctx, Segment{Permission: newsletter}, slices.Values([]string{anna})) {
			return ages{chunk.Age, chunk.CacheFor}, err
		}
		return s, err
	},
	"explain": func(ctx context.Context, c *Client) (ages, error) {
		r, err := c.Explain(ctx, &consentv1.ExplainRequest{Subject: anna, Permissions: []string{newsletter}})
		if err != nil {
			return ages{}, err
		}
		return ages{r.GetAge().AsDuration(), r.GetExplanations()[0].GetAnswer().GetCacheFor().AsDuration()}, nil
	},
}

// TestAnswersAgeOnTheirWay: what an answer took is a part of its age, by whichever clock saw it pass, and no answer is past the bound.
func TestAnswersAgeOnTheirWay(t *testing.T) {
	r := newRig(t, 1)
	const bound, took = 2 * time.Second, 800 * time.Millisecond
	for name, ask := range ways {
		for lane, more := range map[string][]Option{"stream": nil, "unary": {WithUnaryCalls()}} {
			for clock, jumps := range map[string][2]bool{"both": {true, true}, "monotonic": {true, false}, "wall": {false, true}} {
				t.Run(name+"/"+lane+"/"+clock, func(t *testing.T) {
					var clock jumpingClock
					passes := func(d time.Duration) { // once
						var looked atomic.Bool
						r.servers[0].state.failWith(func(context.Context) error {
							if looked.CompareAndSwap(false, true) {
								clock.jump(d, jumps)
							}
							return nil
						})
					}
					c := r.dial(t, append(more, withClock(&clock))...)
					passes(took)
					if got, err := ask(t.Context(), c); err != nil || got.age < took || got.cacheFor > bound-took {
						t.Errorf("it says %+v, %v", got, err)
					}
					passes(bound)
					if got, err := ask(t.Context(), c); err != nil || got.age >= bound {
						t.Errorf("past the bound it isn't asked again: %+v, %v", got, err)
					}
					strict := r.dial(t, append(more, withClock(&clock), WithMaxStaleness(took))...)
					passes(took)
					if got, err := ask(t.Context(), strict); err != nil || got.age >= took {
						t.Errorf("older than the client takes, it isn't asked again: %+v, %v", got, err)
					}
				})
			}
		}
	}
}

func contextFor(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// TestSegmentsReadSlowly: what was answered ahead isn't handed out once somebody may have withdrawn since.
func TestSegmentsReadSlowly(t *testing.T) {
	for name, meanwhile := range map[string]func(*testing.T, *Client, *jumpingClock){
		"the client withdraws": func(t *testing.T, c *Client, _ *jumpingClock) {
			t.Helper()
			write(t, c)
		},
		"another does, and the bound passes": func(t *testing.T, c *Client, clock *jumpingClock) {
			t.Helper()
			other := dial(t, c.conn.Target())
			write(t, other)
			clock.jump(6*time.Second, [2]bool{true, true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			var clock jumpingClock
			r := newRig(t, 1)
			var decided atomic.Int64
			r.servers[0].state.failWith(func(context.Context) error { decided.Add(1); return nil })
			c := r.dial(t, withClock(&clock))
			ids := append(slices.Repeat([]string{nobody}, (chunksAhead-1)*chunkSubjects), anna)
			chunks := 0
			for chunk, err := range c.CheckSegment(t.Context(), Segment{Permission: newsletter}, slices.Values(ids)) {
				if err != nil {
					t.Fatal(err)
				}
				if chunks++; chunks == 1 {
					awaitNil(t, func() error {
						if decided.Load() < chunksAhead {
							return errors.New("not all chunks are answered")
						}
						return nil
					})
					meanwhile(t, c, &clock)
				}
				if last := len(chunk.Subjects) - 1; chunk.Subjects[last] == anna && chunk.Allowed(last) {
					t.Errorf("allowed after the withdrawal: %+v", chunk.Age)
				}
				if chunk.Age+chunk.CacheFor > usualBound {
					t.Errorf("chunk %d: age %v, to be kept for %v", chunks, chunk.Age, chunk.CacheFor)
				}
			}
			if chunks != chunksAhead {
				t.Errorf("%d chunks", chunks)
			}
		})
	}
}

func write(t *testing.T, c *Client) {
	t.Helper()
	if _, err := c.Write(t.Context(), withdrawal(anna)); err != nil {
		t.Fatal(err)
	}
}

// countStreams counts the lanes that a client opens.
func countStreams(opened *counter) Option {
	return WithDialOptions(grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
		next grpc.Streamer, o ...grpc.CallOption,
	) (grpc.ClientStream, error) {
		if method == consentv1.PermissionService_StreamCheck_FullMethodName {
			opened.add()
		}
		return next(ctx, desc, conn, method, o...)
	}))
}

type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
}

func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// TestBadQuestionsKeepTheLane: what can't be answered anywhere is no reason to leave a replica.
func TestBadQuestionsKeepTheLane(t *testing.T) {
	var opened counter
	c := newRig(t, 1).dial(t, countStreams(&opened))
	for range 50 {
		if !c.Allowed(t.Context(), anna, newsletter) {
			t.Fatal("denied")
		}
		if _, err := c.ForTenant("unknown").Check(t.Context(), Question{Subject: anna, Permission: newsletter}); !errors.Is(err, consent.ErrUnknownTenant) {
			t.Fatal(err)
		}
	}
	if n := opened.count(); n != 1 {
		t.Errorf("%d streams were opened", n)
	}
}

// TestStaleAnswersOpenFewStreams: where nobody can answer, a new stream for each question wouldn't help.
func TestStaleAnswersOpenFewStreams(t *testing.T) {
	var opened counter
	r := newRig(t, 1)
	c := r.dial(t, countStreams(&opened))
	r.servers[0].state.failWith(func(context.Context) error { return consent.ErrStale })
	began := time.Now()
	for range 10 {
		if _, err := c.Check(contextFor(t, 30*time.Millisecond), Question{Subject: anna, Permission: newsletter}); err == nil {
			t.Fatal("answered")
		}
	}
	if n, most := opened.count(), 2+int(time.Since(began)/settled); n > most {
		t.Errorf("%d streams were opened, want at most %d", n, most)
	}
}

// TestWaitingQuestionsKeepTheLane: a replica may take the bound over a question for newer state, and says then that it is STALE.
func TestWaitingQuestionsKeepTheLane(t *testing.T) {
	var opened counter
	c := newRig(t, 1).dial(t, countStreams(&opened))
	answer, err := c.Check(t.Context(), Question{Subject: anna, Permission: newsletter})
	if err != nil {
		t.Fatal(err)
	}
	ahead := consent.Revision{Epoch: answer.Revision.Epoch, Index: answer.Revision.Index + 1_000_000}
	q := Question{Subject: anna, Permission: newsletter, Consistency: consent.Consistency{AtLeast: ahead}}
	if _, err := c.Check(contextFor(t, usualBound*3/2), q); !errors.Is(err, consent.ErrStale) || errors.Is(err, ErrUnreachable) {
		t.Errorf("error %v", err)
	}
	if n := opened.count(); n > 2 { // the second because what is stale is left
		t.Errorf("%d streams were opened", n)
	}
}
