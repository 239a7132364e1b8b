package store

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/consentd/consentd/consent"
)

// TestSeveralAgreeWithOne: of whatever keys, alike or not, known or not, each record is what get returns.
func TestSeveralAgreeWithOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMemory()
		defer m.close()
		alike := func() Key { return Key{7<<52 | 1, rapid.Uint64Range(0, 40).Draw(t, "alike") << tagBits} }
		draw := func() Key {
			if rapid.Bool().Draw(t, "is alike") {
				return alike()
			}
			return drawKey(t)
		}
		for range rapid.IntRange(0, 60).Draw(t, "puts") {
			m.put(draw(), rapid.SliceOfN(rapid.Uint64(), 1, 70).Draw(t, "words"))
		}
		var keys []Key
		for range rapid.IntRange(0, consent.BlockSize).Draw(t, "keys") {
			keys = append(keys, draw())
		}
		block := new(consent.Block)
		m.getSeveral(keys, block)
		for i, key := range keys {
			var buf Buffer
			if diff := cmp.Diff(m.get(key, &buf), []uint64(block.Records[i])); diff != "" {
				t.Fatalf("record %d of %d, of %x (-get +getSeveral):\n%s", i, len(keys), key, diff)
			}
		}
	})
}

// TestSeveralAreWholeAndNew reads blocks of few subjects in one shard while they are put: each record must be one that was put, and none older
// than what was acknowledged before.
func TestSeveralAreWholeAndNew(t *testing.T) {
	m := newTestMemory(t)
	const subjects, puts = 100, 40_000
	key := func(n uint64) Key { return Key{3<<52 | mix(n%subjects)>>shardBits, n % subjects} }
	var acknowledged atomic.Uint64
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			block, keys := new(consent.Block), make([]Key, consent.BlockSize)
			for version := uint64(0); version < puts && !t.Failed(); {
				version = acknowledged.Load()
				for i := range keys {
					keys[i] = key(version + uint64(i))
				}
				m.getSeveral(keys, block)
				for i, record := range block.Records[:] {
					before := version + uint64(i) // of the subject's versions, the last that was surely acknowledged
					if i > 0 {
						before -= min(before, subjects)
					}
					if words := []uint64(record); before > 0 && (!intact(keys[i], words) || words[0] < before) {
						t.Errorf("version %d of %x is acknowledged, got %x", before, keys[i], words)
					}
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

// TestSeveralLookAgain for what was found before a put into the same shard: it may be anything by now, or not there.
func TestSeveralLookAgain(t *testing.T) {
	m := newTestMemory(t)
	key, words := nthKey(1), versioned(nthKey(1), 1)
	before := m.shards[shardOf(key)].version.Load()
	m.put(key, words)
	other := versioned(key, 2)
	for name, found := range map[string]slot{
		"nothing": 0, "another block of the key": makeSlot(key, len(other), m.arena.write(key, other)),
	} {
		var buf Buffer
		if diff := cmp.Diff(words, m.finish(key, before, found, &buf)); diff != "" {
			t.Errorf("found %s, then put (-want +got):\n%s", name, diff)
		}
	}
}

// TestSeveralComeThrough while a shard's version moves on without end.
func TestSeveralComeThrough(t *testing.T) {
	m := newTestMemory(t)
	words := versioned(nthKey(1), 1)
	m.put(nthKey(1), words)
	s := &m.shards[shardOf(nthKey(1))]
	var read atomic.Bool
	var writer sync.WaitGroup
	writer.Go(func() {
		for !read.Load() {
			s.version.Add(1)
		}
	})
	block := new(consent.Block)
	for range 100 {
		m.getSeveral([]Key{nthKey(1), nthKey(2)}, block)
		if diff := cmp.Diff(words, []uint64(block.Records[0])); diff != "" || block.Records[1] != nil {
			t.Errorf("(-want +got):\n%s, and %x for an unknown subject", diff, block.Records[1])
		}
	}
	read.Store(true)
	writer.Wait()
}

func TestSeveralAllocateNothing(t *testing.T) {
	m := newTestMemory(t)
	keys := make([]Key, consent.BlockSize)
	for i := range keys {
		keys[i] = nthKey(uint64(i))
		if i%3 > 0 {
			m.put(keys[i], make([]uint64, benchRecordWords))
		}
	}
	block := new(consent.Block)
	if n := testing.AllocsPerRun(100, func() { m.getSeveral(keys, block) }); n != 0 {
		t.Errorf("looking up %d keys allocates %v times, want 0", len(keys), n)
	}
}
