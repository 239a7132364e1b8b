package server

import (
	"context"
	"errors"

	"github.com/consentd/consentd/consent"
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

// held returns a subject's record if it is here, and t is the tenant of the state that it is exactly of.
func (c *core) held(t *consent.Tenant, subject string) (exact consent.View, record consent.Record, here bool) {
	exact, record, here = c.near.Held(t, subject)
	return exact, record, here && exact.Tenants[t.Name] == t
}

// isElsewhere reports whether an error says that the tenant is unknown, where a replica may know it: a sidecar may be told of some only.
func (c *core) isElsewhere(err error) bool {
	return c.near != nil && errors.Is(err, consent.ErrUnknownTenant)
}
