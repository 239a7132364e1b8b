package store

import "sync/atomic"

// loader fills a memory that nobody reads or writes yet, from ascending keys. Each shard has one loader at most. It makes a shard's table once,
// where puts would make it grow some fifteen times, and takes space for many records at once.
type loader struct {
	to    *memory
	shard int
	keys  []Key
	slots []slot
	space region
}

const loaderWords = 4096

// put is memory.put.
func (l *loader) put(key Key, words []uint64) {
	if n := shardOf(key); n != l.shard {
		l.finishShard()
		l.shard = n
	}
	l.keys = append(l.keys, key)
	l.slots = append(l.slots, makeSlot(key, len(words), l.write(key, words)))
}

// write stores key and record in a new block.
func (l *loader) write(key Key, words []uint64) location {
	n := uint64(keyWords + len(words))
	at, ok := l.space.take(n)
	if !ok {
		l.giveBack()
		start := l.to.arena.alloc(max(n, loaderWords))
		l.space = region{start, start + location(max(n, loaderWords))}
		at, _ = l.space.take(n)
	}
	l.to.arena.fill(at, key, words)
	return at
}

// finishShard publishes the records of a shard.
func (l *loader) finishShard() {
	if len(l.keys) == 0 {
		return
	}
	s := &l.to.shards[l.shard]
	s.mu.Lock()
	defer s.mu.Unlock()
	var sized tableRef
	for n := uint64(len(l.keys)); sized.full(n - 1); {
		sized = makeTableRef(0, sized.grown(l.shard))
	}
	table := l.to.newTable(l.shard, sized.slots())
	slots := l.to.slotsOf(table)
	for i := range slots {
		atomic.StoreUint64(&slots[i], 0)
	}
	for i, key := range l.keys {
		atomic.StoreUint64(&slots[vacancy(slots, key)], uint64(l.slots[i]))
	}
	s.count.Store(uint64(len(l.keys)))
	l.to.replaceTable(s, table)
	l.keys, l.slots = l.keys[:0], l.slots[:0]
}

// finish publishes what isn't yet. Nothing may be put after it.
func (l *loader) finish() {
	l.finishShard()
	l.giveBack()
}

// giveBack returns the space that is left.
func (l *loader) giveBack() {
	l.to.arena.mu.Lock()
	defer l.to.arena.mu.Unlock()
	l.to.arena.retire(l.space)
	l.space = region{}
}
