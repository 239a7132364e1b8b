package store

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestPace works in steps, which take time by the bubble's clock, and a quarter to a third of all time.
func TestPace(t *testing.T) {
	for _, step := range []time.Duration{20 * time.Microsecond, 300 * time.Microsecond, paceSpan} {
		synctest.Test(t, func(t *testing.T) {
			began, p := time.Now(), newPace()
			const steps = 1000
			for range steps {
				time.Sleep(step)
				p.worked(paceBytes / 2)
				p.worked(paceBytes / 2)
			}
			working := steps * step
			if rested := time.Since(began) - working; rested > 3*working || rested < 2*working {
				t.Errorf("steps of %s: %s of work and %s of rest", step, working, rested)
			}
		})
	}
	unpaced().worked(1 << 30)
}
