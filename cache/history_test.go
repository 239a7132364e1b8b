package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/consentd/consentd/consent"
)

// history is a random one of several epochs. What a record is at a position follows from the two alone, so any answer can be judged.
type history struct {
	mu      sync.Mutex
	epoch   uint64
	tip     uint64              // what the replicas have come to, at most
	changed map[string][]uint64 // by subject: positions, ascending
}

const (
	historySubjects = 400
	historyBuckets  = 16
)

func historySubject(i int) string { return fmt.Sprint("subject-", i) }

// record is long, so that few fit.
func (h *history) record(subject string, position uint64) consent.Record {
	last := uint64(0)
	for _, p := range h.changed[subject] {
		if p <= position {
			last = p
		}
	}
	r := make(consent.Record, 9000)
	r[0], r[1] = h.epoch, last
	return r
}

func bucketOf(subject string) uint32 {
	var i uint32
	_, _ = fmt.Sscanf(subject, "subject-%d", &i)
	return i % historyBuckets
}

func (h *history) fill(_ context.Context, w Want) (Filled, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	position := w.AtLeast.Index
	if h.epoch != w.AtLeast.Epoch {
		return Filled{Revision: consent.Revision{Epoch: h.epoch, Index: h.tip}}, nil
	}
	if h.tip > position { // anything between behind and ahead
		position += rand.Uint64N(h.tip - position + 1)
	}
	return Filled{consent.Revision{Epoch: h.epoch, Index: position}, bucketOf(w.Subject), h.record(w.Subject, position)}, nil
}

// Whatever happens, and however little fits: each answer is exactly what the history was at the position that it names.
func TestAnswersAreExactInRandomHistories(t *testing.T) {
	t.Run("as it is", func(t *testing.T) { judgeHistory(t, false) })
	t.Run("all through the front", func(t *testing.T) { judgeHistory(t, true) })
}

func judgeHistory(t *testing.T, eager bool) {
	t.Helper()
	h := &history{epoch: 1, tip: 1, changed: map[string][]uint64{}}
	c := open(t, Options{Fill: h.fill})
	c.front.eager = eager
	tenant := func(version uint64) *consent.Tenant {
		return &consent.Tenant{Name: "shop", Number: 1, Epoch: h.epoch, Policy: &consent.Policy{Version: int64(version)}}
	}
	c.Reset(consent.Revision{Epoch: 1, Index: 1}, tenants(tenant(1)))
	c.Prove(time.Now(), time.Hour)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					lookAndJudge(t, c, h)
				}
			}
		})
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	draw := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		h.publish(c, draw, tenant)
	}
	close(done)
	c.Advance(h.tip, nil, nil)
	readers.Wait()
	s := c.Stats()
	t.Logf("%+v", s)
	if s.Hits == 0 || s.Fills == 0 || s.Evictions == 0 {
		t.Errorf("%+v: want hits, fills and evictions", s)
	}
}

// publish makes a few positions, and tells of them as a stream does, or fails to.
func (h *history) publish(c *Cache, draw *rand.Rand, tenant func(uint64) *consent.Tenant) {
	var buckets []uint32
	h.mu.Lock()
	for range 1 + draw.IntN(5) {
		h.tip++
		subject := historySubject(draw.IntN(historySubjects))
		h.changed[subject] = append(h.changed[subject], h.tip)
		buckets = append(buckets, bucketOf(subject))
	}
	restored := draw.IntN(200) == 0
	if restored {
		h.epoch++
		h.changed = map[string][]uint64{}
	}
	tip, epoch := h.tip, h.epoch
	h.mu.Unlock()
	switch {
	case restored, draw.IntN(50) == 0:
		c.Reset(consent.Revision{Epoch: epoch, Index: tip}, tenants(tenant(tip)))
		c.Prove(time.Now(), time.Hour)
	case draw.IntN(20) == 0:
		c.Advance(tip, buckets, []*consent.Tenant{tenant(tip)})
	default:
		c.Advance(tip, buckets, nil)
	}
	for s := c.Stats(); ; runtime.Gosched() { // until readers have been there
		if now := c.Stats(); now.Hits+now.Misses >= s.Hits+s.Misses+40 {
			return
		}
	}
}

func lookAndJudge(t *testing.T, c *Cache, h *history) {
	t.Helper()
	v := c.View()
	if v.Head == nil {
		return
	}
	subject := historySubject(int(rand.ExpFloat64()*100) % historySubjects)
	v, got, err := c.Look(t.Context(), v.Tenants["shop"], subject)
	if err != nil {
		if !errors.Is(err, consent.ErrNotReady) {
			t.Errorf("%s: %v", subject, err)
		}
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if v.Revision.Epoch != h.epoch {
		return // its history is gone; that it was right is for those before
	}
	if want := h.record(subject, v.Revision.Index); got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%s at %d: %v, want %v", subject, v.Revision.Index, got[:2], want[:2])
	}
}
