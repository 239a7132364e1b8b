package client

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"
)

var sentAt = time.Now()

// newReader returns a reader at the beginning of a stream, of which the pings 1 to 3 wait for their pongs.
func newReader(t *testing.T, cache publisher, wanted ...string) *reader {
	t.Helper()
	r := &reader{
		cache: cache, wanted: wanted, bounds: &bounds{own: time.Second}, pings: newPings(new(atomic.Uint64)),
		left: new([]uint64), resets: new(atomic.Uint64), caughtUp: make(chan struct{}),
	}
	for range 3 {
		r.pings.send(&ping{sentAt: sentAt}, time.Hour, func() {})
	}
	t.Cleanup(func() { r.pings.end(nil) })
	return r
}

// takes numbers messages and has the reader take them, and fails if it doesn't.
func (r *reader) takes(t *testing.T, messages ...*consentv1.WatchResponse) {
	t.Helper()
	for _, m := range messages {
		m.Sequence = r.sequence + 1
		if err := r.take(m); err != nil {
			t.Fatalf("message %d: %v", m.GetSequence(), err)
		}
	}
}

func pongOf(id, position uint64, age, bound time.Duration) *consentv1.WatchResponse {
	return &consentv1.WatchResponse{Message: &consentv1.WatchResponse_Pong{Pong: &consentv1.WatchPong{
		Id: id, Position: position, Age: durationpb.New(age), Bound: durationpb.New(bound),
	}}}
}

func TestReaderPublishes(t *testing.T) {
	rec := &recorder{}
	r := newReader(t, rec)
	r.takes(t, resetMessage(7, 10, watchedTenant("a", 1, 1), watchedTenant("b", 2, 0)), caughtUpMessage())
	if want := (consent.Revision{Epoch: 7, Index: 10}); rec.at != want || len(rec.tenants) != 2 || !r.hasCaughtUp() {
		t.Fatalf("after a reset, at %v with %d tenants, want %v and 2", rec.at, len(rec.tenants), want)
	}
	a, b := rec.tenants["a"], rec.tenants["b"]
	if a.Number != 1 || a.Epoch != 7 || a.Policy.Version != 1 || b.Number != 2 || b.Policy != nil {
		t.Errorf("tenants %+v and %+v", a, b)
	}
	if p := a.Policy.Permission("newsletter"); p == nil || p.ID != 1 || p.PurposeID != 2 || p.ChannelID != 0 {
		t.Errorf("permission %+v", p)
	}
	r.takes(t, changeMessage(12, []uint32{0, 5, consent.Buckets - 1}), changeMessage(15, nil, watchedTenant("b", 2, 1)))
	if want := []uint32{0, 5, consent.Buckets - 1}; rec.at.Index != 15 || !slices.Equal(rec.floors, want) || rec.tenants["b"].Policy == nil {
		t.Errorf("after changes, at %d with the floors %v, and b has the policy %v", rec.at.Index, rec.floors, rec.tenants["b"].Policy)
	}
	r.takes(t, pongOf(1, 15, 100*time.Millisecond, 2*time.Second))
	if want := sentAt.Add(-100 * time.Millisecond); !rec.asOf.Equal(want) || rec.bound != time.Second {
		t.Errorf("proven as of %v for %v, want %v for the lower of both bounds", rec.asOf, rec.bound, want)
	}
	r.takes(t, pongOf(2, 15, 0, 500*time.Millisecond))
	if rec.bound != 500*time.Millisecond {
		t.Errorf("proven for %v, want the cluster's bound", rec.bound)
	}
}

// A replica that lags behind the one before proves what it has; what is here has all of that.
func TestReaderGoesOnAtAReplicaThatLags(t *testing.T) {
	rec := &recorder{at: consent.Revision{Epoch: 7, Index: 100}}
	r := newReader(t, rec)
	r.takes(t, pongOf(1, 90, 0, time.Second))
	if !rec.asOf.Equal(sentAt) {
		t.Error("what it has wasn't proven")
	}
	r.takes(t, changeMessage(101, []uint32{3}))
	if rec.at.Index != 101 {
		t.Errorf("at %d, want 101", rec.at.Index)
	}
}

func TestReaderTakesAResetInParts(t *testing.T) {
	rec := &recorder{at: consent.Revision{Epoch: 7, Index: 100}}
	r := newReader(t, rec)
	r.takes(t, more(resetMessage(8, 5, watchedTenant("a", 1, 1))), more(resetMessage(8, 5)))
	if rec.at.Epoch != 7 || len(rec.tenants) > 0 {
		t.Error("a part of a reset was published")
	}
	r.takes(t, resetMessage(8, 5, watchedTenant("b", 2, 1)))
	if rec.at != (consent.Revision{Epoch: 8, Index: 5}) || len(rec.tenants) != 2 {
		t.Errorf("at %v with %d tenants", rec.at, len(rec.tenants))
	}
	r.takes(t, more(resetMessage(9, 6)), resetMessage(9, 6)) // another, behind it
	if rec.at.Epoch != 9 || len(rec.tenants) != 0 || r.resets.Load() != 2 {
		t.Errorf("at %v with %d tenants after %d resets", rec.at, len(rec.tenants), r.resets.Load())
	}
}

