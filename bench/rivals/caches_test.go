package rivals

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/Yiling-J/theine-go"
	"github.com/dchest/siphash"
	"github.com/dgraph-io/ristretto/v2"
	"github.com/maypok86/otter/v2"

	"github.com/consentd/consentd/cache"
	"github.com/consentd/consentd/consent"
)

// cached is somebody else's cache of records, with a limit to how many there are. Any number of goroutines may use it.
type cached interface {
	get(key [2]uint64) (consent.Record, bool)
	put(key [2]uint64, r consent.Record)
	forget(key [2]uint64)
	entries() int
}

// caches are those that our cache is compared with.
var caches = []struct {
	name string
	make func(tb testing.TB, size int) cached
}{
	{"otter", newOtter},
	{"theine", newTheine},
	{"ristretto", newRistretto},
	{"map", newShardedMap},
}

type otterCache struct {
	*otter.Cache[[2]uint64, consent.Record]
}

func newOtter(tb testing.TB, size int) cached {
	tb.Helper()
	c, err := otter.New(&otter.Options[[2]uint64, consent.Record]{MaximumSize: size})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.StopAllGoroutines() })
	return otterCache{c}
}

func (o otterCache) get(key [2]uint64) (consent.Record, bool) { return o.GetIfPresent(key) }
func (o otterCache) put(key [2]uint64, r consent.Record)      { o.Set(key, r) }
func (o otterCache) forget(key [2]uint64)                     { o.Invalidate(key) }
func (o otterCache) entries() int                             { return o.EstimatedSize() }

type theineCache struct {
	*theine.Cache[[2]uint64, consent.Record]
}

func newTheine(tb testing.TB, size int) cached {
	tb.Helper()
	c, err := theine.NewBuilder[[2]uint64, consent.Record](int64(size)).Build()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return theineCache{c}
}

func (c theineCache) get(key [2]uint64) (consent.Record, bool) { return c.Get(key) }
func (c theineCache) put(key [2]uint64, r consent.Record)      { c.Set(key, r, 1) }
func (c theineCache) forget(key [2]uint64)                     { c.Delete(key) }
func (c theineCache) entries() int                             { return c.EstimatedSize() }

// ristrettoCache finds records by half of the key, because it knows no keys of two numbers.
type ristrettoCache struct {
	*ristretto.Cache[uint64, consent.Record]
}

