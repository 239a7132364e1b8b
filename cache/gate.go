package cache

import (
	"runtime"
	"sync/atomic"
	"unsafe"
)

// gate counts those who pass, and once it is shut lets nobody in. It is divided into lanes, so that readers on different processors don't
// write to the same cache line.
type gate struct {
	shut  atomic.Bool
	lanes [laneCount]lane
}

const (
	laneBits  = 6
	laneCount = 1 << laneBits
)

type lane struct {
	entered, left atomic.Uint64
	missed        atomic.Uint64 // how many of those who entered didn't find what they sought
	_             [128 - 3*8]byte
}

// enter lets the caller in, who must leave by the lane returned, and returns whose turn it is there; or nil if the gate is shut.
func (g *gate) enter() (l *lane, turn uint64) {
	l = g.lane()
	turn = l.entered.Add(1)
	if g.shut.Load() {
		l.missed.Add(1)
		l.left.Add(1)
		return nil, 0
	}
	return l, turn
}

// lane returns the lane of the calling goroutine, told by where its stack lies.
func (g *gate) lane() *lane {
	var here byte
	return &g.lanes[uint32(uintptr(unsafe.Pointer(&here))>>11)*0x9E3779B1>>(32-laneBits)]
}

// close shuts the gate and returns once everybody has left. Who is in stays for a lookup, and not for longer.
func (g *gate) close() {
	g.shut.Store(true)
	for i := range g.lanes {
		l := &g.lanes[i]
		for l.left.Load() != l.entered.Load() {
			runtime.Gosched()
		}
	}
}

// passed returns how many have entered, and how many of them missed what they sought.
func (g *gate) passed() (entered, missed uint64) {
	for i := range g.lanes {
		missed += g.lanes[i].missed.Load()
		entered += g.lanes[i].entered.Load()
	}
	return entered, missed
}
