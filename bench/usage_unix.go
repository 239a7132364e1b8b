//go:build unix

package bench

import (
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ownCPU returns what this process has used.
func ownCPU() cpu {
	var used unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &used) != nil {
		return cpu{}
	}
	took := time.Duration(used.Utime.Nano() + used.Stime.Nano())
	return cpu{took.Seconds(), true}
}

// openFiles returns how many files the process may have open.
func openFiles() string {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return ""
	}
	return strconv.FormatUint(uint64(limit.Cur), 10) //nolint:unconvert // it is signed elsewhere
}
