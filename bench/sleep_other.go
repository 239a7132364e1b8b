//go:build !linux

package bench

import "time"

// beOnTime does nothing here: how late it makes requests, the report says.
func beOnTime() (done func()) { return func() {} }

func sleep(d time.Duration) { time.Sleep(d) }
