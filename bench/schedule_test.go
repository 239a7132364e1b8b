package bench

import (
	"math"
	"testing"
	"time"
)

func TestScheduleKeepsItsRate(t *testing.T) {
	for _, arrivals := range []Arrivals{Even, Poisson} {
		s := newSchedule(&Options{Rate: 1000, Arrivals: arrivals, Seed: 7})
		last := time.Duration(-1)
		for i := range uint64(3 * drawnGaps) {
			due := s.due(i)
			if due < last {
				t.Fatalf("%s: request %d is due at %s, before the one before it", arrivals, i, due)
			}
			last = due
		}
		if got, want := last.Seconds(), 3*drawnGaps/1000.0; math.Abs(got-want) > 0.1 {
			t.Errorf("%s: the last is due after %.3f s, want %.3f", arrivals, got, want)
		}
		for _, end := range []time.Duration{0, time.Millisecond, time.Second, 100 * time.Second} {
			n := s.before(end)
			if s.due(n) < end || n > 0 && s.due(n-1) >= end {
				t.Errorf("%s: %d are due before %s", arrivals, n, end)
			}
		}
	}
}

func TestPoissonArrivalsAreDrawn(t *testing.T) {
	s := newSchedule(&Options{Rate: 1000, Arrivals: Poisson, Seed: 7})
	short := 0
	for i := range uint64(10_000) {
		if s.due(i+1)-s.due(i) < time.Millisecond {
			short++
		}
	}
	if share := float64(short) / 10_000; math.Abs(share-(1-1/math.E)) > 0.03 {
		t.Errorf("%.3f of the distances are below the mean, want %.3f", share, 1-1/math.E)
	}
	again := newSchedule(&Options{Rate: 1000, Arrivals: Poisson, Seed: 7})
	if s.due(1234) != again.due(1234) {
		t.Error("the same seed gives another schedule")
	}
}
