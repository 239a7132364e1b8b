package store

import "sync"

// failure is the first error after which a store can't go on.
type failure struct {
	once     sync.Once
	told     chan error    // holds it
	happened chan struct{} // closed once it is there
	first    error         // valid then
}

func newFailure() failure { return failure{told: make(chan error, 1), happened: make(chan struct{})} }

// report returns whether an error is the first.
func (f *failure) report(err error) (first bool) {
	f.once.Do(func() {
		first, f.first = true, err
		close(f.happened)
		f.told <- err
	})
	return first
}
