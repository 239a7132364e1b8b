package bench

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// beOnTime gives the calling goroutine a thread of its own, which the kernel wakes to the microsecond: the runtime's timers are late by up to a
// millisecond when little else happens. What it returns undoes that.
func beOnTime() (done func()) {
	runtime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // or else it is woken some 50 µs late, which lateness shows
	return func() {
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0)
		runtime.UnlockOSThread()
	}
}

// sleep may return early, by a signal.
func sleep(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil)
}
