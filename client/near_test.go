package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/consent/clocktest"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/consentd/consentd/server"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var _ server.State = (*NearCache)(nil)

// nearRig is a near cache before a fake replica, in a bubble with a clock of its own.
type nearRig struct {
	*NearCache
	t       *testing.T
	replica *fakeReplica
	stream  *script // the latest
}

// inBubble runs a test with a near cache that has just opened its first stream.
func inBubble(t *testing.T, change func(*NearOptions), test func(*nearRig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		replica, conn := newFakeReplica(t)
		replica.fill = func(context.Context, *consentv1.FillRequest) (*consentv1.FillResponse, error) {
			return nil, errors.New("nobody should have asked")
		}
		o := NearOptions{Conn: conn, MaxBytes: 16 << 20}
		if change != nil {
			change(&o)
		}
		near, err := NewNearCache(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(near.Close)
		r := &nearRig{NearCache: near, t: t, replica: replica}
		r.stream = replica.next(t)
		test(r)
	})
}

// begin resets the stream to a position of epoch 7, with the tenant shop, and proves it.
func (r *nearRig) begin(position uint64) {
	r.t.Helper()
	r.stream.send(resetMessage(7, position, watchedTenant("shop", 1, 1)), caughtUpMessage())
	r.prove(position)
}

// prove answers the next ping with a proof without age.
func (r *nearRig) prove(position uint64) {
	r.t.Helper()
	r.stream.send(pongMessage(r.stream.ping(), position, 0))
	synctest.Wait()
}

// reopens waits for another stream.
func (r *nearRig) reopens() *consentv1.WatchStart {
	r.t.Helper()
	r.stream.closed()
	r.stream = r.replica.next(r.t)
	return r.stream.start
}

// wants fails unless the state here is at a position of epoch 7, and fresh or not.
func (r *nearRig) wants(position uint64, fresh bool) {
	r.t.Helper()
	v, err := r.View(r.t.Context(), consent.Consistency{})
	if err != nil {
		r.t.Fatal(err)
	}
	age, got := v.Age(r.watch.now())
	if want := (consent.Revision{Epoch: 7, Index: position}); v.Revision != want || got != fresh {
		r.t.Errorf("at %+v, proven %s ago, fresh %t; want %+v, %t", v.Revision, age, got, want, fresh)
	}
	if err := r.Ready(); (err == nil) != fresh {
		r.t.Errorf("ready: %v", err)
	}
}

func (r *nearRig) wantsNothing() {
	r.t.Helper()
	if _, err := r.View(r.t.Context(), consent.Consistency{}); !errors.Is(err, consent.ErrNotReady) {
		r.t.Errorf("error %v, want ErrNotReady", err)
	}
	if err := r.Ready(); !errors.Is(err, consent.ErrNotReady) {
		r.t.Errorf("ready: %v, want ErrNotReady", err)
	}
}

// shop returns the tenant as it is here.
func (r *nearRig) shop() *consent.Tenant {
	r.t.Helper()
	v, err := r.View(r.t.Context(), consent.Consistency{})
	if err != nil {
		r.t.Fatal(err)
	}
	return v.Tenants["shop"]
}

func TestNearCacheAnswersOnceProven(t *testing.T) {
	inBubble(t, func(o *NearOptions) { o.Tenants = []string{"shop"} }, func(r *nearRig) {
		t := r.t
		if start := r.stream.start; start.GetEpoch() != 0 || start.GetPosition() != 0 || len(start.GetTenants()) != 1 {
			t.Errorf("the first stream started with %v", start)
		}
		r.wantsNothing()
		if at, heard := r.Reached(); heard || r.ClusterBound() != 0 {
			t.Errorf("reached %v, bound %v", at, r.ClusterBound())
		}
		r.stream.send(resetMessage(7, 10, watchedTenant("shop", 1, 1)), caughtUpMessage())
		synctest.Wait()
		r.wantsNothing()
		r.prove(10)
		r.wants(10, true)
		if at, heard := r.Reached(); !heard || at.Index != 10 || r.ClusterBound() != testBound {
			t.Errorf("reached %v, bound %v", at, r.ClusterBound())
		}
	})
}

