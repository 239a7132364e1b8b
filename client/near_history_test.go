package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/grpc/codes"
)

// world is a cluster as it should be: a history, and replicas that follow it at their own pace. What they say is true, and then the way to
// the reader loses, doubles, swaps, delays and cuts it.
type world struct {
	t       *testing.T
	harm    float64 // of a message on its way
	epochs  []uint64
	records map[uint64]consent.Record // by the index that they changed at

	mu       sync.Mutex
	random   *rand.Rand
	history  []moment
	replicas []*follower
	seen     int // where in the history the latest view was
}

// moment is a state of the cluster.
type moment struct {
	at       consent.Revision
	ackedAt  time.Time
	version  int64            // of the policy
	touched  []int            // subjects that changed here
	subjects [subjects]uint64 // index of their last change
}

// follower is a replica: how far in the history it is, and as of when that was the newest.
type follower struct {
	applied int
	asOf    time.Time
}

const subjects = 6

func subjectName(i int) string { return fmt.Sprint("subject-", i) }

// bucketOf has two subjects in each bucket.
func bucketOf(subject int) uint32 { return uint32(subject/2) * 7 }

func newWorld(t *testing.T, seed uint64, harm float64) *world {
	t.Helper()
	w := &world{t: t, harm: harm, random: rand.New(rand.NewPCG(seed, 0)), records: map[uint64]consent.Record{}, epochs: []uint64{1}}
	w.history = []moment{{at: consent.Revision{Epoch: 1, Index: 5}, ackedAt: time.Now(), version: 1}}
	for range 3 {
		w.replicas = append(w.replicas, &follower{asOf: time.Now()})
	}
	return w
}

// luck returns true with a probability.
func (w *world) luck(p float64) bool { return w.random.Float64() < p }

// step lets something happen: a write, a policy, a restore, or a replica that hears of the newest.
func (w *world) step() {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := w.history[len(w.history)-1]
	next.at.Index += 1 + w.random.Uint64N(3)
	next.ackedAt, next.touched = time.Now(), nil
	switch r := w.random.Float64(); {
	case r < 0.005:
		next.at.Epoch = 1 + next.at.Epoch
		next.subjects = w.history[w.random.IntN(len(w.history))].subjects
	case r < 0.1:
		next.version++
	case r < 0.6:
		for range 1 + w.random.IntN(2) {
			subject := w.random.IntN(subjects)
			next.subjects[subject] = next.at.Index
			next.touched = append(next.touched, subject)
		}
		w.records[next.at.Index] = testRecord(w.t, 1, next.at.Index)
	default:
		f := w.replicas[w.random.IntN(len(w.replicas))]
		f.applied, f.asOf = len(w.history)-1, time.Now()
		return
	}
	w.history = append(w.history, next)
	f := w.replicas[w.random.IntN(len(w.replicas))]
	f.applied = max(f.applied, w.random.IntN(len(w.history)))
}

// find returns where in the history a revision is reached, if its epoch goes on to there.
func (w *world) find(at consent.Revision) (where int, found bool) {
	where, found = slices.BinarySearchFunc(w.history, at.Index, func(m moment, index uint64) int {
		return int(int64(m.at.Index) - int64(index))
	})
	return where, found && w.history[where].at == at
}

// Watch says what a replica may say, through a harmful way.
func (w *world) watch(s *script) {
	w.mu.Lock()
	f := w.replicas[w.random.IntN(len(w.replicas))]
	way := &way{world: w, out: s}
	at := consent.Revision{Epoch: s.start.GetEpoch(), Index: s.start.GetPosition()}
	if at == (consent.Revision{}) || w.luck(0.1) {
		at = w.reset(way, f)
	}
	at = w.advance(way, f, at)
	way.send(caughtUpMessage())
	w.mu.Unlock()
	for {
		var ping *consentv1.WatchPing
		select {
		case ping = <-s.pings:
		case <-time.After(w.between(10 * time.Millisecond)):
		case <-s.gone:
			return
		}
		w.mu.Lock()
		asOf := f.asOf
		at = w.advance(way, f, at)
		if ping != nil {
			age := time.Since(asOf)
			if w.luck(0.1) {
				age = -1
			}
			way.send(pongMessage(ping, at.Index, age))
		}
		w.mu.Unlock()
		time.Sleep(way.delay)
		way.delay = 0
	}
}

