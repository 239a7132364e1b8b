package cluster

import (
	"strconv"
	"testing"
	"time"
)

func TestRarely(t *testing.T) {
	now := time.Unix(0, 0)
	r := newRarely(time.Minute, func() time.Time { return now })
	due := 0
	for key := range 2 * maxRareKeys {
		for range 2 {
			if r.due(strconv.Itoa(key)) {
				due++
			}
		}
	}
	if due != maxRareKeys+1 || len(r.last) > maxRareKeys+1 {
		t.Errorf("%d yeses for twice as many keys as are remembered (%d), and %d remembered", due, maxRareKeys, len(r.last))
	}
	now = now.Add(time.Minute)
	if !r.due("0") || r.due("0") {
		t.Error("a minute later there has to be one more")
	}
}

// TestRaftComplainsRarely has Raft complain of two members that can't be reached, as it does several times a second.
func TestRaftComplainsRarely(t *testing.T) {
	var book logBook
	log := newRaftLogger(book.logger())
	for range 10 {
		log.Error("failed to heartbeat to", "peer", "a", "error", "no route")
		log.With("of", "raft").Error("failed to heartbeat to", "peer", "b", "error", "no route")
	}
	if lines := book.lines("level=ERROR"); len(lines) != 2 {
		t.Errorf("%d complaints about two members, want 2: %q", len(lines), lines)
	}
}
