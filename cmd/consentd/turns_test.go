package main

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// TestTurnsAreToldNowAndThen: each second checks turn STALE, and are answered again half a second later, but for the last time.
func TestTurnsAreToldNowAndThen(t *testing.T) {
	var log strings.Builder
	turns := turns{log: slog.New(slog.NewTextHandler(&log, nil))}
	now := time.Now()
	for range 30 {
		turns.see(now, errors.New("held up"))
		turns.see(now.Add(500*time.Millisecond), nil)
		now = now.Add(time.Second)
	}
	for range 30 {
		turns.see(now, errors.New("lost"))
		now = now.Add(time.Second)
	}
	stale, again := strings.Count(log.String(), "checks are STALE"), strings.Count(log.String(), "checks are answered again")
	if stale != 4 || again != 3 || strings.Count(log.String(), "why=lost") != 1 || strings.Count(log.String(), "stale_for=500ms") != 3 {
		t.Errorf("%d times STALE and %d times not:\n%s", stale, again, log.String())
	}
}