func TestNearCacheTakesTheLowerBound(t *testing.T) {
	for own, want := range map[time.Duration]time.Duration{0: testBound, time.Second: time.Second, time.Minute: testBound} {
		inBubble(t, func(o *NearOptions) { o.MaxStaleness = own }, func(r *nearRig) {
			t := r.t
			r.begin(10)
			if v, err := r.View(t.Context(), consent.Consistency{}); err != nil || v.Bound != want || r.ClusterBound() != testBound {
				t.Errorf("for %v, the bound is %v (%v) and the cluster's %v, want %v and %v", own, v.Bound, err, r.ClusterBound(), want, testBound)
			}
			before := time.Now()
			r.stream.ping()
			if got := time.Since(before); got != want/8 {
				t.Errorf("for %v, a proof was renewed after %v, want %v", own, got, want/8)
			}
		})
	}
}

// What a pong proves is of the time when its ping was sent, less the age: how long it took doesn't make it any newer.
func TestNearCacheCountsFromThePing(t *testing.T) {
	inBubble(t, nil, func(r *nearRig) {
		t := r.t
		r.begin(10)
		ping := r.stream.ping()
		sent := time.Now()
		time.Sleep(100 * time.Millisecond)
		r.stream.send(pongMessage(ping, 10, 30*time.Millisecond))
		synctest.Wait()
		if v, _ := r.View(t.Context(), consent.Consistency{}); !v.FreshAsOf.Equal(sent.Add(-30 * time.Millisecond)) {
			t.Errorf("proven as of %v, want 30 ms before the ping of %v", v.FreshAsOf, sent)
		}
	})
}

func TestNearCacheGrowsOldWithoutAReplica(t *testing.T) {
	inBubble(t, nil, func(r *nearRig) {
		t := r.t
		r.begin(10)
		r.stream.over <- status.Error(codes.Unavailable, "gone")
		for range 3 {
			if start := r.reopens(); start.GetEpoch() != 7 || start.GetPosition() != 10 {
				t.Errorf("the next stream started with %v", start)
			}
			r.wants(10, true)
			r.stream.over <- status.Error(codes.Unavailable, "gone")
		}
		time.Sleep(testBound)
		r.wants(10, false)
	})
}

// A message is lost, comes twice or out of turn, on its way: another stream goes on from what was whole.
func TestNearCacheGoesOnFromWhatWasWhole(t *testing.T) {
	twist := map[string]func(*script){
		"lost":    func(s *script) { s.sequence++; s.send(changeMessage(12, nil)) },
		"doubled": func(s *script) { s.sequence--; s.send(changeMessage(11, nil)) },
		"swapped": func(s *script) {
			s.sequence++
			s.send(changeMessage(12, nil))
			s.sequence -= 2
			s.send(changeMessage(13, nil))
		},
		"cut":             func(s *script) { s.over <- nil },
		"cut off as slow": func(s *script) { s.over <- status.Error(codes.ResourceExhausted, "slow") },
		"unreadable policy": func(s *script) {
			m := watchedTenant("shop", 1, 2)
			m.PolicyDocument = []byte("purposes: [")
			s.send(changeMessage(12, nil, m))
		},
		"a reset cut": func(s *script) {
			s.send(more(resetMessage(8, 50, watchedTenant("other", 1, 1))))
			s.over <- nil
		},
	}
	for name, twist := range twist {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(r *nearRig) {
				t := r.t
				r.begin(10)
				r.stream.send(changeMessage(11, []uint32{5}))
				twist(r.stream)
				if start := r.reopens(); start.GetEpoch() != 7 || start.GetPosition() != 11 {
					t.Errorf("the next stream started with %v", start)
				}
				r.wants(11, true)
				if r.shop().Policy.Version != 1 {
					t.Error("the tenant is another")
				}
				r.stream.send(caughtUpMessage(), changeMessage(14, nil))
				r.prove(14)
				r.wants(14, true)
				if got := r.Stats(); got.Streams != 2 || got.Resets != 1 {
					t.Errorf("%d streams and %d resets", got.Streams, got.Resets)
				}
			})
		})
	}
}

// The pong of a ping that was sent before a reconnect proves nothing, though it comes by the new stream and in turn.
func TestNearCacheForgetsPingsWithTheirStream(t *testing.T) {
	inBubble(t, nil, func(r *nearRig) {
		t := r.t
		r.begin(10)
		old := r.stream.ping()
		r.stream.over <- nil
		r.reopens()
		r.stream.ping()
		before, _ := r.View(t.Context(), consent.Consistency{})
		r.stream.send(caughtUpMessage(), pongMessage(old, 10, 0))
		r.stream.closed()
		if after, _ := r.View(t.Context(), consent.Consistency{}); after.FreshAsOf != before.FreshAsOf {
			t.Error("it has proven something")
		}
	})
}

