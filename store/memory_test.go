package store

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/consentd/consentd/consent"
)

// newTestMemory returns a memory that is closed when the test ends.
func newTestMemory(tb testing.TB) *memory {
	tb.Helper()
	m := newMemory()
	tb.Cleanup(m.close)
	return m
}

// versioned returns a record that says all about itself: its length and every
// word follow from the key and the version, which is the first word.
func versioned(key Key, version uint64) []uint64 {
	words := make([]uint64, 1+mix(key[0]^version)%60)
	words[0] = version
	for i := 1; i < len(words); i++ {
		words[i] = mix(key[0] ^ key[1] ^ version + uint64(i))
	}
	return words
}

// intact reports whether words are key's record of some version.
func intact(key Key, words []uint64) bool {
	return len(words) > 0 && slices.Equal(words, versioned(key, words[0]))
}

func checkGet(tb testing.TB, m *memory, key Key, want []uint64) {
	tb.Helper()
	var buf Buffer
	if diff := cmp.Diff(want, m.get(key, &buf)); diff != "" {
		tb.Fatalf("get(%x) differs (-want +got):\n%s", key, diff)
	}
}

func TestMemoryKeepsRecords(t *testing.T) {
	for _, length := range []int{1, 2, 10, 47, 48, 49, 200, maxRecordWords} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			m := newTestMemory(t)
			key, words := nthKey(1), make([]uint64, length)
			for i := range words {
				words[i] = mix(uint64(i))
			}
			checkGet(t, m, key, nil)
			m.put(key, words)
			checkGet(t, m, key, words)
			checkGet(t, m, nthKey(2), nil)
			m.put(key, words[:1])
			checkGet(t, m, key, words[:1])
			if m.len() != 1 {
				t.Errorf("len = %d after two puts of one subject, want 1", m.len())
			}
		})
	}
}

func TestMemoryReturnsPrivateCopies(t *testing.T) {
	m := newTestMemory(t)
	words := []uint64{1, 2, 3}
	m.put(nthKey(1), words)
	words[0] = 9
	var buf, other Buffer
	got := m.get(nthKey(1), &buf)
	m.put(nthKey(1), []uint64{7, 7, 7})
	m.get(nthKey(1), &other)
	if diff := cmp.Diff([]uint64{1, 2, 3}, got); diff != "" {
		t.Errorf("a record read earlier changed (-want +got):\n%s", diff)
	}
}

func TestMemoryRefusesLengthsItCannotHold(t *testing.T) {
	for _, length := range []int{0, maxRecordWords + 1} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("put didn't panic")
				}
			}()
			newTestMemory(t).put(nthKey(1), make([]uint64, length))
		})
	}
}

// TestMemoryTellsAlikeKeysApart puts keys that agree in shard, home and tag,
// and differ in bits that only the block holds.
func TestMemoryTellsAlikeKeysApart(t *testing.T) {
	m := newTestMemory(t)
	const n = 100
	alike := func(i uint64) Key { return Key{0xabc << 52, i << tagBits} }
	for i := range uint64(n) {
		m.put(alike(i), []uint64{i + 1})
	}
	for i := range uint64(n) {
		checkGet(t, m, alike(i), []uint64{i + 1})
	}
	checkGet(t, m, alike(n), nil)
	checkGet(t, m, Key{0xabc<<52 | 1, 0}, nil)
}

func TestMemoryGrows(t *testing.T) {
	m := newTestMemory(t)
	// All keys of one shard: its table grows as that of a large memory does,
	// past what a block could hold.
	const n = 20_000
	inShard := func(i uint64) Key { return Key{5<<52 | mix(i)>>shardBits, mix(^i)} }
	tables := map[uint64]bool{}
	for i := range uint64(n) {
		m.put(inShard(i), versioned(inShard(i), i))
		tables[m.shards[5].table.Load()] = true
	}
	if len(tables) < 30 {
		t.Errorf("the shard had %d tables in turn, want at least 30", len(tables))
	}
	if m.len() != n {
		t.Errorf("len = %d, want %d", m.len(), n)
	}
	for i := range uint64(n) {
		checkGet(t, m, inShard(i), versioned(inShard(i), i))
		checkGet(t, m, inShard(n+i), nil)
	}
}

// TestGrowthIsAPublication: a reader may have been anywhere in the old table,
// which is free for records now.
func TestGrowthIsAPublication(t *testing.T) {
	m := newTestMemory(t)
	m.put(nthKey(1), []uint64{1})
	number := shardOf(nthKey(1))
	s := &m.shards[number]
	before := s.version.Load()
	m.grow(s, tableRef(s.table.Load()), number)
	if s.version.Load() == before {
		t.Error("the table was replaced and released under an unchanged version")
	}
	checkGet(t, m, nthKey(1), []uint64{1})
}

func TestShardsFollowKeyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawKey(t), drawKey(t)
		if inOrder(a, b) && shardOf(a) > shardOf(b) {
			t.Fatalf("%x comes before %x, its shard %d after %d", a, b, shardOf(a), shardOf(b))
		}
	})
}