func (w *world) between(most time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(w.random.Int64N(int64(most))) + 1
}

func (w *world) reset(way *way, f *follower) consent.Revision {
	m := w.history[f.applied]
	shop := watchedTenant("shop", 1, m.version)
	if w.luck(0.5) {
		way.send(more(resetMessage(m.at.Epoch, m.at.Index, shop)), resetMessage(m.at.Epoch, m.at.Index))
	} else {
		way.send(resetMessage(m.at.Epoch, m.at.Index, shop))
	}
	return m.at
}

// advance sends what changed up to where the replica is, in batches of whole entries.
func (w *world) advance(way *way, f *follower, at consent.Revision) consent.Revision {
	here := w.history[f.applied]
	if at.Epoch != here.at.Epoch {
		return w.reset(way, f)
	}
	where, _ := w.find(at)
	for where < f.applied {
		where++
		m := w.history[where]
		var buckets []uint32
		for _, subject := range m.touched {
			buckets = append(buckets, bucketOf(subject))
		}
		for where < f.applied && w.luck(0.5) && w.history[where+1].version == m.version {
			where++
			m = w.history[where]
			for _, subject := range m.touched {
				buckets = append(buckets, bucketOf(subject))
			}
		}
		slices.Sort(buckets)
		change := changeMessage(m.at.Index, slices.Compact(buckets))
		if before, _ := w.find(at); w.history[before].version != m.version {
			change.GetChanges().Tenants = []*consentv1.WatchTenant{watchedTenant("shop", 1, m.version)}
		}
		way.send(change)
		at = m.at
	}
	return at
}

// fill answers as a replica may: exactly, of where it is.
func (w *world) fill(ctx context.Context, q *consentv1.FillRequest) (*consentv1.FillResponse, error) {
	w.mu.Lock()
	f := w.replicas[w.random.IntN(len(w.replicas))]
	w.mu.Unlock()
	var subject int
	if _, err := fmt.Sscanf(q.GetSubject(), "subject-%d", &subject); err != nil {
		return nil, err
	}
	for {
		if wait(ctx, w.between(5*time.Millisecond)) != nil {
			return nil, ctx.Err()
		}
		w.mu.Lock()
		m, unlucky := w.history[f.applied], w.luck(w.harm)
		w.mu.Unlock()
		switch {
		case unlucky:
			return nil, statusFor(codes.Unavailable, "NOT_READY")
		case m.at.Epoch != q.GetEpoch():
			return nil, statusFor(codes.FailedPrecondition, "EPOCH_CHANGED")
		case m.at.Index >= q.GetPosition():
			if wait(ctx, w.between(5*time.Millisecond)) != nil { // on its way
				return nil, ctx.Err()
			}
			return &consentv1.FillResponse{
				Epoch: m.at.Epoch, Position: m.at.Index, Bucket: bucketOf(subject), Format: consent.RecordFormat,
				Record: w.record(m.subjects[subject]),
			}, nil
		}
	}
}

func (w *world) record(index uint64) consent.Record {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.records[index]
}

// way carries the messages of a stream to the reader, or not.
type way struct {
	world *world
	out   *script
	held  *consentv1.WatchResponse // to be overtaken by the next
	delay time.Duration
	count uint64
}

func (y *way) send(messages ...*consentv1.WatchResponse) {
	w := y.world
	for _, m := range messages {
		y.count++
		m.Sequence = y.count
		held := y.held
		y.held = nil
		switch {
		case !w.luck(w.harm):
			y.out.out <- m
		case w.luck(0.2): // lost
		case w.luck(0.25):
			y.out.out <- m
			y.out.out <- m
		case w.luck(0.33) && held == nil:
			y.held = m
		case w.luck(0.5):
			select {
			case y.out.over <- nil:
			default:
			}
		default:
			y.out.out <- m
			y.delay = time.Duration(w.random.Int64N(int64(testBound)))
		}
		if held != nil {
			y.out.out <- held
		}
	}
}

