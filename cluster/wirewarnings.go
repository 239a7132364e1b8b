package cluster

import (
	"context"
	"log/slog"
	"net"
	"time"
)

const warnEvery = time.Minute

// warnings writes no more than one warning a minute about each address, however often it knocks. The others are at level debug.
type warnings struct {
	log   *slog.Logger
	turns *rarely
}

func newWarnings(log *slog.Logger) *warnings {
	return &warnings{log: log, turns: newRarely(warnEvery, time.Now)}
}

// warn writes a warning about a remote address.
func (w *warnings) warn(about net.Addr, message string, args ...any) {
	level := slog.LevelDebug
	if w.turns.due(hostOf(about)) {
		level = slog.LevelWarn
	}
	w.log.Log(context.Background(), level, message, append([]any{"remote", about.String()}, args...)...)
}

func hostOf(address net.Addr) string {
	if host, _, err := net.SplitHostPort(address.String()); err == nil {
		return host
	}
	return address.String()
}
