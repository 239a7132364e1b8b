package cluster

import (
	"context"
	"log/slog"
	"time"
)

const (
	// tellInterval is how often the log says what a replica waits for.
	tellInterval = 3 * time.Second
	// longWait is after how long a wait is a warning: somebody may have to do something.
	longWait = 30 * time.Second
)

// progress tells in the log what a replica waits for: at once, and then now and then.
type progress struct {
	log   *slog.Logger
	began time.Time // zero while nothing is waited for
	told  time.Time
}

// tell says what is waited for, unless something was said a moment ago.
func (p *progress) tell(what string, fields ...any) {
	now := time.Now()
	if p.began.IsZero() {
		p.began = now
	}
	if now.Sub(p.told) < tellInterval {
		return
	}
	p.told = now
	level := slog.LevelInfo
	if waited := now.Sub(p.began); waited >= longWait {
		level, fields = slog.LevelWarn, append(fields, "for", waited.Round(time.Second))
	}
	p.log.Log(context.Background(), level, what, fields...)
}

// done says that nothing is waited for any more.
func (p *progress) done() { p.began = time.Time{} }