func TestNearCacheLeavesASilentReplica(t *testing.T) {
	inBubble(t, nil, func(r *nearRig) {
		t := r.t
		r.begin(10)
		r.stream.ping()
		sent := time.Now()
		r.reopens()
		if waited := time.Since(sent); waited < testBound/4 || waited > testBound/4+firstRest {
			t.Errorf("it was left after %v, want %v", waited, testBound/4)
		}
	})
}

// A replica that is cut off from the others answers, but what it proves is ever older. Another one is found before anything is STALE.
func TestNearCacheLeavesAReplicaThatIsCutOff(t *testing.T) {
	for name, age := range map[string]func(time.Duration) time.Duration{
		"it can prove nothing":          func(time.Duration) time.Duration { return -1 },
		"it proves an ever older state": func(since time.Duration) time.Duration { return since },
		"it falls behind":               func(since time.Duration) time.Duration { return since * 3 / 4 },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(r *nearRig) {
				r.begin(10)
				cutOff := time.Now()
				for left := false; !left && time.Since(cutOff) < 2*testBound; {
					select {
					case ping := <-r.stream.pings:
						r.stream.send(pongMessage(ping, 10, age(time.Since(cutOff))))
					case <-r.stream.gone:
						left = true
					}
				}
				r.reopens()
				r.wants(10, true)
			})
		})
	}
}

// A reset of many policies may take longer than a replica may keep silent.
func TestNearCacheIsPatientWithALargeReset(t *testing.T) {
	inBubble(t, nil, func(r *nearRig) {
		t := r.t
		for i := range 10 {
			r.stream.send(more(resetMessage(7, 10, watchedTenant(fmt.Sprint(i), uint32(i), 1))))
			time.Sleep(testBound / 3)
		}
		r.begin(10)
		r.prove(10) // the first ping came before all this
		r.wants(10, true)
		if got := r.Stats().Streams; got != 1 {
			t.Errorf("%d streams", got)
		}
	})
}

// TestNearCacheKnowsThatItSlept suspends the process, so that one of its clocks stands still, between a ping and its pong.
func TestNearCacheKnowsThatItSlept(t *testing.T) {
	for name, still := range map[string]func(time.Time, time.Duration) time.Time{
		"the monotonic clock stood still": clocktest.MonotonicStoodStill,
		"none did":                        time.Time.Add,
	} {
		t.Run(name, func(t *testing.T) {
			clock := &sleepyClock{base: time.Now(), still: still}
			inBubble(t, func(o *NearOptions) { clock.began = time.Now(); o.Now = clock.now }, func(r *nearRig) {
				r.begin(10)
				r.wants(10, true)
				ping := r.stream.ping()
				clock.sleep(time.Hour)
				r.wants(10, false)
				r.stream.send(pongMessage(ping, 10, 0))
				synctest.Wait()
				r.wants(10, false)
				r.prove(10)
				r.wants(10, true)
			})
		})
	}
}

// sleepyClock is a clock of a machine that can be suspended.
type sleepyClock struct {
	base, began time.Time // of the real clock, and of the bubble
	still       func(time.Time, time.Duration) time.Time

	mu    sync.Mutex
	slept time.Duration
}

func (c *sleepyClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.still(c.base.Add(time.Since(c.began)), c.slept)
}

func (c *sleepyClock) sleep(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slept += d
}

// A policy takes effect together with the position that it came with.
func TestNearCacheTakesAPolicyWithItsPosition(t *testing.T) {
	inBubble(t, nil, func(r *nearRig) {
		t := r.t
		r.begin(10)
		before, _ := r.View(t.Context(), consent.Consistency{})
		r.stream.send(changeMessage(12, []uint32{1}, watchedTenant("shop", 1, 2), watchedTenant("new", 2, 0)))
		synctest.Wait()
		after, _ := r.View(t.Context(), consent.Consistency{})
		if before.Tenants["shop"].Policy.Version != 1 || before.Tenants["new"] != nil {
			t.Error("a view has changed")
		}
		if after.Revision.Index != 12 || after.Tenants["shop"].Policy.Version != 2 || after.Tenants["new"] == nil {
			t.Errorf("after the change, at %d with version %d", after.Revision.Index, after.Tenants["shop"].Policy.Version)
		}
	})
}

