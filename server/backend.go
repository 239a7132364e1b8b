package server

import (
	"context"

	"github.com/consentd/consentd/consent"
)

// State is what checks need of the process they run in: the cluster's node on a replica, the SDK's near cache on a sidecar.
type State interface {
	// View returns the newest state that meets the consistency, or ErrStale, ErrNotReady, ErrEpoch, or the context's error.
	View(ctx context.Context, c consent.Consistency) (consent.View, error)
	// Record returns what is recorded of a subject, in buf or allocated if it is long; nil if nothing is. It is at least as new as any
	// View loaded before.
	Record(ctx context.Context, t *consent.Tenant, subject string, buf *consent.Buffer) (consent.Record, error)
}

// Records is what writing and reading records needs.
type Records interface {
	// Write returns once the write can't be lost any more.
	Write(ctx context.Context, w consent.Write) (consent.WriteResult, error)
	// Preview returns what Write would, and writes nothing.
	Preview(ctx context.Context, w consent.Write) (consent.WriteResult, error)
	// History returns a page of a subject's events, and whether more follow.
	History(ctx context.Context, t *consent.Tenant, subject string, page consent.HistoryPage) (events []consent.RecordedEvent, more bool, err error)
	// EachRecord calls f for every record of a tenant, until f returns an error, which it returns.
	EachRecord(ctx context.Context, t *consent.Tenant, f func(consent.Record) error) error
}

// Policies is what putting and reading policies needs.
type Policies interface {
	// PutPolicy returns the version that the document now has, and whether it is a new one.
	PutPolicy(ctx context.Context, p consent.PolicyPut) (v consent.PolicyVersion, changed bool, err error)
	// Policy returns a version, the newest for 0.
	Policy(ctx context.Context, tenant string, version int64) (consent.PolicyVersion, error)
	// PolicyVersions returns up to limit versions below before (0: from the newest), newest first, without documents.
	PolicyVersions(ctx context.Context, tenant string, before int64, limit int) ([]consent.PolicyVersion, error)
}
