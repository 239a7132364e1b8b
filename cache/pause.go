//go:build !race

package cache

// pausing says whether pauses do anything.
const pausing = false

// pauses are where a test stops a reader or the publisher, to let others go ahead. Only builds with the race detector have them.
type pauses struct{}

func (pauses) at(string) {}
