package store

import (
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
)

const (
	shardBits  = 12
	shardCount = 1 << shardBits

	lengthBits = 14
	tagBits    = 64 - lengthBits - locationBits

	// A reader that this many puts into its own shard have overtaken in a
	// row takes the shard's mutex instead.
	maxTries = 16

	minTable  = 16
	tableHead = keyWords
)

// shard is one part of the index, alone on its cache line so that a put
// disturbs only readers of the same shard.
type shard struct {
	version atomic.Uint64 // publications so far
	table   atomic.Uint64 // a tableRef
	count   atomic.Uint64
	mu      sync.Mutex // held by writers, and by readers that gave up trying
	_       [32]byte
}

// shardOf returns the index of key's shard, its top bits: keys ascending in
// big-endian byte order fall into ascending shards.
func shardOf(key Key) int { return int(key[0] >> (64 - shardBits)) }

// home returns where the probe for key starts in a table of n slots. It
// scales the key bits below the shard's to the table, so that n needn't be a
// power of two.
func home(key Key, n int) int {
	hi, _ := bits.Mul64(key[0]<<shardBits, uint64(n))
	return int(hi)
}

// tag returns the key bits that a slot keeps, from the end that neither
// shardOf nor home looks at.
func tag(key Key) uint64 { return key[1] % (1 << tagBits) }

// slot is an entry of a table: tag, record length in words, location of the
// block. A record has at least one word, so 0 is an empty slot.
type slot uint64

func makeSlot(key Key, length int, at location) slot {
	return slot(tag(key)<<(64-tagBits) | uint64(length)<<locationBits | uint64(at))
}

func (s slot) tag() uint64        { return uint64(s) >> (64 - tagBits) }
func (s slot) blockWords() uint64 { return keyWords + uint64(s)>>locationBits%(1<<lengthBits) }
func (s slot) at() location       { return location(s % (1 << locationBits)) }

// tableRef says where a table lies and how many slots it has, in one word, so
// that it can't be read half.
type tableRef uint64

func makeTableRef(at location, slots int) tableRef {
	return tableRef(uint64(slots)<<locationBits | uint64(at))
}

func (t tableRef) at() location { return location(t % (1 << locationBits)) }
func (t tableRef) slots() int   { return int(t >> locationBits) }

// full reports whether a table should grow before it takes one more record
// than count. At 7/8 a probe for an absent key looks at some 30 slots, four
// cache lines in a row.
func (t tableRef) full(count uint64) bool {
	n := uint64(t.slots())
	return count >= n-n/8
}

// grown returns the number of slots of the table after t. Growing by a
// quarter keeps the index within 9.1 to 11.4 bytes a record where doubling
// would let it swing between 9 and 18. Shards start at different sizes, so
// that they don't all grow at the same time.
func (t tableRef) grown(shard int) int {
	if t == 0 {
		return minTable + shard%4
	}
	return t.slots() + t.slots()/4
}

// blockWords returns the length of the table's block. Its two words in front
// of the slots stand where a record has its key: the block's length, as a dead
// block has it, and the shard's number.
func (t tableRef) blockWords() uint64 { return tableHead + uint64(t.slots()) }

// slotsOf returns a table's slots.
func (m *memory) slotsOf(t tableRef) []uint64 {
	block := m.arena.words(t.at(), t.blockWords())
	if block == nil {
		return nil
	}
	return block[tableHead:]
}

// find returns the position of key's slot and its block, or the position of
// the empty slot where the probe ended and nil. Slots may be garbage, for a
// reader that was overtaken: it then returns something, without leaving the
// arena and after one round at most.
func (m *memory) find(slots []uint64, key Key) (position int, block []uint64) {
	position = home(key, len(slots))
	want := tag(key)
	for range slots {
		s := slot(atomic.LoadUint64(&slots[position]))
		if s == 0 {
			return position, nil
		}
		if s.tag() == want {
			if block := m.blockOf(s); holds(block, key) {
				return position, block
			}
		}
		if position++; position == len(slots) {
			position = 0
		}
	}
	return position, nil
}

func (m *memory) blockOf(s slot) []uint64 { return m.arena.words(s.at(), s.blockWords()) }

func holds(block []uint64, key Key) bool {
	return len(block) > keyWords &&
		atomic.LoadUint64(&block[0]) == key[0] && atomic.LoadUint64(&block[1]) == key[1]
}

