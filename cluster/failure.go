package cluster

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// failure is the node's fail-stop: the first fault after which going on would risk a wrong answer. It is told once, and what watches
// it stops at once, so that nothing is written or answered between the fault and the end of the process.
type failure struct {
	log   *slog.Logger
	stop  func() // called at the first fault
	first atomic.Pointer[error]
	told  chan error // holds the first fault
	after *rarely    // a failing database tries again, and fails again, as fast as it can
}

func newFailure(log *slog.Logger, stop func()) *failure {
	return &failure{log: log, stop: stop, told: make(chan error, 1), after: newRarely(complainEvery, time.Now)}
}

// report takes a fault. Those after the first are only logged, and the same one not more than once in ten seconds.
func (f *failure) report(err error) {
	if f.first.CompareAndSwap(nil, &err) {
		f.stop()
		f.told <- err
	}
	if f.after.due(err.Error()) {
		f.log.Error("this replica can't go on", "error", err) // last: where a disk hangs, the log may lie on it
	}
}

// err returns the first fault, or nil.
func (f *failure) err() error {
	if err := f.first.Load(); err != nil {
		return *err
	}
	return nil
}
