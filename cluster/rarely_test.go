package cluster

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
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
	log.Error("failed to make requestVote RPC", "target", raft.Server{ID: "n1", Address: "a"}, "error", "no route")
	if lines := book.lines("level=WARN msg=\"another replica can't be reached\""); len(lines) != 2 {
		t.Errorf("%d complaints about two members, want 2: %q", len(lines), lines)
	}
}

// codecError is like what Raft's codec makes of a connection that is cut.
type codecError struct{ cause error }

func (e codecError) Error() string { return "msgpack decode error [pos 1615]: " + e.cause.Error() }
func (e codecError) Cause() error  { return e.cause }

func TestCutConnectionIsToldInWords(t *testing.T) {
	var book logBook
	newRaftLogger(book.logger()).Error("failed to appendEntries to", "peer", "a", "error", codecError{net.ErrClosed})
	if lines := book.warnings(); len(lines) != 1 || !strings.Contains(lines[0], `error="the message broke off: use of closed network connection"`) {
		t.Errorf("%q", lines)
	}
}

// TestRaftIsQuiet has Raft tell of an election and a hand-over: who leads is told otherwise, and nothing is wrong.
func TestRaftIsQuiet(t *testing.T) {
	var book logBook
	log := newRaftLogger(book.logger())
	log.Warn("heartbeat timeout reached, starting election", "last-leader-id", raft.ServerID("n1"))
	log.Warn("rejecting vote request since we have a leader", "from", "a")
	log.Error("peer has newer term, stopping replication", "peer", raft.Server{ID: "n1", Address: "a"})
	for _, level := range []string{"INFO", "WARN", "ERROR"} {
		if lines := book.lines("level=" + level); len(lines) > 0 {
			t.Errorf("%q", lines)
		}
	}
	log.Error("failed to take snapshot", "error", "of the disk")
	log.Error("failed to send snapshot to", "peer", raft.Server{ID: "n1", Address: "a"})
	if lines := book.lines("level=ERROR"); len(lines) != 2 || !strings.Contains(lines[1], `peer="n1 at a"`) {
		t.Errorf("%q", lines)
	}
}