// drawKey draws keys that often share shards, homes or tags.
func drawKey(t *rapid.T) Key {
	return Key{
		rapid.SampledFrom([]uint64{0, 1, 1 << 20, 7 << 52, 7<<52 | 1<<51, 1<<64 - 1, 1<<64 - 1<<52}).Draw(t, "high"),
		rapid.SampledFrom([]uint64{0, 1, 2, 1 << 16, 1<<16 | 1, 1 << 40}).Draw(t, "low"),
	}
}

func TestMemoryAgreesWithMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMemory()
		defer m.close()
		model := map[Key][]uint64{}
		var buf Buffer
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				key := drawKey(t)
				words := rapid.SliceOfN(rapid.Uint64(), 1, 70).Draw(t, "words")
				m.put(key, words)
				model[key] = slices.Clone(words)
			},
			"get": func(t *rapid.T) {
				key := drawKey(t)
				if diff := cmp.Diff(model[key], m.get(key, &buf)); diff != "" {
					t.Fatalf("get(%x) (-want +got):\n%s", key, diff)
				}
			},
			"": func(t *rapid.T) {
				if m.len() != len(model) {
					t.Fatalf("len = %d, want %d", m.len(), len(model))
				}
				if diff := cmp.Diff(model, contents(m)); diff != "" {
					t.Fatalf("each (-want +got):\n%s", diff)
				}
			},
		})
	})
}

// contents collects each; a subject seen twice gets a record that no test
// expects.
func contents(m *memory) map[Key][]uint64 {
	all := map[Key][]uint64{}
	m.each(func(key Key, words []uint64) bool {
		all[key] = append(all[key], words...)
		return true
	})
	return all
}

func TestEachStopsWhenTold(t *testing.T) {
	m := newTestMemory(t)
	for i := range uint64(100) {
		m.put(nthKey(i), []uint64{i})
	}
	calls := 0
	m.each(func(Key, []uint64) bool { calls++; return calls < 3 })
	if calls != 3 {
		t.Errorf("each called %d times, want 3", calls)
	}
}

// TestReadersSeeWholeRecords replaces few records as fast as it can, by ones
// of other lengths, so that blocks are recycled under the readers' hands, and
// adds subjects to the same shards, so that tables are.
func TestReadersSeeWholeRecords(t *testing.T) {
	m := newTestMemory(t)
	const subjects, puts = 8, 60_000
	hot := func(i uint64) Key { return Key{i%2<<52 | mix(i)>>shardBits, mix(^i)} }
	for i := range uint64(subjects) {
		m.put(hot(i), versioned(hot(i), 0))
	}
	var written atomic.Bool
	var readers sync.WaitGroup
	for reader := range uint64(3) {
		readers.Go(func() {
			for i := reader; !written.Load() && !t.Failed(); i++ {
				checkWholeRecord(t, m, hot(i%subjects))
			}
		})
	}
	readers.Go(func() {
		for !written.Load() && !t.Failed() {
			checkEachWhole(t, m, subjects)
		}
	})
	for version := range uint64(puts) {
		key := hot(mix(version) % subjects)
		if version%50 == 0 {
			key = hot(subjects + version)
		}
		m.put(key, versioned(key, version))
	}
	written.Store(true)
	readers.Wait()
}

func checkWholeRecord(t *testing.T, m *memory, key Key) {
	t.Helper()
	var buf Buffer
	if words := m.get(key, &buf); !intact(key, words) {
		t.Errorf("get(%x) returned a record that was never put: %x", key, words)
	}
}

func checkEachWhole(t *testing.T, m *memory, atLeast int) {
	t.Helper()
	seen := map[Key]bool{}
	m.each(func(key Key, words []uint64) bool {
		if seen[key] || !intact(key, words) {
			t.Errorf("each(%x) came twice or with a record that was never put: %x", key, words)
		}
		seen[key] = true
		return !t.Failed()
	})
	if len(seen) < atLeast && !t.Failed() {
		t.Errorf("each showed %d subjects, of at least %d", len(seen), atLeast)
	}
}

// TestReaderNeverMissesAcknowledgedPut reads each subject's record from
// another goroutine than put it: it must be that version or a later one.
func TestReaderNeverMissesAcknowledgedPut(t *testing.T) {
	m := newTestMemory(t)
	const subjects, puts = 500, 40_000
	key := func(version uint64) Key { return Key{3<<52 | mix(version%subjects)>>shardBits, version % subjects} }
	var acknowledged atomic.Uint64
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			var buf Buffer
			for version := uint64(0); version < puts && !t.Failed(); {
				if version = acknowledged.Load(); version == 0 {
					continue
				}
				words := m.get(key(version), &buf)
				if !intact(key(version), words) || words[0] < version {
					t.Errorf("version %d is acknowledged, got %x", version, words)
				}
			}
		})
	}
	for version := uint64(1); version <= puts; version++ {
		m.put(key(version), versioned(key(version), version))
		acknowledged.Store(version)
	}
	readers.Wait()
}

