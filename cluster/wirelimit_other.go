//go:build !linux

package cluster

import (
	"syscall"
	"time"
)

// setUnacknowledgedLimit does nothing, because there is no portable way to.
func setUnacknowledgedLimit(syscall.Conn, time.Duration) error { return nil }
