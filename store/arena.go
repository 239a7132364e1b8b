package store

import (
	"fmt"
	"sync"
	"sync/atomic"
)

const (
	chunkBits    = 19 // a chunk is 4 MiB: two huge pages
	chunkWords   = 1 << chunkBits
	locationBits = 34
	maxChunks    = 1 << (locationBits - chunkBits)

	// Location 0 means nowhere, so the arena's first words are given up, a
	// whole cache line of them.
	lostWords = 8

	// The rest of a region is carved further if it is this long.
	minRun = 64

	// Dead words may make up one part in slack of the chunks in use. Less
	// would mean more copying: with an eighth, sweeping moves some five words
	// for each that a put frees.
	slack = 8
)

// location is a word's place in the arena, counted from the first chunk's
// first word.
type location uint64

func (at location) chunk() int { return int(at >> chunkBits) }

type chunk [chunkWords]uint64

// region is a stretch of words, taken from the front.
type region struct{ at, end location }

func (r *region) take(n uint64) (location, bool) {
	if uint64(r.end-r.at) < n {
		return 0, false
	}
	at := r.at
	r.at += location(n)
	return at, true
}

// arena hands out words from chunks that the garbage collector doesn't know.
// Chunks stay mapped until close, so a location once handed out can be read
// for ever after, if only to find something else there. All words are
// accessed atomically, dead ones too, because a reader that was overtaken may
// still be looking at them.
//
// A chunk is a row of blocks, each live or dead. A dead one holds its length
// in its first word, so that a sweep can walk the row; a live one tells its
// length to whoever knows the index. Dead blocks of records aren't reused one
// by one: records change their length, and lists of free blocks by length
// were measured to hold up to three times what was live. A chunk is used
// again once a sweep has moved what was live out of it.
//
// Long dead blocks (outgrown index tables, the rest of a chunk) are runs,
// listed through their second word, and records are carved from them first.
type arena struct {
	chunks atomic.Pointer[[]*chunk]
	used   atomic.Uint64 // words in chunks that aren't empty
	dead   atomic.Uint64 // of these, dead ones

	mu       sync.Mutex
	fresh    region // of the chunk being filled
	carved   region // of the run being carved
	runs     location
	deadIn   []uint32 // dead words by chunk
	empty    []int    // chunks
	sweeping int      // the chunk being swept, or -1
}

func newArena() *arena {
	a := &arena{sweeping: -1}
	a.chunks.Store(new([]*chunk))
	return a
}

// words returns n words at a location, or nil if they don't lie within one
// chunk, as may be when the location was read from recycled memory.
func (a *arena) words(at location, n uint64) []uint64 {
	chunks := *a.chunks.Load()
	number, offset := uint64(at)>>chunkBits, uint64(at)%chunkWords
	if number >= uint64(len(chunks)) || offset+n > chunkWords {
		return nil
	}
	return chunks[number][offset : offset+n]
}

// write stores key and record in a new block.
func (a *arena) write(key Key, record []uint64) location {
	at := a.alloc(uint64(keyWords + len(record)))
	a.fill(at, key, record)
	return at
}

// fill stores key and record in a block.
func (a *arena) fill(at location, key Key, record []uint64) {
	block := a.words(at, uint64(keyWords+len(record)))
	atomic.StoreUint64(&block[0], key[0])
	atomic.StoreUint64(&block[1], key[1])
	for i, word := range record {
		atomic.StoreUint64(&block[keyWords+i], word)
	}
}

// alloc returns the location of n words within one chunk; they hold anything.
func (a *arena) alloc(n uint64) location {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at, ok := a.carved.take(n); ok {
		return at
	}
	if a.runs != 0 && n <= a.runLength() {
		rest := a.carved
		a.carved = a.popRun()
		a.retire(rest)
		at, _ := a.carved.take(n)
		return at
	}
	if at, ok := a.fresh.take(n); ok {
		return at
	}
	a.retire(a.fresh)
	a.fresh = a.nextChunk()
	at, _ := a.fresh.take(n)
	return at
}

// release declares n words dead that held a record.
func (a *arena) release(at location, n uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bury(region{at, at + location(n)})
}

// releaseRun declares n words dead that held an index table.
func (a *arena) releaseRun(at location, n uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pushRun(region{at, at + location(n)})
}

// retire files what is left of a region.
func (a *arena) retire(r region) {
	if r.end-r.at >= minRun {
		a.pushRun(r)
	} else {
		a.bury(r)
	}
}

// bury makes r one dead block.
func (a *arena) bury(r region) {
	if r.at == r.end {
		return
	}
	n := uint64(r.end - r.at)
	atomic.StoreUint64(&a.words(r.at, n)[0], n)
	a.deadIn[r.at.chunk()] += uint32(n)
	a.dead.Add(n)
}

// pushRun buries r and lists it, unless a sweep might have passed it already.
func (a *arena) pushRun(r region) {
	a.bury(r)
	if r.at.chunk() != a.sweeping {
		atomic.StoreUint64(&a.words(r.at, 2)[1], uint64(a.runs))
		a.runs = r.at
	}
}

func (a *arena) popRun() region {
	n := a.runLength()
	r := region{a.runs, a.runs + location(n)}
	a.deadIn[r.at.chunk()] -= uint32(n)
	a.dead.Add(-n)
	a.runs = a.runAfter(a.runs)
	return r
}

// runLength returns the length of the run that popRun would return.
func (a *arena) runLength() uint64 { return atomic.LoadUint64(&a.words(a.runs, 1)[0]) }

func (a *arena) runAfter(at location) location {
	return location(atomic.LoadUint64(&a.words(at, 2)[1]))
}

// nextChunk returns an empty chunk, mapped if need be.
func (a *arena) nextChunk() region {
	if len(a.empty) == 0 {
		a.mapNext()
	}
	number := a.empty[len(a.empty)-1]
	a.empty = a.empty[:len(a.empty)-1]
	a.used.Add(chunkWords)
	r := chunkRegion(number)
	if number == 0 {
		a.bury(region{0, lostWords})
		r.at = lostWords
	}
	return r
}

func chunkRegion(number int) region {
	return region{location(number) << chunkBits, location(number+1) << chunkBits}
}

// mapNext maps one more chunk. Running out of memory is fatal, as it is for
// the Go heap: a replica that dropped a record would answer wrongly.
func (a *arena) mapNext() {
	chunks := *a.chunks.Load()
	number := len(chunks)
	if number == maxChunks {
		panic(fmt.Sprintf("store: record memory is full: %d chunks of %d bytes are in use; split the tenants over several clusters",
			maxChunks, chunkWords*8))
	}
	c, err := mapChunk()
	if err != nil {
		panic(fmt.Sprintf("store: no memory for records after %d bytes: %v; give the host more memory or lower its limits",
			number*chunkWords*8, err))
	}
	// Readers of the old slice never look past its length, so that appending
	// in place is safe.
	chunks = append(chunks, c)
	a.chunks.Store(&chunks)
	a.deadIn = append(a.deadIn, 0)
	a.empty = append(a.empty, number)
}

func (a *arena) bytes() int { return len(*a.chunks.Load()) * chunkWords * 8 }

// close unmaps all chunks. Nothing may read or write any more.
func (a *arena) close() {
	chunks := *a.chunks.Load()
	a.chunks.Store(new([]*chunk))
	for _, c := range chunks {
		unmapChunk(c)
	}
}
