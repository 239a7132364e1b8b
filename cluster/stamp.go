package cluster

import (
	"sync"
	"time"

	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/store"
)

// stamper gives entries their time: the wall clock's, but always later than all stamps before, by this leader or an earlier one.
type stamper struct {
	now     func() time.Time
	applied func() consent.Time // the stamp of the last entry applied here

	mu   sync.Mutex
	last consent.Time
}

func newStamper(now func() time.Time, s *store.Store) *stamper {
	return &stamper{now: now, applied: func() consent.Time { return s.Head().Stamp }}
}

// next returns max(wall clock, last stamp + 1 ms).
func (s *stamper) next() consent.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = s.after(s.last)
	return s.last
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
func (s *stamper) peek() consent.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.after(s.last)
}

func (s *stamper) after(last consent.Time) consent.Time {
	return max(consent.TimeOf(s.now()), last+1, s.applied()+1)
}
