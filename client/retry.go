package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/consentd/consentd/consent"
)

const (
	mostReads     = 8 // attempts to have a question answered, over a second or so
	mostShed      = 3 // the same, where there is too much to do already
	shortestPause = 10 * time.Millisecond
	longestPause  = time.Second
)

// mayAskAgain reports whether a question that met an error may be answered a moment later, or by another replica. Questions change nothing, so
// none is harmed by being asked twice.
func mayAskAgain(err error) bool {
	return isAny(err, consent.ErrStale, consent.ErrNotReady, consent.ErrNoLeader, consent.ErrOverloaded)
}

// mayWriteAgain reports whether a write that met an error is worth a repeat with the same request id.
func mayWriteAgain(err error) bool {
	return isAny(err, consent.ErrOutcomeUnknown, consent.ErrNotWritten, consent.ErrNoLeader, consent.ErrNotReady, consent.ErrOverloaded,
		consent.ErrStale)
}

// isElsewhere reports whether an error is about the process that answered, and not about the question.
func isElsewhere(err error) bool {
	return isAny(err, consent.ErrStale, consent.ErrNotReady)
}

// mayBeKnown reports whether a replica may know what the near cache doesn't.
func mayBeKnown(err error) bool { return isElsewhere(err) || errors.Is(err, consent.ErrEpoch) }

func isAny(err error, of ...error) bool {
	for _, one := range of {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}

// pauses are the waits between attempts: none before the second of a question whose replica failed, because another may stand by; then ever
// longer, with jitter, so that many callers don't come back at once.
type pauses struct{ tried int }

// next returns how long to wait before the next attempt.
func (p *pauses) next(err error) time.Duration {
	p.tried++
	var told *Error
	if errors.As(err, &told) && told.RetryAfter > 0 {
		return jittered(told.RetryAfter)
	}
	if p.tried == 1 {
		return 0
	}
	return jittered(min(shortestPause<<min(p.tried-2, 10), longestPause))
}

// read is the same for a question, and says whether it is worth another attempt.
func (p *pauses) read(err error) (pause time.Duration, again bool) {
	if !mayAskAgain(err) {
		return 0, false
	}
	pause = p.next(err)
	return pause, p.tried < mostReads && (p.tried < mostShed || !errors.Is(err, consent.ErrOverloaded))
}

// jittered returns between d and twice as long.
func jittered(d time.Duration) time.Duration { return d + rand.N(d) }

// wait returns the context's error if that ends first.
func wait(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