func TestParallelLoad(t *testing.T) {
	for _, load := range []struct {
		name   string
		worker func(key Key, workers int) int
	}{
		{"each worker its shards", func(key Key, workers int) int { return shardOf(key) * workers / shardCount }},
		{"all workers all shards", func(key Key, workers int) int { return int(key[1] % uint64(workers)) }},
	} {
		t.Run(load.name, func(t *testing.T) {
			m := newTestMemory(t)
			const subjects, workers = 10_000, 4
			var group sync.WaitGroup
			for worker := range workers {
				group.Go(func() {
					for i := range uint64(subjects) {
						if key := nthKey(i); load.worker(key, workers) == worker {
							m.put(key, versioned(key, i))
						}
					}
				})
			}
			group.Wait()
			if m.len() != subjects {
				t.Errorf("len = %d, want %d", m.len(), subjects)
			}
			for i := range uint64(subjects) {
				checkGet(t, m, nthKey(i), versioned(nthKey(i), i))
			}
		})
	}
}

// TestHostileSlots gives the reader what it may find in a recycled table or
// shard: anything. It must neither panic nor leave the chunks.
func TestHostileSlots(t *testing.T) {
	m := newTestMemory(t)
	random := rand.New(rand.NewPCG(3, 4))
	for i := range uint64(1000) {
		m.put(nthKey(i), versioned(nthKey(i), i))
	}
	hostile := []uint64{0, 1, 1<<64 - 1, 1 << 34, 1<<34 - 1, 1<<48 - 1, chunkWords - 1, chunkWords, 1<<34 | (chunkWords - 1)}
	for range 10_000 {
		hostile = append(hostile, random.Uint64(), random.Uint64()>>uint(random.IntN(64)))
	}
	var buf Buffer
	for i, word := range hostile {
		key := nthKey(uint64(i))
		own := uint64(makeSlot(key, 0, 0)) | word<<tagBits>>tagBits
		m.find([]uint64{word, own, word, own}, key)
		var s shard
		s.table.Store(word)
		m.lookup(&s, key, &buf)
		m.blockEnds(slot(word))
		m.finish(key, 0, slot(word), &buf)
		m.shards[shardOf(key)].table.Store(word)
		m.getSeveral([]Key{key}, new(consent.Block))
	}
}

// TestReadersNeedNoMutex reads while a writer holds the shard, as one that was
// preempted in the middle of a put does.
func TestReadersNeedNoMutex(t *testing.T) {
	m := newTestMemory(t)
	key := nthKey(1)
	m.put(key, []uint64{1})
	s := &m.shards[shardOf(key)]
	s.mu.Lock()
	defer s.mu.Unlock()
	checkGet(t, m, key, []uint64{1})
	if diff := cmp.Diff(map[Key][]uint64{key: {1}}, contents(m)); diff != "" {
		t.Errorf("each differs (-want +got):\n%s", diff)
	}
}

// TestOvertakenReadersComeThrough moves a shard's version on without end, as
// puts without end would: readers must fall back to the mutex and finish.
func TestOvertakenReadersComeThrough(t *testing.T) {
	m := newTestMemory(t)
	words := make([]uint64, maxRecordWords)
	m.put(nthKey(1), words)
	s := &m.shards[shardOf(nthKey(1))]
	var read atomic.Bool
	var writer sync.WaitGroup
	writer.Go(func() {
		for !read.Load() {
			s.version.Add(1)
		}
	})
	for range 20 {
		checkGet(t, m, nthKey(1), words)
		if n := len(contents(m)); n != 1 {
			t.Errorf("each showed %d subjects, want 1", n)
		}
	}
	read.Store(true)
	writer.Wait()
}

func TestGetAllocatesNothing(t *testing.T) {
	m := newTestMemory(t)
	var buf Buffer
	for _, length := range []int{1, benchRecordWords, len(buf)} {
		m.put(nthKey(1), make([]uint64, length))
		for name, key := range map[string]Key{"hit": nthKey(1), "miss": nthKey(2)} {
			if n := testing.AllocsPerRun(1000, func() { m.get(key, &buf) }); n != 0 {
				t.Errorf("get of %d words (%s) allocates %v times, want 0", length, name, n)
			}
		}
	}
}

// TestFootprint holds the design's figure, beyond what an empty memory and
// the rounding to chunks take. The sizes span a whole growth of the tables,
// so that no moment is much worse than another.
func TestFootprint(t *testing.T) {
	m := newTestMemory(t)
	fixed := m.bytes() + chunkWords*8
	words := make([]uint64, benchRecordWords)
	for i := 1; i <= 300_000; i++ {
		m.put(nthKey(uint64(i)), words)
		if i < 200_000 || i%10_000 != 0 {
			continue
		}
		if each := (m.bytes() - fixed) / i; each > 96+14 {
			t.Errorf("%d bytes a subject at %d subjects, want at most %d", each, i, 96+14)
		}
	}
}

// inOrder reports whether a comes before b in big-endian byte order.
func inOrder(a, b Key) bool {
	bytes := func(k Key) string {
		return string(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, k[0]), k[1]))
	}
	return bytes(a) < bytes(b)
}
