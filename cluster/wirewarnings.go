package cluster

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"
)

const (
	warnEvery    = time.Minute
	maxWarnedFor = 1024 // addresses to remember
)

// warnings writes no more than one warning a minute about each address, however often it knocks. The others are at level debug.
type warnings struct {
	log *slog.Logger
	now func() time.Time

	mu   sync.Mutex
	last map[string]time.Time
}

func newWarnings(log *slog.Logger, now func() time.Time) *warnings {
	return &warnings{log: log, now: now, last: map[string]time.Time{}}
}

// warn writes a warning about a remote address.
func (w *warnings) warn(about net.Addr, message string, args ...any) {
	level := slog.LevelDebug
	if w.due(hostOf(about)) {
		level = slog.LevelWarn
	}
	w.log.Log(context.Background(), level, message, append([]any{"remote", about.String()}, args...)...)
}

// due reports whether a host may be warned about now. Where there are too many to remember, the world is warned about as one.
func (w *warnings) due(host string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	if _, known := w.last[host]; !known && len(w.last) >= maxWarnedFor {
		for other, at := range w.last {
			if now.Sub(at) >= warnEvery {
				delete(w.last, other)
			}
		}
		if len(w.last) >= maxWarnedFor {
			host = ""
		}
	}
	if at, known := w.last[host]; known && now.Sub(at) < warnEvery {
		return false
	}
	w.last[host] = now
	return true
}

func hostOf(address net.Addr) string {
	if host, _, err := net.SplitHostPort(address.String()); err == nil {
		return host
	}
	return address.String()
}
