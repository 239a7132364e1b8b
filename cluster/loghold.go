package cluster

import (
	"slices"
	"sync"
	"time"
)

// logHolds keep what a replica that is sent a snapshot will need of the log. Raft cuts its log without regard to that: a snapshot taken
// while a long stream is on its way would cut behind the one that is sent, and its receiver would need a second. Where the disk has no
// space for it, that receiver matters less than all writes.
type logHolds struct {
	waived func() bool // nothing is kept now; nil: never

	mu    sync.Mutex
	holds []*logHold
}

// logHold is one stream on its way, or gone for less than holdAfter.
type logHold struct {
	behind uint64    // what is kept is behind this index
	ended  time.Time // zero while it is sent
}

// holdAfter is how long after a snapshot the entries behind it may begin to be sent.
const holdAfter = 10 * time.Second

// behind keeps the log behind an index, until a while after the function that it returns is called.
func (h *logHolds) behind(index uint64) (release func()) {
	hold := &logHold{behind: index}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.holds = append(h.holds, hold)
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		hold.ended = time.Now()
	}
}

// bound returns up to where the log may be cut, instead of an index.
func (h *logHolds) bound(index uint64) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.holds = slices.DeleteFunc(h.holds, func(hold *logHold) bool { return !hold.ended.IsZero() && time.Since(hold.ended) > holdAfter })
	if h.waived != nil && h.waived() {
		return index
	}
	for _, hold := range h.holds {
		index = min(index, hold.behind)
	}
	return index
}
