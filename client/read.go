package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/consentd/consentd/consent"
)

// read has a question answered: by once, which is told what to demand of the data, and which may be called again after an error. The question
// is also given up when until has come, if that is a time.
func (c *Client) read(ctx context.Context, until time.Time, asked consent.Consistency, once func(consent.Consistency) error) error {
	demand, own := c.demand(asked)
	var tries pauses
	var before error
	for {
		err := since(before, once(demand))
		switch {
		case err == nil:
			return nil
		case c.lanes.ctx.Err() != nil:
			return ErrClosed
		case own && errors.Is(err, consent.ErrEpoch):
			c.written.forget(demand.AtLeast)
			demand, own = c.written.demand(asked)
			continue
		}
		pause, again := tries.read(err)
		if !again || waitUntil(ctx, until, pause) != nil {
			return err
		}
		before = err
	}
}

// since returns an error of the last attempt, and if that was only that time was up, with it what kept the one before from an answer.
func since(before, err error) error {
	if before != nil && isAny(err, context.DeadlineExceeded, context.Canceled) {
		return fmt.Errorf("%w (before: %w)", err, before)
	}
	return err
}

// demand returns what a replica is asked for beside what a question asks: data that includes what this client wrote, and what its near cache has
// answered from, so that who asks twice never sees the state go back.
func (c *Client) demand(asked consent.Consistency) (demand consent.Consistency, own bool) {
	demand, own = c.written.demand(asked)
	if c.near == nil || demand.Full {
		return demand, own
	}
	reached, _ := c.near.Reached()
	if demand == (consent.Consistency{}) || reached.Epoch == demand.AtLeast.Epoch && reached.Index > demand.AtLeast.Index {
		return consent.Consistency{AtLeast: reached}, own || demand == consent.Consistency{}
	}
	return demand, own
}

// until returns when a call is given up whose context doesn't say, and the zero time if it does.
func (c *Client) until(ctx context.Context) time.Time {
	if _, limited := ctx.Deadline(); limited {
		return time.Time{}
	}
	return time.Now().Add(c.o.timeout)
}

// limit gives a context the deadline of until, if there is one.
func limit(ctx context.Context, until time.Time) (context.Context, context.CancelFunc) {
	if until.IsZero() {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, until)
}

func waitUntil(ctx context.Context, until time.Time, d time.Duration) error {
	ctx, cancel := limit(ctx, until)
	defer cancel()
	return wait(ctx, d)
}
