package cache

import (
	"context"
	"sync"
)

// flights are the fills under way, one for each subject.
type flights struct {
	mu sync.Mutex
	of map[key]*flight
}

// flight is one fill. What it brings is valid once it has landed.
type flight struct {
	epoch     uint64
	landed    chan struct{}
	brought   entry
	err       error
	abandoned bool // by the caller who made it: it says nothing to others
}

// join returns the subject's flight within an epoch, and whether the caller is the one who makes it.
func (f *flights) join(k key, epoch uint64) (fl *flight, mine bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl = f.of[k]; fl != nil && fl.epoch == epoch {
		return fl, false
	}
	if f.of == nil {
		f.of = map[key]*flight{}
	}
	fl = &flight{epoch: epoch, landed: make(chan struct{}), abandoned: true}
	f.of[k] = fl
	return fl, true
}

// land lets those go who wait for the flight.
func (f *flights) land(k key, fl *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of[k] == fl {
		delete(f.of, k)
	}
	close(fl.landed)
}

// share returns what the subject's flight brings, and makes one with fill if there is none. A flight that ended with the context of its maker
// brings a nil entry to the others, who try again.
func (f *flights) share(ctx context.Context, k key, epoch uint64, fill func() (entry, error)) (entry, error) {
	fl, mine := f.join(k, epoch)
	if !mine {
		select {
		case <-fl.landed:
		case <-ctx.Done():
			return entry{}, context.Cause(ctx)
		}
		if fl.abandoned {
			return entry{}, nil
		}
		return fl.brought, fl.err
	}
	defer f.land(k, fl) // also when fill panics, with nothing brought
	fl.brought, fl.err = fill()
	fl.abandoned = ctx.Err() != nil
	return fl.brought, fl.err
}
