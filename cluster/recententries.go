package cluster

import (
	"slices"
	"sync"

	"github.com/hashicorp/raft"
)

// recentBytes is how much of the log is kept in memory: one request to a follower that lags, and the next.
const recentBytes = 4 * appendBytes

// recentEntries are the newest entries of the log, one after the other without a gap. Replication to each follower reads every new entry,
// and the one before it with each request, also with those that carry nothing, a hundred times a second. Read from disk, a large last entry
// would cost an idle leader a good part of a core. raft.LogCache counts entries and not bytes, and hides what kind of error a log returns.
type recentEntries struct {
	mu      sync.RWMutex
	entries []*raft.Log // never changed once in here
	bytes   int
}

// get sets l to an entry, and returns false if it isn't here.
func (r *recentEntries) get(index uint64, l *raft.Log) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(r.entries) == 0 || index < r.entries[0].Index || index-r.entries[0].Index >= uint64(len(r.entries)) {
		return false
	}
	*l = *r.entries[index-r.entries[0].Index]
	return true
}

// add takes entries that are in the log now.
func (r *recentEntries) add(logs []*raft.Log) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range logs {
		if n := len(r.entries); n > 0 && l.Index != r.entries[n-1].Index+1 {
			r.entries, r.bytes = nil, 0
		}
		r.entries = append(r.entries, l)
		r.bytes += entryBytes(l)
	}
	for r.bytes > recentBytes {
		r.bytes -= entryBytes(r.entries[0])
		r.entries[0] = nil
		r.entries = r.entries[1:]
	}
}

// remove leaves out entries that the log is going to lose.
func (r *recentEntries) remove(lowest, highest uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries = slices.DeleteFunc(r.entries, func(l *raft.Log) bool { return lowest <= l.Index && l.Index <= highest })
	if n := len(r.entries); n > 0 && r.entries[n-1].Index-r.entries[0].Index >= uint64(n) { // a gap
		r.entries = nil
	}
	r.bytes = 0
	for _, l := range r.entries {
		r.bytes += entryBytes(l)
	}
}

// entryBytes returns about how much memory an entry takes.
func entryBytes(l *raft.Log) int {
	const itself = 128
	return itself + len(l.Data) + len(l.Extensions)
}
