package server

import (
	"context"
	"errors"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// A sidecar holds the records of some subjects only. A single check is answered here always: its record is fetched if it isn't held. Of a
// batch or a chunk, fetching them one by one would take longer than asking a replica for all of it: it is answered here if everything is
// held, and else passed on whole, so that its answers are of one state.

// Near is the State of a sidecar.
type Near interface {
	State
	// Look returns what Record would, and the View that it is exactly of. If the tenant in it isn't t any more, another policy took effect.
	Look(ctx context.Context, t *consent.Tenant, subject string) (consent.View, consent.Record, error)
	// Held returns what Look would, if that is here. It fetches nothing and waits for nothing.
	Held(t *consent.Tenant, subject string) (consent.View, consent.Record, bool)
}

// isHeld reports whether a subject's record is here. Of an id that can't be used it is: nothing is missing for the answer, which says so.
func (c *core) isHeld(t *consent.Tenant, subject string) bool {
	form, usable := consent.Door(subject, t.KeepsCase())
	if !usable {
		return true
	}
	_, _, held := c.near.Held(t, form)
	return held
}

// holdsBatch reports whether a batch can be answered from what is here. On a replica every one can.
func (c *core) holdsBatch(t *consent.Tenant, r *consentv1.BatchCheckRequest) bool {
	if c.near == nil {
		return true
	}
	for _, q := range r.GetQuestions() {
		if !c.isHeld(t, q.GetSubject()) {
			return false
		}
	}
	return true
}

// holdsChunk reports the same of a chunk's subjects.
func (c *core) holdsChunk(t *consent.Tenant, ids idList) bool {
	if c.near == nil {
		return true
	}
	for i := range ids.len() {
		if !c.isHeld(t, ids.next(i)) {
			return false
		}
	}
	return true
}

// isElsewhere reports whether an error says that the tenant is unknown, where a replica may know it: a sidecar may be told of some only.
func (c *core) isElsewhere(err error) bool {
	return c.near != nil && errors.Is(err, consent.ErrUnknownTenant)
}
