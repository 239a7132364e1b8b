package store

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	"github.com/consentd/consentd/consent"
)

// benchRecordWords is how long a record of four permissions is.
const benchRecordWords = 10

// nthKey returns one of an endless row of distinct, uniform keys. Computing
// them keeps the keys themselves out of the caches that are measured.
func nthKey(n uint64) Key { return Key{mix(n), mix(^n)} }

// mix is the finalizer of splitmix64, a bijection.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func benchSizes() []int {
	if testing.Short() {
		return []int{1e3, 1e6}
	}
	return []int{1e3, 1e6, 1e7}
}

func loadMemory(n int) *memory {
	m := newMemory()
	words := make([]uint64, benchRecordWords)
	for i := range n {
		m.put(nthKey(uint64(i)), words)
	}
	return m
}

var sink uint64

// BenchmarkGet compares a lookup with that in a bare Go map of the same keys
// in the same random order. The map's values are smaller than the records,
// which is in its favour.
func BenchmarkGet(b *testing.B) {
	for _, n := range benchSizes() {
		benchmarkMap(b, n)
		benchmarkMemory(b, n)
	}
}

func benchmarkMap(b *testing.B, n int) {
	m := make(map[Key][3]uint64)
	for i := range n {
		m[nthKey(uint64(i))] = [3]uint64{uint64(i)}
	}
	b.Run(fmt.Sprintf("map/hit/%d", n), func(b *testing.B) {
		benchmarkKeys(b, 0, n, func(key Key) uint64 { return m[key][0] })
	})
	b.Run(fmt.Sprintf("map/miss/%d", n), func(b *testing.B) {
		benchmarkKeys(b, n, n, func(key Key) uint64 { return m[key][0] })
	})
	runtime.KeepAlive(m)
}

func benchmarkMemory(b *testing.B, n int) {
	m := loadMemory(n)
	defer m.close()
	var buf Buffer
	get := func(key Key) uint64 { return uint64(len(m.get(key, &buf))) }
	b.Run(fmt.Sprintf("memory/hit/%d", n), func(b *testing.B) { benchmarkKeys(b, 0, n, get) })
	b.Run(fmt.Sprintf("memory/miss/%d", n), func(b *testing.B) { benchmarkKeys(b, n, n, get) })
}

// benchmarkKeys looks up random ones of n keys, the first of which is the
// from-th.
func benchmarkKeys(b *testing.B, from, n int, get func(Key) uint64) {
	b.ReportAllocs()
	random := rand.New(rand.NewPCG(1, 2))
	for b.Loop() {
		sink += get(nthKey(uint64(from) + random.Uint64N(uint64(n))))
	}
}

// BenchmarkGetBesidePuts reads while a writer replaces records as fast as it
// can, ten times a replica's rate of writes and more.
func BenchmarkGetBesidePuts(b *testing.B) {
	const n = 1e6
	m := loadMemory(n)
	defer m.close()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		words := make([]uint64, 16)
		for i := uint64(0); ; i++ {
			select {
			case <-stop:
				return
			default:
				m.put(nthKey(mix(i)%n), words[:8+i%8])
			}
		}
	}()
	var buf Buffer
	benchmarkKeys(b, 0, n, func(key Key) uint64 { return uint64(len(m.get(key, &buf))) })
	close(stop)
	<-stopped
}

// BenchmarkPut replaces records of a large memory by longer and shorter ones.
func BenchmarkPut(b *testing.B) {
	for _, n := range benchSizes() {
		m := loadMemory(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			words := make([]uint64, 16)
			benchmarkKeys(b, 0, n, func(key Key) uint64 {
				m.put(key, words[:8+key[1]>>61])
				return 0
			})
		})
		m.close()
	}
}

// BenchmarkFootprint reports what a subject with four recorded permissions
// costs, as the process's resident memory and as the memory counts itself.
func BenchmarkFootprint(b *testing.B) {
	record := benchRecord(b)
	for _, n := range benchSizes() {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var resident, own int
			for b.Loop() {
				before := residentBytes(b)
				m := newMemory()
				for i := range n {
					m.put(nthKey(uint64(i)), record)
				}
				resident, own = residentBytes(b)-before, m.bytes()
				m.close()
			}
			b.ReportMetric(float64(resident)/float64(n), "resident-B/subject")
			b.ReportMetric(float64(own)/float64(n), "own-B/subject")
		})
	}
}

// BenchmarkLoad fills a memory by puts from several goroutines, each with
// shards of its own. A start does better: see BenchmarkLoader.
func BenchmarkLoad(b *testing.B) {
	const n = 1e6
	for _, workers := range []int{1, 2, 4} {
		b.Run(fmt.Sprintf("workers/%d", workers), func(b *testing.B) {
			for b.Loop() {
				m := newMemory()
				var group sync.WaitGroup
				for worker := range workers {
					group.Go(func() { loadPart(m, worker, workers, n/workers) })
				}
				group.Wait()
				m.close()
			}
			b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "subjects/s")
		})
	}
}

// loadPart puts n subjects into the part-th of as many equal ranges of shards
// as there are parts.
func loadPart(m *memory, part, parts, n int) {
	words := make([]uint64, benchRecordWords)
	for i := range n {
		key := nthKey(uint64(part*n + i))
		key[0] = key[0]/uint64(parts) + uint64(part)*((1<<64-1)/uint64(parts))
		m.put(key, words)
	}
}

func residentBytes(tb testing.TB) int {
	tb.Helper()
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		tb.Skip("resident memory is read from /proc, which only Linux has")
	}
	for line := range strings.Lines(string(status)) {
		var kilobytes int
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kilobytes); err == nil {
			return kilobytes << 10
		}
	}
	tb.Fatal("/proc/self/status has no VmRSS")
	return 0
}

// BenchmarkGetSeveral compares lookups in blocks with lookups one by one, of the same keys.
func BenchmarkGetSeveral(b *testing.B) {
	for _, n := range benchSizes() {
		m := loadMemory(n)
		block, keys := new(consent.Block), make([]Key, consent.BlockSize)
		random := rand.New(rand.NewPCG(1, 2))
		draw := func() {
			for i := range keys {
				keys[i] = nthKey(random.Uint64N(uint64(n)))
			}
		}
		perKey := func(b *testing.B) {
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(keys)), "ns/key")
		}
		b.Run(fmt.Sprintf("single/%d", n), func(b *testing.B) {
			for b.Loop() {
				draw()
				for i, key := range keys {
					block.Records[i] = m.get(key, &block.Buffers[i])
				}
			}
			perKey(b)
		})
		b.Run(fmt.Sprintf("several/%d", n), func(b *testing.B) {
			for b.Loop() {
				draw()
				m.getSeveral(keys, block)
			}
			perKey(b)
		})
		m.close()
	}
}