func newRistretto(tb testing.TB, size int) cached {
	tb.Helper()
	c, err := ristretto.NewCache(&ristretto.Config[uint64, consent.Record]{
		NumCounters: int64(10 * size), MaxCost: int64(size), BufferItems: 64, IgnoreInternalCost: true,
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return ristrettoCache{c}
}

func (c ristrettoCache) get(key [2]uint64) (consent.Record, bool) { return c.Get(key[0]) }
func (c ristrettoCache) put(key [2]uint64, r consent.Record)      { c.Set(key[0], r, 1) }
func (c ristrettoCache) forget(key [2]uint64)                     { c.Del(key[0]) }

func (c ristrettoCache) entries() int {
	c.Wait()
	return int(c.MaxCost() - c.RemainingCost())
}

// shardedMap is the least that is a cache: maps behind locks, out of which any entry goes when there is no room.
type shardedMap struct {
	shards [256]struct {
		sync.RWMutex
		of map[[2]uint64]consent.Record
		_  [32]byte // so that two shards' locks don't share a line of the processor's cache
	}
	room int // of a shard
}

func newShardedMap(_ testing.TB, size int) cached {
	m := new(shardedMap)
	m.room = max(1, size/len(m.shards))
	for i := range m.shards {
		m.shards[i].of = map[[2]uint64]consent.Record{}
	}
	return m
}

func (m *shardedMap) get(key [2]uint64) (consent.Record, bool) {
	s := &m.shards[key[1]%uint64(len(m.shards))]
	s.RLock()
	defer s.RUnlock()
	r, held := s.of[key]
	return r, held
}

func (m *shardedMap) put(key [2]uint64, r consent.Record) {
	s := &m.shards[key[1]%uint64(len(m.shards))]
	s.Lock()
	defer s.Unlock()
	if _, held := s.of[key]; !held && len(s.of) >= m.room {
		for victim := range s.of {
			delete(s.of, victim)
			break
		}
	}
	s.of[key] = r
}

func (m *shardedMap) forget(key [2]uint64) {
	s := &m.shards[key[1]%uint64(len(m.shards))]
	s.Lock()
	defer s.Unlock()
	delete(s.of, key)
}

func (m *shardedMap) entries() int {
	held := 0
	for i := range m.shards {
		s := &m.shards[i]
		s.RLock()
		held += len(s.of)
		s.RUnlock()
	}
	return held
}

// keyOf is a keyed hash of tenant and subject, as any cache needs that holds no identifier.
func keyOf(id string) [2]uint64 {
	var space [64]byte
	first, second := siphash.Hash128(1, 2, append(binary.LittleEndian.AppendUint32(space[:0], 1), id...))
	return [2]uint64{first, second}
}

var errMissing = errors.New("a record that was put is missing")

// BenchmarkCacheHit measures how many hits a second goroutines get from a cache that holds all records: each hashes the subject's id, finds the
// record, and looks at it. It is beside our cache, which also proves to each that its record isn't older than the bound.
func BenchmarkCacheHit(b *testing.B) {
	for _, goroutines := range []int{1, 64} {
		for _, c := range caches {
			b.Run(fmt.Sprintf("%s/goroutines=%d", c.name, goroutines), func(b *testing.B) {
				pairs(b, goroutines, hitsOf(b, c.make(b, 4*population)), ourHits(b))
			})
		}
	}
}

const hitsAtOnce = 256 // between two looks at the clock

// hitsOf fills a cache; the subjects of even numbers have records that say so.
func hitsOf(tb testing.TB, c cached) side {
	tb.Helper()
	await(tb, "all records to be held", func() bool {
		all := true
		for n, id := range ids {
			if _, held := c.get(keyOf(id)); !held {
				all = false
				c.put(keyOf(id), answerRecord(n))
			}
		}
		return all
	})
	return side{hitsAtOnce, func(_ int, subjects []int, allowed []bool) error {
		for i, n := range subjects {
			r, held := c.get(keyOf(ids[n]))
			if !held {
				return errMissing
			}
			allowed[i] = r[0] == 0
		}
		return nil
	}}
}

// answerRecord is as long as recordOf's, and its first word is whether the subject's number is odd.
func answerRecord(n int) consent.Record { return consent.Record{uint64(n % 2), 2, 3, 4, 5, 6} }

// ourHits are those of our cache.
func ourHits(tb testing.TB) side {
	tb.Helper()
	numbers := make(map[string]int, len(ids))
	for n, id := range ids {
		numbers[id] = n
	}
	revision := consent.Revision{Epoch: 1, Index: 1}
	c, err := cache.New(cache.Options{MaxBytes: 64 << 20, Fill: func(_ context.Context, w cache.Want) (cache.Filled, error) {
		n := numbers[w.Subject]
		return cache.Filled{Revision: revision, Bucket: bucketOf(uint64(n)), Record: answerRecord(n)}, nil
	}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	t := &consent.Tenant{Name: tenant, Number: 1, Epoch: revision.Epoch}
	c.Reset(revision, map[string]*consent.Tenant{tenant: t})
	c.Prove(time.Now(), time.Hour)
	ctx := context.Background()
	await(tb, "all records to be held", func() bool {
		all := true
		for _, id := range ids {
			if _, _, held := c.Held(t, id); !held {
				all = false
				if _, err := c.Record(ctx, t, id); err != nil {
					tb.Fatal(err)
				}
			}
		}
		return all
	})
	return side{hitsAtOnce, func(_ int, subjects []int, allowed []bool) error {
		for i, n := range subjects {
			view := c.View()
			r, err := c.Record(ctx, view.Tenants[tenant], ids[n])
			if _, fresh := view.Age(time.Now()); err != nil || !fresh || len(r) == 0 {
				return errors.Join(errMissing, err)
			}
			allowed[i] = r[0] == 0
		}
		return nil
	}}
}

// TestCaches: all hold what they were given, forget what they are told to, and keep to their limit.
func TestCaches(t *testing.T) {
	for _, c := range caches {
		t.Run(c.name, func(t *testing.T) {
			allowed, about := make([]bool, hitsAtOnce), order[:hitsAtOnce]
			err := hitsOf(t, c.make(t, 4*population)).ask(0, about, allowed)
			if err == nil {
				err = verify(about, allowed)
			}
			if err != nil {
				t.Error(err)
			}
			small := c.make(t, 1024)
			for n := range 10_000 {
				small.put(keyOf(ids[n]), answerRecord(n))
			}
			await(t, "the cache to keep to its limit", func() bool { return small.entries() <= 1024+1024/10 })
			for _, id := range ids {
				small.forget(keyOf(id))
			}
			await(t, "the cache to be empty", func() bool { return small.entries() == 0 })
		})
	}
	allowed := make([]bool, hitsAtOnce)
	if err := ourHits(t).ask(0, order[:hitsAtOnce], allowed); err != nil || verify(order[:hitsAtOnce], allowed) != nil {
		t.Errorf("ours: %v, %v", err, verify(order[:hitsAtOnce], allowed))
	}
}
