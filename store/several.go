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

// The two loops that wait for memory do nothing else, so that as many loads as possible are within what the processor looks ahead.

// getSeveral fills in what get returns for each of up to consent.BlockSize keys.
func (m *memory) getSeveral(keys []Key, into *consent.Block) {
	var (
		versions    [consent.BlockSize]uint64
		found       [consent.BlockSize]slot
		first, last [consent.BlockSize]*uint64 // words to load; nil for none
	)
	keys = keys[:min(len(keys), consent.BlockSize)]
	for i := range keys {
		s := &m.shards[shardOf(keys[i])]
		versions[i] = s.version.Load()
		first[i] = m.homeSlot(s, keys[i])
	}
	for i := range keys {
		if word := first[i]; word != nil {
			found[i] = slot(atomic.LoadUint64(word))
		}
	}
	for i := range keys {
		if s := found[i]; s != 0 && s.tag() != tag(keys[i]) {
			found[i] = m.likely(keys[i])
		}
		first[i], last[i] = m.blockEnds(found[i])
	}
	for i := range keys {
		if first[i] != nil {
			atomic.LoadUint64(first[i])
			atomic.LoadUint64(last[i])
		}
	}
	for i := range keys {
		into.Records[i] = m.finish(keys[i], versions[i], found[i], &into.Buffers[i])
	}
}

// homeSlot returns the slot where the probe for a key starts, or nil if the shard has none.
func (m *memory) homeSlot(s *shard, key Key) *uint64 {
	slots := m.slotsOf(tableRef(s.table.Load()))
	if len(slots) == 0 {
		return nil
	}
	return &slots[home(key, len(slots))]
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

// blockEnds returns the first and the last word of a slot's block, or nil for none.
func (m *memory) blockEnds(s slot) (first, last *uint64) {
	if s == 0 {
		return nil, nil
	}
	block := m.blockOf(s)
	if len(block) == 0 {
		return nil, nil
	}
	return &block[0], &block[len(block)-1]
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
