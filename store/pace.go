package store

import "time"

// pace keeps long work that checks and writes go on beside to a quarter of a processor: it works for a quarter of a millisecond, and then
// rests three times as long.
//
// The obvious way is to let the scheduler share. But a check through gRPC is handed from goroutine to goroutine, and one that never waits
// is in the way of each: Go's scheduler takes a processor from it after 10 ms only, and what a socket has to read is seen when a processor
// has nothing else to do. And the operating system stops a thread that uses up its time, with all goroutines that wait behind the one
// it runs, where it lets one go on at once that has slept. runtime.Gosched helps with neither.
type pace struct {
	since time.Time // when the last rest ended
	done  int       // bytes since the clock was read
}

const (
	paceSpan  = 250 * time.Microsecond
	paceRest  = 3 * paceSpan
	paceBytes = 4 << 10 // some 20 µs of work, so that reading the clock costs nothing
)

func newPace() *pace { return &pace{since: time.Now()} }

// unpaced is the pace of a start, beside which nothing goes on.
func unpaced() *pace { return nil }

// worked is called after so many bytes of work, and rests if it is time to. No pace never rests.
func (p *pace) worked(bytes int) {
	if p == nil {
		return
	}
	if p.done += bytes; p.done < paceBytes {
		return
	}
	p.done = 0
	if time.Since(p.since) < paceSpan {
		return
	}
	time.Sleep(paceRest)
	p.since = time.Now()
}