// filled answers every question with a record that changed at an index, and counts them.
func (r *nearRig) filled(revision consent.Revision, index uint64) (questions *int) {
	questions = new(int)
	var record consent.Record
	if index > 0 {
		record = testRecord(r.t, 1, index)
	}
	r.replica.fill = func(_ context.Context, q *consentv1.FillRequest) (*consentv1.FillResponse, error) {
		*questions++
		if q.GetTenant() != "shop" || q.GetSubject() != "anna" || q.GetEpoch() != 7 {
			return nil, fmt.Errorf("question %v", q)
		}
		return &consentv1.FillResponse{
			Epoch: revision.Epoch, Position: revision.Index, Bucket: 5, Format: consent.RecordFormat, Record: record,
		}, nil
	}
	return questions
}

// testRecord returns a record of a tenant that changed at an index.
func testRecord(t *testing.T, tenant uint32, index uint64) consent.Record {
	t.Helper()
	at := consent.TimeOf(time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC))
	record, _ := consent.Fold(nil, consent.Event{Kind: consent.Erased, OccurredAt: at}, consent.FoldContext{Tenant: tenant, Index: index})
	if err := record.Validate(); err != nil {
		t.Fatal(err)
	}
	return record
}

func (r *nearRig) record() (consent.Record, error) {
	r.t.Helper()
	return r.Record(r.t.Context(), r.shop(), "anna", nil)
}

func TestNearCacheHoldsRecords(t *testing.T) {
	inBubble(t, nil, func(r *nearRig) {
		t := r.t
		r.begin(10)
		questions := r.filled(consent.Revision{Epoch: 7, Index: 10}, 4)
		if _, _, here := r.Held(r.shop(), "anna"); here {
			t.Error("a record is held that nobody asked for")
		}
		for range 3 {
			if record, err := r.record(); err != nil || record.Index() != 4 {
				t.Fatalf("record %v, %v", record, err)
			}
			synctest.Wait()
		}
		if _, record, here := r.Held(r.shop(), "anna"); !here || record.Index() != 4 || *questions != 1 {
			t.Errorf("held %v, %t; a replica was asked %d times", record, here, *questions)
		}
		r.filled(consent.Revision{Epoch: 7, Index: 12}, 12)
		r.stream.send(changeMessage(11, []uint32{4, 6}))
		synctest.Wait()
		if _, _, here := r.Held(r.shop(), "anna"); !here {
			t.Error("a record isn't held any more, and others changed")
		}
		r.stream.send(changeMessage(12, []uint32{4, 5, 6}))
		synctest.Wait()
		if _, _, here := r.Held(r.shop(), "anna"); here {
			t.Error("a record is held that has changed")
		}
		if record, err := r.record(); err != nil || record.Index() != 12 {
			t.Errorf("record %v, %v", record, err)
		}
	})
}

// The epoch changes while a replica is asked for a record: its numbers mean something else now.
func TestNearCacheDropsARecordOfAnotherEpoch(t *testing.T) {
	inBubble(t, nil, func(r *nearRig) {
		t := r.t
		r.begin(10)
		r.filled(consent.Revision{Epoch: 7, Index: 10}, 4)
		fill, asked, answer := r.replica.fill, make(chan struct{}), make(chan struct{})
		r.replica.fill = func(ctx context.Context, q *consentv1.FillRequest) (*consentv1.FillResponse, error) {
			close(asked)
			<-answer
			return fill(ctx, q)
		}
		shop := r.shop()
		failed := make(chan error)
		go func() {
			record, err := r.Record(t.Context(), shop, "anna", nil)
			if record != nil {
				t.Errorf("record %v", record)
			}
			failed <- err
		}()
		<-asked
		r.stream.send(resetMessage(8, 20, watchedTenant("shop", 1, 1)))
		synctest.Wait()
		r.wantsNothing() // until it is proven
		r.prove(20)
		close(answer)
		if err := <-failed; !errors.Is(err, consent.ErrNotReady) {
			t.Errorf("error %v, want ErrNotReady", err)
		}
		if _, _, here := r.Held(r.shop(), "anna"); here {
			t.Error("it is held in the other epoch")
		}
	})
}

