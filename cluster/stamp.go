package cluster

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/consentd/consentd/consent"
)

// maxLead is how far the wall clock may be ahead of what is known of the time otherwise.
const maxLead = 24 * time.Hour

// latestStamp is the last that a stamper gives. The state machine takes all up to consent.MaxTime; the room between lets it raise the
// stamps of leaders that don't know the last one.
const latestStamp = consent.MaxTime - consent.Time(maxLead/time.Millisecond)

// stamper gives entries their time: the wall clock's, but always later than all stamps before, by this leader or an earlier one.
//
// A stamp can't be taken back, and none is ever earlier than one before. So a clock that can't be right isn't followed: nothing is
// proposed until it is set. It can't be right past latestStamp, and when it has left both the last stamp and the time that has passed since
// the start far behind. Whether it was right at the start can't be known here.
type stamper struct {
	now     func() time.Time    // the wall clock
	applied func() consent.Time // the stamp of the last entry applied here
	steady  func() time.Time    // the wall clock as it would be if nobody had set it since the start
	log     *slog.Logger

	mu      sync.Mutex
	last    consent.Time
	refused bool // the last call of next
}

func newStamper(now func() time.Time, applied func() consent.Time, log *slog.Logger) *stamper {
	start, began := now(), time.Now()
	return &stamper{
		now: now, applied: applied, log: log,
		steady: func() time.Time { return start.Add(time.Since(began)) }, // by the monotonic clock
	}
}

// next returns max(wall clock, last stamp + 1 ms), or ErrClock.
func (s *stamper) next() (consent.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stamp, err := s.after(s.last)
	s.tell(err)
	if err != nil {
		return 0, err
	}
	s.last = stamp
	return stamp, nil
}

// tell logs that the clock went wrong, and that it is right again.
func (s *stamper) tell(err error) {
	switch {
	case err != nil && !s.refused:
		s.log.Error("nothing is written until the clock is set", "error", err)
	case err == nil && s.refused:
		s.log.Info("the clock is right again, and writes go on")
	}
	s.refused = err != nil
}

// pace waits until next wouldn't run ahead of the clock, which entries do that follow each other within a millisecond. Without it, stamps
// would move into the future under load. It waits for a millisecond at most: a clock that was set back takes longer.
func (s *stamper) pace() {
	s.mu.Lock()
	due := (s.last + 1).Std().Sub(s.now())
	s.mu.Unlock()
	if due > 0 {
		time.Sleep(min(due, time.Millisecond))
	}
}

// peek returns about what next would.
func (s *stamper) peek() (consent.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.after(s.last)
}

func (s *stamper) after(last consent.Time) (consent.Time, error) {
	wall := s.now()
	last = max(last, s.applied())
	stamp := max(consent.TimeOf(wall), last+1)
	if stamp > latestStamp {
		return 0, fmt.Errorf("%w: it reads %s, and the stamp of an entry would be %s: set it", ErrClock, consent.TimeOf(wall), stamp)
	}
	if known := max(last, consent.TimeOf(s.steady())); stamp > known+consent.Time(maxLead/time.Millisecond) {
		return 0, fmt.Errorf("%w: it reads %s, and by the last stamp and the time that has passed it should be near %s: set it, or restart "+
			"this replica if it is right", ErrClock, stamp, known)
	}
	return stamp, nil
}