// judge asks the near cache, and judges what it says by the history.
func (w *world) judge(near *NearCache, counts *judged) {
	v, err := near.View(w.t.Context(), consent.Consistency{})
	if err != nil {
		counts.refused++
		return
	}
	w.judgeView(v)
	shop, subject := v.Tenants["shop"], rand.IntN(subjects)
	exact, record, err := near.Look(w.t.Context(), shop, subjectName(subject))
	if err != nil {
		if !errors.Is(err, consent.ErrNotReady) && !errors.Is(err, consent.ErrStale) {
			w.t.Errorf("a record: %v", err)
		}
		counts.refused++
		return
	}
	if _, fresh := v.Age(time.Now()); !fresh {
		counts.stale++
		return
	}
	counts.answered++
	w.judgeView(exact)
	w.judgeRecord(v, exact, subject, record)
	if _, record, here := near.Held(shop, subjectName(subject)); here {
		counts.held++
		w.judgeRecord(v, consent.View{}, subject, record)
	}
}

// judged is how many answers there were of each kind.
type judged struct{ answered, held, refused, stale int }

func (j *judged) add(one judged) {
	j.answered, j.held = j.answered+one.answered, j.held+one.held
	j.refused, j.stale = j.refused+one.refused, j.stale+one.stale
}

// judgeView fails unless the view is a state that there was, with all that was acknowledged before the time that it is said to be fresh as
// of.
func (w *world) judgeView(v consent.View) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	where, found := w.find(v.Revision)
	if !found {
		w.t.Fatalf("there was no revision %+v", v.Revision)
	}
	if where < w.seen {
		w.t.Errorf("at %+v, after %+v was seen", v.Revision, w.history[w.seen].at)
	}
	w.seen = where
	if got, want := v.Tenants["shop"].Policy.Version, w.history[where].version; got != want {
		w.t.Errorf("at %+v, the policy has version %d, want %d", v.Revision, got, want)
	}
	if len(w.history) > where+1 && w.history[where+1].ackedAt.Before(v.FreshAsOf) {
		w.t.Errorf("%+v is said to be fresh as of %v, and %+v was acknowledged at %v", v.Revision, v.FreshAsOf, w.history[where+1].at,
			w.history[where+1].ackedAt)
	}
}

// judgeRecord fails unless the record is the one at the revision that it is said to be exactly of; without one, at some since the view.
func (w *world) judgeRecord(v, exact consent.View, subject int, record consent.Record) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	where, _ := w.find(v.Revision)
	possible := w.history[where:]
	if exact.Head != nil {
		at, _ := w.find(exact.Revision)
		possible = w.history[max(at, where) : at+1]
	}
	for _, m := range possible {
		if m.at.Epoch == v.Revision.Epoch && m.subjects[subject] == record.Index() {
			return
		}
	}
	w.t.Errorf("%s is said to have changed at %d; seen from %+v, it may be %+v", subjectName(subject), record.Index(), v.Revision,
		possible)
}

// TestNearCacheIsExact has random histories reach a near cache by ways that harm what goes by them: it may not answer, and what it
// answers is true.
func TestNearCacheIsExact(t *testing.T) {
	var sum judged
	for seed := range uint64(5) {
		for _, harm := range []float64{0, 0.02, 0.1} {
			t.Run(fmt.Sprintf("seed %d, harm %v", seed, harm), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					one := runHistory(t, newWorld(t, seed, harm))
					if harm == 0 && one.answered == 0 {
						t.Error("nothing was answered")
					}
					sum.add(one)
				})
			})
		}
	}
	t.Logf("%+v", sum)
}

func runHistory(t *testing.T, w *world) (counts judged) {
	t.Helper()
	replica, conn := newFakeReplica(t)
	replica.fill = w.fill
	near, err := NewNearCache(NearOptions{Conn: conn, MaxBytes: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer near.Close()
	defer cancel()
	running.Go(func() {
		for {
			select {
			case s := <-replica.opened:
				running.Go(func() { w.watch(s) })
			case <-ctx.Done():
				return
			}
		}
	})
	running.Go(func() {
		for wait(ctx, w.between(20*time.Millisecond)) == nil {
			w.step()
		}
	})
	for range 300 {
		_ = wait(ctx, w.between(20*time.Millisecond))
		w.judge(near, &counts)
	}
	return counts
}
