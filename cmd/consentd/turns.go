package main

import (
	"log/slog"
	"time"
)

// turnsEvery is how often a log is told at most that checks turn STALE.
const turnsEvery = 10 * time.Second

// turns tell in the log when checks turn STALE, and when they are answered again. Of what goes to and fro they tell now and then, of what lasts
// in any case.
type turns struct {
	log   *slog.Logger
	since time.Time // when the checks turned STALE that was told of; zero while they are answered, or it wasn't told
	told  time.Time
}

// see looks at why checks aren't answered now; nil while they are.
func (t *turns) see(now time.Time, why error) {
	switch {
	case why == nil && !t.since.IsZero():
		t.log.Info("checks are answered again", "stale_for", now.Sub(t.since).Round(time.Millisecond))
		t.since = time.Time{}
	case why != nil && t.since.IsZero() && (t.told.IsZero() || now.Sub(t.told) >= turnsEvery):
		t.since, t.told = now, now
		t.log.Warn("checks are STALE until a replica proves again what the newest state is", "why", why)
	}
}
