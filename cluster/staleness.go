package cluster

import (
	"cmp"
	"errors"
	"log/slog"
	"time"

	"github.com/consentd/consentd/consent"
)

// staleness tells in the log when checks turn STALE, and when they are answered again. Where that goes to and fro it tells of one in ten
// seconds, of a lasting one in any case: it is judged again after each round.
type staleness struct {
	log   *slog.Logger
	turns *rarely
	since time.Time // when the checks turned STALE that was told of; zero while they are answered, or it wasn't told
}

// errHeldUp is why a proof grew old though no round has failed.
var errHeldUp = errors.New("no round was held in time: this process was suspended, or the machine is overloaded")

func newStaleness(log *slog.Logger, now func() time.Time) *staleness {
	return &staleness{log: log, turns: newRarely(complainEvery, now)}
}

// tell says what has changed, if anything has. failed is why the last round has proven nothing, nil if it has.
func (s *staleness) tell(f *freshness, failed error) {
	switch err := f.ready(); {
	case errors.Is(err, consent.ErrStale) && s.since.IsZero():
		if p := f.proof.Load(); p != nil && s.turns.due("") {
			s.since = p.asOf.Add(f.bound())
			s.log.Warn("checks are STALE until the state is proven to be the newest again", "since", s.since, "why", cmp.Or(failed, errHeldUp))
		}
	case err == nil && !s.since.IsZero():
		s.log.Info("checks are answered again", "stale_for", f.now().Sub(s.since).Round(time.Millisecond))
		s.since = time.Time{}
	}
}