func TestReaderProvesNothingWithoutAnAge(t *testing.T) {
	rec := &recorder{at: consent.Revision{Epoch: 7, Index: 100}}
	r := newReader(t, rec)
	round := newRound()
	r.pings.send(&ping{sentAt: sentAt, round: round}, time.Hour, func() {})
	r.takes(t, pongMessage(&consentv1.WatchPing{Id: 4}, 100, -1))
	<-round.done
	if !errors.Is(round.err, errNotProven) || !rec.asOf.IsZero() || r.bounds.all() != testBound {
		t.Errorf("the round ended with %v, proven as of %v, the cluster's bound is %v", round.err, rec.asOf, r.bounds.all())
	}
}

// TestReaderEndsTheStream has it take what can't be, after what can: an error, and nothing published.
func TestReaderEndsTheStream(t *testing.T) {
	numbered := func(sequence uint64, m *consentv1.WatchResponse) *consentv1.WatchResponse {
		m.Sequence = sequence
		return m
	}
	change := func(f func(*consentv1.WatchTenant)) *consentv1.WatchTenant {
		m := watchedTenant("a", 1, 1)
		f(m)
		return m
	}
	raw := func(buckets ...byte) *consentv1.WatchResponse {
		m := changeMessage(11, nil)
		m.GetChanges().Buckets = buckets
		return m
	}
	tests := []struct {
		name string
		at   consent.Revision // zero: nothing was ever published
		good []*consentv1.WatchResponse
		bad  *consentv1.WatchResponse
		want error
	}{
		{name: "the first is missing", bad: numbered(2, resetMessage(7, 10)), want: errTurn},
		{name: "one is missing", good: many(resetMessage(7, 10)), bad: numbered(3, changeMessage(11, nil)), want: errTurn},
		{name: "doubled", good: many(resetMessage(7, 10), changeMessage(11, nil)), bad: numbered(2, changeMessage(11, nil)), want: errTurn},
		{name: "without a number", good: many(resetMessage(7, 10)), bad: numbered(0, changeMessage(11, nil)), want: errTurn},
		{name: "changes of nothing", bad: changeMessage(11, nil), want: errTurn},
		{name: "a pong of nothing", bad: pongOf(1, 0, 0, time.Second), want: errTurn},
		{name: "caught up with nothing", bad: caughtUpMessage(), want: errTurn},
		{name: "caught up twice", good: many(resetMessage(7, 10), caughtUpMessage()), bad: caughtUpMessage(), want: errTurn},
		{name: "an unknown kind", good: many(resetMessage(7, 10)), bad: &consentv1.WatchResponse{}, want: errTurn},

		{name: "back", good: many(resetMessage(7, 10)), bad: changeMessage(9, nil), want: errTurn},
		{name: "on the spot", good: many(resetMessage(7, 10)), bad: changeMessage(10, []uint32{1}), want: errTurn},
		{name: "a number cut off", good: many(resetMessage(7, 10)), bad: raw(5, 0x80), want: errBuckets},
		{name: "a number without an end", good: many(resetMessage(7, 10)), bad: raw(slices.Repeat([]byte{0xff}, 12)...), want: errBuckets},
		{name: "a bucket twice", good: many(resetMessage(7, 10)), bad: raw(5, 0), want: errBuckets},
		{name: "a bucket too far", good: many(resetMessage(7, 10)), bad: changeMessage(11, []uint32{1, consent.Buckets}), want: errBuckets},
		{
			name: "buckets that wrap around", good: many(resetMessage(7, 10)), want: errBuckets,
			bad: raw(append([]byte{5}, appendUvarint(nil, 1<<64-1)...)...),
		},

		{name: "reset back", at: consent.Revision{Epoch: 7, Index: 10}, bad: resetMessage(7, 9), want: errTurn},
		{name: "reset to an epoch that was left", good: many(resetMessage(7, 10), resetMessage(8, 12)), bad: resetMessage(7, 20), want: errTurn},
		{name: "reset to no epoch", bad: resetMessage(0, 9), want: errTurn},
		{name: "reset to nowhere", bad: resetMessage(7, 0), want: errTurn},
		{name: "parts of two epochs", good: many(more(resetMessage(7, 10))), bad: resetMessage(8, 10), want: errTurn},
		{name: "parts of two positions", good: many(more(resetMessage(7, 10))), bad: resetMessage(7, 11), want: errTurn},
		{
			name: "a tenant in two parts", want: errTurn,
			good: many(more(resetMessage(7, 10, watchedTenant("a", 1, 1)))), bad: resetMessage(7, 10, watchedTenant("a", 1, 1)),
		},
		{
			name: "changes amid a reset", at: consent.Revision{Epoch: 7, Index: 10}, good: many(more(resetMessage(8, 20))),
			bad: changeMessage(11, nil), want: errTurn,
		},
		{
			name: "a pong amid a reset", at: consent.Revision{Epoch: 7, Index: 10}, good: many(more(resetMessage(8, 20))),
			bad: pongOf(1, 10, 0, 1), want: errTurn,
		},

		{name: "a tenant not asked for", good: many(resetMessage(7, 10)), bad: changeMessage(11, nil, watchedTenant("c", 3, 1)), want: errTurn},
		{name: "a tenant without a name", bad: resetMessage(7, 10, change(func(m *consentv1.WatchTenant) { m.Name = "" })), want: errTurn},
		{
			name: "a number too large", want: errTenant,
			bad: resetMessage(7, 10, change(func(m *consentv1.WatchTenant) { m.Number = consent.MaxTenant + 1 })),
		},
		{
			name: "a policy without a version", want: errTenant,
			bad: resetMessage(7, 10, change(func(m *consentv1.WatchTenant) { m.PolicyVersion = 0 })),
		},
		{
			name: "a version without a policy", want: errTenant,
			bad: resetMessage(7, 10, change(func(m *consentv1.WatchTenant) { m.PolicyDocument = nil })),
		},
		{
			name: "a version below zero", want: errTenant,
			bad: resetMessage(7, 10, change(func(m *consentv1.WatchTenant) { m.PolicyVersion = -1 })),
		},
		{
			name: "a policy of a later version of consentd", good: many(resetMessage(7, 10)), want: errTenant,
			bad: changeMessage(11, nil, change(func(m *consentv1.WatchTenant) { m.PolicyDocument = []byte("moods: {}\n" + watchedPolicy) })),
		},
		{
			name: "a permission without a number", want: errTenant,
			bad: resetMessage(7, 10, change(func(m *consentv1.WatchTenant) { m.Permissions = nil })),
		},
		{
			name: "a number of 17 bits", want: errTenant,
			bad: resetMessage(7, 10, change(func(m *consentv1.WatchTenant) { m.Permissions[0].Id += 1 << 16 })),
		},

		{name: "a pong that nobody waits for", good: many(resetMessage(7, 10)), bad: pongOf(4, 10, 0, 1), want: errTurn},
		{name: "a pong twice", good: many(resetMessage(7, 10), pongOf(1, 10, 0, 1)), bad: pongOf(1, 10, 0, 1), want: errTurn},
		{name: "a pong of changes that haven't come", good: many(resetMessage(7, 10)), bad: pongOf(1, 11, 0, 1), want: errTurn},
		{name: "a pong of the future", good: many(resetMessage(7, 10)), bad: pongOf(1, 10, -1, 1), want: errTurn},
		{name: "a proof without a bound", good: many(resetMessage(7, 10)), bad: pongOf(1, 10, 0, 0), want: errTurn},
		{name: "a bound below zero", good: many(resetMessage(7, 10)), bad: pongOf(1, 10, 0, -1), want: errTurn},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := &recorder{at: tt.at}
			r := newReader(t, rec, "a", "b")
			r.takes(t, tt.good...)
			before := *rec
			if tt.bad.GetSequence() == 0 && tt.name != "without a number" {
				tt.bad.Sequence = r.sequence + 1
			}
			if err := r.take(tt.bad); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			same := cmp.Comparer(func(a, b *consent.Tenant) bool { return a == b })
			if diff := cmp.Diff(before, *rec, cmp.AllowUnexported(recorder{}), same); diff != "" {
				t.Errorf("it was published all the same (-before +after):\n%s", diff)
			}
		})
	}
}

func many(messages ...*consentv1.WatchResponse) []*consentv1.WatchResponse { return messages }

func FuzzBuckets(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 1, 0x80, 1})
	f.Add(encodedBuckets([]uint32{0, 1, 300, consent.Buckets - 1}))
	f.Add(appendUvarint([]byte{5}, 1<<64-1))
	f.Fuzz(func(t *testing.T, text []byte) {
		buckets, err := appendBuckets(nil, text)
		if err != nil {
			return
		}
		for i, b := range buckets {
			if b >= consent.Buckets || i > 0 && b <= buckets[i-1] {
				t.Fatalf("%x has the buckets %v", text, buckets)
			}
		}
		again, err := appendBuckets(nil, encodedBuckets(buckets))
		if err != nil || !slices.Equal(again, buckets) {
			t.Errorf("%v came back as %v, %v", buckets, again, err)
		}
	})
}
