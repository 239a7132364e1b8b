package bench

import (
	"math"
	"math/rand/v2"
	"time"
)

// schedule says when each request is due, from the beginning on. It is made before the first one is sent.
type schedule struct {
	every float64 // nanoseconds
	gaps  []float64
	cycle float64 // what all the gaps make
}

// drawnGaps is how many distances of Poisson arrivals are drawn. Then they begin anew.
const drawnGaps = 1 << 16

func newSchedule(o *Options) schedule {
	s := schedule{every: 1e9 / o.Rate}
	if o.Arrivals == Even {
		return s
	}
	random := rand.New(rand.NewPCG(o.Seed, 3))
	s.gaps = make([]float64, drawnGaps) // the time at which each is due
	for i := range s.gaps {
		s.gaps[i] = s.cycle
		s.cycle += random.ExpFloat64() * s.every
	}
	stretch := drawnGaps * s.every / s.cycle // exactly the rate
	for i := range s.gaps {
		s.gaps[i] *= stretch
	}
	s.cycle *= stretch
	return s
}

// due returns how long after the beginning the i-th request is due.
func (s schedule) due(i uint64) time.Duration {
	if s.gaps == nil {
		return time.Duration(float64(i) * s.every)
	}
	return time.Duration(float64(i/drawnGaps)*s.cycle + s.gaps[i%drawnGaps])
}

// before returns how many requests are due before a time.
func (s schedule) before(t time.Duration) uint64 {
	i := uint64(max(0, math.Floor(float64(t)/s.every)-1))
	for i > 0 && s.due(i) >= t {
		i--
	}
	for s.due(i) < t {
		i++
	}
	return i
}
