package store

import (
	"fmt"
	"sync/atomic"
)

// sweepWords is how many words a sweep walks for each that a put writes. At
// one dead word in eight it then frees twice what the put has made dead, so
// that it always catches up.
const sweepWords = 2 * slack

// untidy reports whether more words are dead than the arena allows.
func (a *arena) untidy() bool { return a.dead.Load()*slack > a.used.Load() }

// startSweep picks the chunk with the most dead words, and takes what is
// free in it off the lists: nothing is written there until it is empty. It
// reports false if no chunk would repay the walk.
func (a *arena) startSweep() (region, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	best := -1
	for number, dead := range a.deadIn {
		if dead >= chunkWords/(2*slack) && !a.filling(number) && (best < 0 || dead > a.deadIn[best]) {
			best = number
		}
	}
	if best < 0 {
		return region{}, false
	}
	a.sweeping = best
	if a.carved.at.chunk() == best {
		a.bury(a.carved)
		a.carved = region{}
	}
	a.unlistRuns(best)
	return chunkRegion(best), true
}

func (a *arena) filling(number int) bool {
	return a.fresh.at != a.fresh.end && a.fresh.at.chunk() == number
}

// unlistRuns takes the runs of one chunk off the list. The list is short:
// puts use up runs before anything else.
func (a *arena) unlistRuns(number int) {
	listed := a.runs
	a.runs = 0
	for listed != 0 {
		next := a.runAfter(listed)
		if listed.chunk() != number {
			atomic.StoreUint64(&a.words(listed, 2)[1], uint64(a.runs))
			a.runs = listed
		}
		listed = next
	}
}

// endSweep makes the swept chunk an empty one.
func (a *arena) endSweep() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.deadIn[a.sweeping] != chunkWords {
		panic("store: a swept chunk of the record memory still holds live words")
	}
	a.deadIn[a.sweeping] = 0
	a.empty = append(a.empty, a.sweeping)
	a.sweeping = -1
	a.used.Add(^uint64(chunkWords - 1))
	a.dead.Add(^uint64(chunkWords - 1))
}

// tidy walks on by some words in the chunk being swept, if the arena is
// untidy and no other put is under way, and moves what is live out of it.
func (m *memory) tidy(words uint64) {
	if !m.arena.untidy() || !m.puts.TryLock() {
		return
	}
	defer m.puts.Unlock()
	for walked := uint64(0); walked < words; {
		if m.swept.at == m.swept.end && !m.sweepNext() {
			return
		}
		n := m.evacuate(m.swept.at)
		m.swept.at += location(n)
		walked += n
	}
}

// sweepNext ends the sweep of one chunk and starts that of the next, if the
// arena is still untidy and has one worth it.
func (m *memory) sweepNext() bool {
	if m.arena.sweeping >= 0 {
		m.arena.endSweep()
	}
	if !m.arena.untidy() {
		return false
	}
	swept, ok := m.arena.startSweep()
	m.swept = swept
	return ok
}

// evacuate moves the block at a location elsewhere if it is live, and returns
// its length. Whether it is live, and what it is, the index knows: a block is
// a key's record if the key's slot refers to it, and a shard's table if the
// shard does. Everything else is dead and begins with its length.
func (m *memory) evacuate(at location) uint64 {
	head := m.arena.words(at, min(keyWords, uint64(m.swept.end-at)))
	if len(head) < keyWords {
		return 1
	}
	key := Key{head[0], head[1]}
	if n := m.moveRecord(key, at); n > 0 {
		return n
	}
	if number := head[1]; number < shardCount {
		m.moveTable(int(number), at)
	}
	if n := key[0]; n > 0 && n <= uint64(m.swept.end-at) {
		return n
	}
	panic(fmt.Sprintf("store: a block of %d words at %d can't be: the record memory is damaged", key[0], at))
}

// moveRecord moves key's record and returns its block's length, or returns 0
// if its block isn't the one at the location.
func (m *memory) moveRecord(key Key, from location) uint64 {
	s := &m.shards[shardOf(key)]
	s.mu.Lock()
	defer s.mu.Unlock()
	slots := m.slotsOf(tableRef(s.table.Load()))
	position, block := m.find(slots, key)
	if block == nil || slot(slots[position]).at() != from {
		return 0
	}
	to := m.arena.write(key, block[keyWords:])
	m.replace(s, &slots[position], makeSlot(key, len(block)-keyWords, to))
	return uint64(len(block))
}

// moveTable moves a shard's table if its block is the one at the location.
func (m *memory) moveTable(number int, from location) {
	s := &m.shards[number]
	s.mu.Lock()
	defer s.mu.Unlock()
	old := tableRef(s.table.Load())
	if old == 0 || old.at() != from {
		return
	}
	next := m.newTable(number, old.slots())
	slots := m.slotsOf(next)
	for i, entry := range m.slotsOf(old) {
		atomic.StoreUint64(&slots[i], entry)
	}
	m.replaceTable(s, next)
}
