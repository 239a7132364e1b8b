//go:build race

package cache

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
)

// schedule runs actors one step at a time, in an order drawn from a seed, inside a synctest bubble. A step ends at the next pause, or when the
// actor waits for another one.
type schedule struct {
	draw   *rand.Rand
	mu     sync.Mutex
	actors map[uint64]*actor // by goroutine
}

func newSchedule(seed int) *schedule { return &schedule{draw: rand.New(rand.NewPCG(uint64(seed), 0))} }

type actor struct {
	resume chan struct{}
	paused bool
	done   bool
}

// pick returns the next choice out of n.
func (s *schedule) pick(n int) int { return s.draw.IntN(n) }

// pause stops the calling actor until it is its turn. Who isn't an actor goes on.
func (s *schedule) pause(string) {
	s.mu.Lock()
	a := s.actors[goroutine()]
	if a != nil {
		a.paused = true
	}
	s.mu.Unlock()
	if a != nil {
		<-a.resume
	}
}

// run lets the actors go to their ends, and reports whether all came there.
func (s *schedule) run(t *testing.T, scripts map[string]func()) bool {
	s.actors = map[uint64]*actor{}
	var all []*actor
	for _, name := range []string{"publisher", "reader", "reader 2"} {
		if scripts[name] != nil {
			all = append(all, s.start(scripts[name]))
		}
	}
	for {
		synctest.Wait()
		var ready []*actor
		done := 0
		s.mu.Lock()
		for _, a := range all {
			switch {
			case a.done:
				done++
			case a.paused:
				ready = append(ready, a)
			}
		}
		s.mu.Unlock()
		if len(ready) == 0 {
			if done < len(all) {
				t.Error("some wait for ever")
			}
			return done == len(all)
		}
		a := ready[s.pick(len(ready))]
		s.mu.Lock()
		a.paused = false
		s.mu.Unlock()
		a.resume <- struct{}{}
	}
}

func (s *schedule) start(script func()) *actor {
	a := &actor{resume: make(chan struct{}), paused: true}
	known := make(chan struct{})
	go func() {
		s.mu.Lock()
		s.actors[goroutine()] = a
		s.mu.Unlock()
		close(known)
		<-a.resume
		script()
		s.mu.Lock()
		a.done = true
		s.mu.Unlock()
	}()
	<-known
	return a
}

// goroutine returns the number of the calling goroutine.
func goroutine() uint64 {
	var text [64]byte
	field := bytes.Fields(text[:runtime.Stack(text[:], false)])[1]
	n, _ := strconv.ParseUint(string(field), 10, 64)
	return n
}