func TestNearCacheRefusesARecord(t *testing.T) {
	good := func() *consentv1.FillResponse {
		return &consentv1.FillResponse{Epoch: 7, Position: 10, Bucket: 5, Format: consent.RecordFormat, Record: testRecord(t, 1, 4)}
	}
	for name, spoil := range map[string]func(*consentv1.FillResponse){
		"another format":      func(m *consentv1.FillResponse) { m.Format++ },
		"no format":           func(m *consentv1.FillResponse) { m.Format, m.Record = 0, nil },
		"damaged":             func(m *consentv1.FillResponse) { m.Record[0] ^= 1 << 10 },
		"cut off":             func(m *consentv1.FillResponse) { m.Record = m.Record[:1] },
		"too old":             func(m *consentv1.FillResponse) { m.Position = 9 },
		"of a later position": func(m *consentv1.FillResponse) { m.Record = testRecord(t, 1, 11) },
		"of no bucket":        func(m *consentv1.FillResponse) { m.Bucket = consent.Buckets },
		"of another tenant":   func(m *consentv1.FillResponse) { m.Record = testRecord(t, 2, 4) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(r *nearRig) {
				t := r.t
				r.begin(10)
				r.replica.fill = func(context.Context, *consentv1.FillRequest) (*consentv1.FillResponse, error) {
					m := good()
					spoil(m)
					return m, nil
				}
				if record, err := r.record(); err == nil || record != nil {
					t.Errorf("record %v, %v", record, err)
				}
				if _, _, here := r.Held(r.shop(), "anna"); here {
					t.Error("it is held")
				}
			})
		})
	}
}

// statusFor is what a replica says of an error.
func statusFor(code codes.Code, reason string) error {
	s, err := status.New(code, "said by a replica").WithDetails(&errdetails.ErrorInfo{Domain: server.Domain, Reason: reason})
	if err != nil {
		panic(err)
	}
	return s.Err()
}

// Where one replica can't give a record, the next is asked, until the bound has passed.
func TestNearCacheAsksElsewhere(t *testing.T) {
	tests := []struct {
		name  string
		err   error
		times int // that it is said, -1 for ever
		want  error
	}{
		{"it lags", statusFor(codes.Unavailable, "STALE"), 1, nil},
		{"it is about to go", statusFor(codes.Unavailable, "NOT_READY"), 2, nil},
		{"it is gone", status.Error(codes.Unavailable, "connection refused"), 3, nil},
		{"all are gone", status.Error(codes.Unavailable, "connection refused"), -1, consent.ErrNotReady},
		{"all lag", statusFor(codes.Unavailable, "STALE"), -1, consent.ErrStale},
		{"it is in another epoch", statusFor(codes.FailedPrecondition, "EPOCH_CHANGED"), 1, consent.ErrNotReady},
		{"it has too much to do", statusFor(codes.ResourceExhausted, "OVERLOADED"), 1, consent.ErrOverloaded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, nil, func(r *nearRig) {
				t := r.t
				r.begin(10)
				go r.keepProving(10)
				r.filled(consent.Revision{Epoch: 7, Index: 10}, 4)
				fill, said := r.replica.fill, 0
				r.replica.fill = func(ctx context.Context, q *consentv1.FillRequest) (*consentv1.FillResponse, error) {
					if said++; said <= tt.times || tt.times < 0 {
						return nil, tt.err
					}
					return fill(ctx, q)
				}
				began := time.Now()
				record, err := r.record()
				if !errors.Is(err, tt.want) || (record == nil) != (tt.want != nil) {
					t.Errorf("record %v, %v, want %v", record, err, tt.want)
				}
				if waited := time.Since(began); waited > testBound {
					t.Errorf("it took %v", waited)
				}
			})
		})
	}
}

// keepProving answers every ping of the stream until it ends.
func (r *nearRig) keepProving(position uint64) {
	s := r.stream
	for {
		select {
		case ping := <-s.pings:
			s.send(pongMessage(ping, position, 0))
		case <-s.gone:
			return
		}
	}
}

// A replica that doesn't answer a question keeps nobody waiting for longer than the bound, or than the caller's own deadline.
func TestNearCacheWaitsNoLongerThanTheBound(t *testing.T) {
	inBubble(t, nil, func(r *nearRig) {
		t := r.t
		r.begin(10)
		go r.keepProving(10)
		r.replica.fill = func(ctx context.Context, _ *consentv1.FillRequest) (*consentv1.FillResponse, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		began := time.Now()
		if _, err := r.record(); !errors.Is(err, consent.ErrStale) && !errors.Is(err, consent.ErrNotReady) || time.Since(began) > testBound {
			t.Errorf("error %v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began = time.Now()
		_, err := r.Record(ctx, r.shop(), "anna", nil)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 100*time.Millisecond {
			t.Errorf("error %v after %v", err, time.Since(began))
		}
	})
}
