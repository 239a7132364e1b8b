package cluster

import (
	"log/slog"
	"time"
)

// tellInterval is how often the log says what a replica waits for.
const tellInterval = 3 * time.Second

// progress tells in the log what a replica waits for: at once, and then now and then.
type progress struct {
	log  *slog.Logger
	told time.Time
}

// tell says what is waited for, unless something was said a moment ago.
func (p *progress) tell(what string, fields ...any) {
	if time.Since(p.told) < tellInterval {
		return
	}
	p.told = time.Now()
	p.log.Info(what, fields...)
}