// lookup copies key's record out of a shard, as it was at some moment if no
// put was published meanwhile, else garbage.
func (m *memory) lookup(s *shard, key Key, buf *Buffer) []uint64 {
	_, block := m.find(m.slotsOf(tableRef(s.table.Load())), key)
	if block == nil {
		return nil
	}
	return copyRecord(block[keyWords:], buf)
}

// copyRecord returns a copy of a record's words, in buf or allocated if it is longer than that.
func copyRecord(record []uint64, buf *Buffer) []uint64 {
	words := buf[:]
	if len(record) > len(words) {
		words = make([]uint64, len(record))
	}
	words = words[:len(record)]
	for i := range words {
		words[i] = atomic.LoadUint64(&record[i])
	}
	return words
}

// publish makes a written block the record of key.
func (m *memory) publish(key Key, entry slot) {
	s := &m.shards[shardOf(key)]
	s.mu.Lock()
	defer s.mu.Unlock()
	slots := m.slotsOf(tableRef(s.table.Load()))
	if position, block := m.find(slots, key); block != nil {
		m.replace(s, &slots[position], entry)
		return
	}
	if t := tableRef(s.table.Load()); t.full(s.count.Load()) {
		slots = m.grow(s, t, shardOf(key))
	}
	atomic.StoreUint64(&slots[vacancy(slots, key)], uint64(entry))
	s.count.Add(1)
	s.version.Add(1)
}

// replace publishes a slot and frees the block that it referred to before. The
// order is the protocol: slot, version, release.
func (m *memory) replace(s *shard, in *uint64, entry slot) {
	old := slot(*in)
	atomic.StoreUint64(in, uint64(entry))
	s.version.Add(1)
	m.arena.release(old.at(), old.blockWords())
}

// grow replaces a shard's table by a larger one and returns its slots.
func (m *memory) grow(s *shard, old tableRef, number int) []uint64 {
	next := m.newTable(number, old.grown(number))
	slots := m.slotsOf(next)
	for i := range slots {
		atomic.StoreUint64(&slots[i], 0)
	}
	for _, entry := range m.slotsOf(old) {
		if entry != 0 {
			block := m.blockOf(slot(entry))
			atomic.StoreUint64(&slots[vacancy(slots, Key{block[0], block[1]})], entry)
		}
	}
	m.replaceTable(s, next)
	return slots
}

// newTable allocates a table whose slots hold anything.
func (m *memory) newTable(number, slots int) tableRef {
	n := uint64(tableHead + slots)
	if n > chunkWords-lostWords {
		panic(fmt.Sprintf("store: record memory is full: shard %d holds %d subjects; split the tenants over several clusters",
			number, m.shards[number].count.Load()))
	}
	at := m.arena.alloc(n)
	head := m.arena.words(at, tableHead)
	atomic.StoreUint64(&head[0], n)
	atomic.StoreUint64(&head[1], uint64(number))
	return makeTableRef(at, slots)
}

// replaceTable publishes a table built aside, in the order of replace.
func (m *memory) replaceTable(s *shard, next tableRef) {
	old := tableRef(s.table.Load())
	s.table.Store(uint64(next))
	s.version.Add(1)
	if old != 0 {
		m.arena.releaseRun(old.at(), old.blockWords())
	}
}

// vacancy returns the first empty slot of key's probe. A table is never full.
func vacancy(slots []uint64, key Key) int {
	i := home(key, len(slots))
	for slots[i] != 0 {
		if i++; i == len(slots) {
			i = 0
		}
	}
	return i
}

// copyShard returns all records of a shard as they were at one moment, each
// as its block's length and its block. It reuses dst.
func (m *memory) copyShard(s *shard, dst []uint64) []uint64 {
	for range maxTries {
		if blocks, ok := m.appendBlocks(dst[:0], s); ok {
			return blocks
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	blocks, _ := m.appendBlocks(dst[:0], s)
	return blocks
}

// appendBlocks reports false if a put was published meanwhile. It looks after
// every block, so that a recycled table's garbage isn't followed far.
func (m *memory) appendBlocks(dst []uint64, s *shard) ([]uint64, bool) {
	version := s.version.Load()
	slots := m.slotsOf(tableRef(s.table.Load()))
	for i := range slots {
		entry := slot(atomic.LoadUint64(&slots[i]))
		if entry == 0 {
			continue
		}
		block := m.blockOf(entry)
		dst = append(dst, uint64(len(block)))
		for j := range block {
			dst = append(dst, atomic.LoadUint64(&block[j]))
		}
		if s.version.Load() != version {
			return dst, false
		}
	}
	return dst, s.version.Load() == version
}
