package cluster

import (
	"sync"
	"time"
)

// maxRareKeys is how many keys are remembered.
const maxRareKeys = 1024

// rarely says yes once in a while for each key.
type rarely struct {
	every time.Duration
	now   func() time.Time

	mu   sync.Mutex
	last map[string]time.Time
}

func newRarely(every time.Duration, now func() time.Time) *rarely {
	return &rarely{every: every, now: now, last: map[string]time.Time{}}
}

// due reports whether it is a key's turn. Where there are too many keys to remember, those that come then count as one.
func (r *rarely) due(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if _, known := r.last[key]; !known && len(r.last) >= maxRareKeys {
		for other, at := range r.last {
			if now.Sub(at) >= r.every {
				delete(r.last, other)
			}
		}
		if len(r.last) >= maxRareKeys {
			key = ""
		}
	}
	if at, known := r.last[key]; known && now.Sub(at) < r.every {
		return false
	}
	r.last[key] = now
	return true
}
