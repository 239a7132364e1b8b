// Package clocktest makes the times of machines that were suspended, for tests.
package clocktest

import (
	"time"
	"unsafe"
)

// MonotonicStoodStill returns a time with more on its wall clock, and no more on its monotonic one. The standard library offers no way to
// make such a time; its first words are those of package time, as of Go 1.26.
func MonotonicStoodStill(t time.Time, wall time.Duration) time.Time {
	t = t.Add(wall)
	(*struct {
		wall uint64
		ext  int64
		_    *time.Location
	})(unsafe.Pointer(&t)).ext -= int64(wall)
	return t
}
