package store

import (
	"sync/atomic"

	"github.com/consentd/consentd/consent"
)

// Lookup of several records at once.
//
// A lookup waits twice for memory, for the slot and then for the block, and what it finds there decides where it goes on. So lookups one after
// the other wait one after the other. Here the slots of all are loaded, then the blocks of all are touched, and only then are they read: the
// processor waits for a dozen of them at the same time.
//
// It is the protocol of get, taken in steps beside each other: for each key the version is loaded, the slot looked up, the block copied, and the
// version loaded again. What comes between the steps of one key are steps of other keys, which only read. So each record is one that was
// published at some moment of the call. Whatever isn't plain (a tag that two keys share, a put that came in between) is left to get.

// getSeveral fills in what get returns for each of up to consent.BlockSize keys.
func (m *memory) getSeveral(keys []Key, into *consent.Block) {
	var (
		versions [consent.BlockSize]uint64
		found    [consent.BlockSize]slot
	)
	keys = keys[:min(len(keys), consent.BlockSize)]
	for i := range keys {
		s := &m.shards[shardOf(keys[i])]
		versions[i] = s.version.Load()
		found[i] = m.firstSlot(s, keys[i])
	}
	for i := range keys {
		if s := found[i]; s != 0 && s.tag() != tag(keys[i]) {
			found[i] = m.likely(keys[i])
		}
	}
	for i := range keys {
		m.touch(found[i])
	}
	for i := range keys {
		into.Records[i] = m.finish(keys[i], versions[i], found[i], &into.Buffers[i])
	}
}

// firstSlot returns the slot where the probe for a key starts.
func (m *memory) firstSlot(s *shard, key Key) slot {
	slots := m.slotsOf(tableRef(s.table.Load()))
	if len(slots) == 0 {
		return 0
	}
	position := home(key, len(slots))
	atomic.LoadUint64(&slots[min(position+6, len(slots)-1)])
	return slot(atomic.LoadUint64(&slots[position]))
}

// likely returns the first slot of a key's probe that has its tag, or 0 if there is none.
func (m *memory) likely(key Key) slot {
	slots := m.slotsOf(tableRef(m.shards[shardOf(key)].table.Load()))
	if len(slots) == 0 {
		return 0
	}
	position, want := home(key, len(slots)), tag(key)
	for range slots {
		if s := slot(atomic.LoadUint64(&slots[position])); s == 0 || s.tag() == want {
			return s
		}
		if position++; position == len(slots) {
			position = 0
		}
	}
	return 0
}

// touch has the processor fetch the cache lines of a block that lookups read first.
func (m *memory) touch(s slot) {
	if s == 0 {
		return
	}
	if block := m.blockOf(s); len(block) > 0 {
		atomic.LoadUint64(&block[0])
		atomic.LoadUint64(&block[len(block)-1])
	}
}

// finish returns the record of a key, of which what was found is the first slot that has its tag, if its shard's version is still the one
// loaded before that.
func (m *memory) finish(key Key, version uint64, found slot, buf *Buffer) []uint64 {
	var words []uint64
	if found != 0 {
		block := m.blockOf(found)
		if !holds(block, key) {
			return m.get(key, buf)
		}
		words = copyRecord(block[keyWords:], buf)
	}
	if m.shards[shardOf(key)].version.Load() != version {
		return m.get(key, buf)
	}
	return words
}
