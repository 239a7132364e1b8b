package store

import (
	"fmt"
	"sync"
	"unsafe"

	"github.com/consentd/consentd/consent"
)

// Key is a subject's pseudonym: 128 bits of a keyed hash, and so uniformly
// distributed, which the record memory relies on.
type Key = consent.Pseudonym

// Buffer is where a record is copied when it is read, so that reading one
// allocates nothing. It is reusable, by one goroutine at a time.
type Buffer = consent.Buffer

const (
	keyWords       = 2
	maxRecordWords = 1<<lengthBits - 1

	_ = uint(maxRecordWords - consent.MaxRecordWords) // every record fits
)

// memory holds the current record of every subject. Reads take no lock and
// allocate nothing; records and index lie outside the Go heap.
//
// # The obvious way, and why not
//
// The obvious way is a map[Key]*Record under a sync.RWMutex. Three things are
// wrong with it at ten million subjects. The garbage collector follows ten
// million pointers in every cycle. RLock writes to a cache line that all
// readers share, so readers on many cores wait for each other, and all of
// them for a writer that was preempted in the middle. And while a Go map of
// values without pointers isn't scanned, it is still counted: at GOGC=100
// the heap may grow to twice the records before a collection starts, and a
// record that outgrows its place leaves garbage behind.
//
// # What it is
//
// An arena of 4 MiB chunks, mapped outside the Go heap, holds blocks of words.
// A block is the key's two words and the record. The index is 4,096 shards by
// the key's top bits, each an open-addressing table in the same arena, with
// one word for a record: 16 bits of the key, 14 of length, 34 of location
// (128 GiB). A lookup touches a slot and a block: two cache misses.
//
// # Invariants
//
//  1. A block or table that a shard refers to is never written. A put writes
//     a new block, then publishes it by one store to the slot. A table
//     changes only by such stores; a larger one is built aside, then
//     published by one store to the shard.
//  2. A publication is followed by an increment of the shard's version, and
//     only then are the words that it replaced released for reuse.
//  3. Chunks stay mapped until close. What a reader takes from the arena as a
//     location or length is checked against the chunks before use.
//  4. A subject is never removed (an erased one keeps a record that says so),
//     so a table has no tombstones and a probe ends at the first empty slot.
//  5. A reader reads all words of the arena atomically, and a writer writes
//     them so.
//  6. Nothing is written to a chunk being swept but the lengths of dead
//     blocks, and it becomes empty only when all of it is dead. A sweep's step
//     excludes puts, so every block it meets is published or dead.
//
// # Why a reader is never wrong
//
// A reader loads the version, looks up, copies, and loads the version again.
// Suppose it copied a word that was written after the word's earlier content
// was released. By 2 the version was incremented before that release, and by
// 5 the reader has observed a store that came after the increment, so it sees
// the increment: the second load differs from the first, or the first already
// came after the increment, and so after the publication that took the block
// out of reach. If the loads are equal, everything copied was, by 1, one
// published record; absent means absent for the same reason. Otherwise it
// tries again.
//
// This is a seqlock without its odd half. Because a publication is one store,
// no state in between exists to be fenced off, and a writer that is
// preempted in the middle of a put delays no reader. A reader retries
// only when a whole put into its shard completed while it copied a record;
// after maxTries of that it takes the mutex that the shard's writers hold.
type memory struct {
	arena  *arena
	shards [shardCount]shard

	puts  sync.RWMutex // held shared by puts, exclusively by a sweep's step
	swept region       // what is still to be walked of the chunk being swept
}

func newMemory() *memory { return &memory{arena: newArena()} }

// get returns key's record, or nil if there is none. The words are the
// caller's own copy: in buf, or allocated if the record is longer than that.
func (m *memory) get(key Key, buf *Buffer) []uint64 {
	s := &m.shards[shardOf(key)]
	for range maxTries {
		version := s.version.Load()
		words := m.lookup(s, key, buf)
		if s.version.Load() == version {
			return words
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return m.lookup(s, key, buf)
}

// put makes words, of which there are 1 to 16,383, the record of key. Puts may
// run beside each other and beside reads; puts into one shard wait for each
// other.
func (m *memory) put(key Key, words []uint64) {
	if len(words) == 0 || len(words) > maxRecordWords {
		panic(fmt.Sprintf("store: a record has 1 to %d words, not %d", maxRecordWords, len(words)))
	}
	m.puts.RLock()
	m.publish(key, makeSlot(key, len(words), m.arena.write(key, words)))
	m.puts.RUnlock()
	m.tidy(sweepWords * uint64(keyWords+len(words)))
}

// len returns the number of subjects. Beside puts it is approximate.
func (m *memory) len() int {
	n := 0
	for i := range m.shards {
		n += int(m.shards[i].count.Load())
	}
	return n
}

// bytes returns the memory taken, free space within the arena included.
func (m *memory) bytes() int {
	return m.arena.bytes() + int(unsafe.Sizeof(*m)) + int(unsafe.Sizeof(*m.arena))
}

// each calls f for every record, until it returns false. The words are valid
// only during the call. Records of one shard are of one moment; a subject put
// meanwhile may or may not be among them. f may get and put.
func (m *memory) each(f func(key Key, words []uint64) bool) {
	var blocks []uint64
	for i := range m.shards {
		blocks = m.copyShard(&m.shards[i], blocks)
		for rest := blocks; len(rest) > 0; rest = rest[1+rest[0]:] {
			block := rest[1 : 1+rest[0]]
			if !f(Key{block[0], block[1]}, block[keyWords:]) {
				return
			}
		}
	}
}

// close releases the memory. It must come after the last get, put and each.
func (m *memory) close() {
	m.arena.close()
	clear(m.shards[:])
}
