package store

import (
	"sync"
	"sync/atomic"
	"testing"
)

// TestSweepKeepsRecords replaces records until every chunk was swept several
// times, while readers look at them and subjects are added, so that tables are
// outgrown and moved too.
func TestSweepKeepsRecords(t *testing.T) {
	m := newTestMemory(t)
	const subjects, puts = 10_000, 50_000
	latest := make([]uint64, subjects)
	put := func(subject, version uint64) {
		m.put(nthKey(subject), versioned(nthKey(subject), version))
		latest[subject] = version
	}
	for i := range uint64(subjects / 2) {
		put(i, 0)
	}
	var written atomic.Bool
	var readers sync.WaitGroup
	readers.Go(func() {
		for i := uint64(0); !written.Load() && !t.Failed(); i++ {
			checkWholeRecord(t, m, nthKey(mix(i)%(subjects/2)))
		}
	})
	for version := uint64(1); version < puts; version++ {
		put(mix(version)%(subjects/2+version*subjects/2/puts), version)
	}
	for i := range uint64(subjects) {
		put(i, puts)
	}
	written.Store(true)
	readers.Wait()
	for i := range uint64(subjects) {
		checkGet(t, m, nthKey(i), versioned(nthKey(i), latest[i]))
	}
	checkSlack(t, m)
}

// checkSlack holds the arena to its share of dead words, beyond the chunks
// being filled, being swept and waiting.
func checkSlack(t *testing.T, m *memory) {
	t.Helper()
	live := int(m.arena.used.Load()-m.arena.dead.Load()) * 8
	if most := live*slack/(slack-1) + 3*chunkWords*8; m.arena.bytes() > most {
		t.Errorf("%d bytes are mapped for %d live ones, want at most %d", m.arena.bytes(), live, most)
	}
}

// TestSweepFollowsGrowingRecords lets all records outgrow their blocks again
// and again, so that no dead block ever fits a live record.
func TestSweepFollowsGrowingRecords(t *testing.T) {
	m := newTestMemory(t)
	const subjects = 5_000
	words := make([]uint64, 40)
	for length := 1; length <= len(words); length += 3 {
		for i := range uint64(subjects) {
			words[0] = i
			m.put(nthKey(i), words[:length])
		}
		checkSlack(t, m)
	}
	for i := range uint64(subjects) {
		words[0] = i
		checkGet(t, m, nthKey(i), words)
	}
}

// TestSweepOfLongRecords replaces one record of nearly the longest kind, which
// makes more words dead with each put than a chunk's other blocks hold.
func TestSweepOfLongRecords(t *testing.T) {
	m := newTestMemory(t)
	words := make([]uint64, maxRecordWords)
	for i := range 500 {
		words[0] = uint64(i)
		m.put(nthKey(1), words[:maxRecordWords-i%7])
	}
	checkGet(t, m, nthKey(1), words[:maxRecordWords-499%7])
	checkSlack(t, m)
}

// TestSweepTakesRunsOffTheList starts a sweep where runs of several chunks are
// listed: what is allocated then must not lie in the swept chunk.
func TestSweepTakesRunsOffTheList(t *testing.T) {
	a := newArena()
	defer a.close()
	const n = 10_000
	var all []location
	for len(*a.chunks.Load()) < 3 {
		all = append(all, a.alloc(n))
	}
	for i, at := range all {
		if at.chunk() == 1 || i%2 == 0 {
			a.releaseRun(at, n)
		}
	}
	a.alloc(10) // so that a run is being carved
	swept, ok := a.startSweep()
	if !ok || swept.at.chunk() != 1 {
		t.Fatalf("startSweep = %v, %v, want chunk 1, which has the most dead words", swept, ok)
	}
	for range 2 * len(all) {
		if at := a.alloc(n); at.chunk() == 1 {
			t.Fatalf("a block was allocated at %d, in the chunk being swept", at)
		}
	}
}
