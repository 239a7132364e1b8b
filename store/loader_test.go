package store

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

// sortedKeys returns so many keys in their order.
func sortedKeys(n int) []Key {
	keys := make([]Key, n)
	for i := range keys {
		keys[i] = nthKey(uint64(i))
	}
	slices.SortFunc(keys, compareKeys)
	return keys
}

// loadSorted fills a memory from ascending keys, by two loaders that have the shards in between them.
func loadSorted(m *memory, keys []Key, record func(Key) []uint64) {
	half, _ := slices.BinarySearchFunc(keys, Key{1 << 63}, compareKeys)
	var loaders sync.WaitGroup
	for _, part := range [][]Key{keys[:half], keys[half:]} {
		loaders.Go(func() {
			l := &loader{to: m}
			defer l.finish()
			for _, key := range part {
				l.put(key, record(key))
			}
		})
	}
	loaders.Wait()
}

// TestLoader fills a memory as puts do, and puts go on in it.
func TestLoader(t *testing.T) {
	for _, n := range []int{0, 1, 20, 1000, 5_000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			m, byPuts, keys := newTestMemory(t), newTestMemory(t), sortedKeys(n)
			version := func(v uint64) func(Key) []uint64 {
				return func(key Key) []uint64 {
					if v == 1 && key == nthKey(0) {
						return make([]uint64, maxRecordWords)
					}
					return versioned(key, v)
				}
			}
			loadSorted(m, keys, version(1))
			check := func(want func(Key) []uint64) {
				t.Helper()
				if m.len() != len(keys) {
					t.Errorf("len = %d, want %d", m.len(), len(keys))
				}
				for _, key := range keys {
					checkGet(t, m, key, want(key))
				}
				checkGet(t, m, nthKey(1<<40), nil)
			}
			check(version(1))
			for _, key := range keys {
				byPuts.put(key, version(1)(key))
			}
			for i := range m.shards {
				got, want := tableRef(m.shards[i].table.Load()).slots(), tableRef(byPuts.shards[i].table.Load()).slots()
				if got != want {
					t.Fatalf("the table of shard %d has %d slots, and one grown by puts %d", i, got, want)
				}
			}
			if spare := 2 * chunkWords * 8; m.bytes() > byPuts.bytes()+spare {
				t.Errorf("it takes %d bytes, and %d by puts", m.bytes(), byPuts.bytes())
			}
			for v := range uint64(5) { // so that chunks are swept
				for _, key := range keys {
					m.put(key, versioned(key, 2+v))
				}
			}
			check(version(6))
			for i := range n / 4 {
				keys = append(keys, nthKey(uint64(n+i)))
				m.put(keys[len(keys)-1], versioned(keys[len(keys)-1], 6))
			}
			check(version(6))
		})
	}
}

// BenchmarkLoader fills a memory with a million records in the order of their keys, as a start does: by puts, and by a loader.
func BenchmarkLoader(b *testing.B) {
	keys, words := sortedKeys(1_000_000), make([]uint64, benchRecordWords)
	b.Run("puts", func(b *testing.B) {
		for b.Loop() {
			m := newMemory()
			for _, key := range keys {
				m.put(key, words)
			}
			m.close()
		}
	})
	b.Run("loader", func(b *testing.B) {
		for b.Loop() {
			m := newMemory()
			l := &loader{to: m}
			for _, key := range keys {
				l.put(key, words)
			}
			l.finish()
			m.close()
		}
	})
}
