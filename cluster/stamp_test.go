package cluster

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/consentd/consentd/consent"
)

// testStamper returns a stamper that has applied nothing.
func testStamper(now func() time.Time) *stamper {
	return newStamper(now, func() consent.Time { return 0 }, slog.New(slog.DiscardHandler))
}

func TestStampsGrow(t *testing.T) {
	now, applied := time.UnixMilli(1000), consent.Time(0)
	s := testStamper(func() time.Time { return now })
	s.applied = func() consent.Time { return applied }
	want := func(stamp consent.Time) {
		t.Helper()
		if peeked, err := s.peek(); peeked != stamp || err != nil {
			t.Errorf("peek returned %d, %v, want %d", peeked, err, stamp)
		}
		if got, err := s.next(); got != stamp || err != nil {
			t.Errorf("next returned %d, %v, want %d", got, err, stamp)
		}
	}
	want(1000)
	want(1001)
	now = time.UnixMilli(500) // set back
	want(1002)
	applied = 7000 // an earlier leader's clock was ahead
	want(7001)
	now = time.UnixMilli(9000)
	want(9000)
}

// Entries that follow each other quickly must not move the stamps into the future.
func TestStampsDontRunAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := testStamper(time.Now)
		for range 100 {
			s.pace()
			if stamp, err := s.next(); err != nil || stamp > consent.TimeOf(time.Now()) {
				t.Fatalf("stamp %d, %v, and the clock says %d", stamp, err, consent.TimeOf(time.Now()))
			}
		}
	})
}

// A clock is followed as far as the time that has passed, or the last stamp, can account for it.
func TestWrongClockIsntFollowed(t *testing.T) {
	const day = 24 * time.Hour
	tests := []struct {
		name    string
		passed  time.Duration // since the start, by the monotonic clock
		ahead   time.Duration // the wall clock, of that
		applied time.Duration // the last stamp, of the start
		refused bool
	}{
		{"a right clock", 300 * day, 0, 0, false},
		{"set by a day", 0, day, 0, false},
		{"set by more", 0, day + time.Millisecond, 0, true},
		{"set by more, later", 300 * day, day + time.Millisecond, 0, true},
		{"the last leader's clock was ahead, too", 0, 9 * day, 8 * day, false},
		{"set back", 300 * day, -299 * day, 0, false},
		{"far behind the last stamp", 0, -299 * day, 8 * day, false},
		{"in the year 2300, with all others", 0, 274 * 365 * day, 274 * 365 * day, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
				wall := start
				s := testStamper(func() time.Time { return wall })
				s.applied = func() consent.Time { return consent.TimeOf(start.Add(tt.applied)) }
				<-time.After(tt.passed)
				wall = start.Add(tt.passed + tt.ahead)
				stamp, err := s.next()
				if _, peeked := s.peek(); errors.Is(err, ErrClock) != tt.refused || errors.Is(peeked, ErrClock) != tt.refused {
					t.Fatalf("next returned %s, %v, and peek %v, want it refused: %t", stamp, err, peeked, tt.refused)
				}
				wall = start.Add(tt.passed) // set right
				if _, err := s.next(); err != nil && tt.applied < 100*365*day {
					t.Errorf("after the clock was set: %v", err)
				}
			})
		})
	}
}

// wrongClock opens a node whose clock is ahead by what the returned number says, and whose messages go to the returned buffer.
func wrongClock(t *testing.T) (o Options, ahead *atomic.Int64, log *bytes.Buffer) {
	t.Helper()
	ahead, log = new(atomic.Int64), new(bytes.Buffer)
	o = memoryOptions(t, vfs.NewMem())
	o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	o.Logger = slog.New(slog.NewTextHandler(log, nil))
	return o, ahead, log
}

// A stamp that no replica can apply would stop all of them for good. So it mustn't come into the log.
func TestWrongClockStopsWrites(t *testing.T) {
	for _, jump := range []time.Duration{250 * 365 * 24 * time.Hour, 48 * time.Hour} {
		o, ahead, log := wrongClock(t)
		n := openNode(t, o)
		first := mustWrite(t, n, grant(t, "anna"))
		ahead.Store(int64(jump))
		w := grant(t, "bert")
		if _, err := n.Write(t.Context(), w); !errors.Is(err, consent.ErrNotWritten) || !errors.Is(err, ErrClock) {
			t.Errorf("write with a clock %s ahead: %v", jump, err)
		}
		if _, err := n.Preview(t.Context(), w); !errors.Is(err, consent.ErrNotReady) || !errors.Is(err, ErrClock) {
			t.Errorf("preview with a clock %s ahead: %v", jump, err)
		}
		ahead.Store(0)
		if got := mustWrite(t, n, w); got.Stamp-first.Stamp > consent.Time(time.Minute/time.Millisecond) {
			t.Errorf("stamps jumped from %s to %s", first.Stamp, got.Stamp)
		}
		closeNode(t, n)
		for _, message := range []string{"nothing is written until the clock is set", "the clock is right again"} {
			if !strings.Contains(log.String(), message) {
				t.Errorf("nobody was told that %s", message)
			}
		}
		closeNode(t, openNode(t, o)) // and it starts again
	}
}

// A node that starts with a wrong clock waits with its term start, and then leads without an election.
func TestStartWithWrongClock(t *testing.T) {
	o, ahead, _ := wrongClock(t)
	ahead.Store(int64(250 * 365 * 24 * time.Hour))
	n, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the term start to be refused", func() bool {
		n.clock.mu.Lock()
		defer n.clock.mu.Unlock()
		return n.clock.refused
	})
	if err := n.Ready(); !errors.Is(err, consent.ErrNotReady) {
		t.Errorf("Ready with a wrong clock: %v", err)
	}
	term := n.Stats().Term
	ahead.Store(0)
	waitReady(t, n)
	mustWrite(t, n, grant(t, "anna"))
	if got := n.Stats().Term; got != term {
		t.Errorf("term %d, and it was %d: there was an election", got, term)
	}
	closeNode(t, n)

	ahead.Store(int64(250 * 365 * 24 * time.Hour))
	if n, err = Open(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	closeNode(t, n) // which doesn't wait for the clock
}
