package server

import (
	"context"
	"io"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	peerv1 "github.com/consentd/consentd/proto/peer/v1"
)

// State is what checks need of the process they run in: the cluster's node on a replica, the SDK's near cache on a sidecar.
type State interface {
	// View returns the newest state that meets the consistency, or ErrStale, ErrNotReady, ErrEpoch, or the context's error.
	View(ctx context.Context, c consent.Consistency) (consent.View, error)
	// Record returns what is recorded of a subject, in buf or allocated if it is long; nil if nothing is. It is at least as new as any
	// View loaded before.
	Record(ctx context.Context, t *consent.Tenant, subject string, buf *consent.Buffer) (consent.Record, error)
}

// Several is a State that reads several records at once, as a replica's does.
type Several interface {
	State
	// Records fills in what Record returns for each of up to consent.BlockSize subjects, in less time than one by one.
	Records(ctx context.Context, t *consent.Tenant, subjects []string, into *consent.Block) error
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
	// ClusterBound returns the cluster's staleness bound, which may be higher than the one of Views, or 0 while it isn't known.
	ClusterBound() time.Duration
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

// Cluster is what running a cluster needs. Any replica can be asked; it passes on what only the leader can do.
type Cluster interface {
	// Status returns the members and how they are, as far as that can be found out.
	Status(ctx context.Context) (*consentv1.GetClusterStatusResponse, error)
	// Join makes a new replica join the cluster of the first that answers at addresses of the API, and returns the cluster's id.
	Join(ctx context.Context, addresses []string) (clusterID string, err error)
	// RemoveMember takes a replica out of the cluster.
	RemoveMember(ctx context.Context, id string) error
	// PromoteMember makes a learner that has caught up a voter.
	PromoteMember(ctx context.Context, id string) error
	// DemoteMember makes a voter a learner.
	DemoteMember(ctx context.Context, id string) error
	// TransferLeadership makes another voter the leader, any for an empty id, and returns its id.
	TransferLeadership(ctx context.Context, id string) (leader string, err error)
	// TakeSnapshot takes a snapshot of this replica, and returns the index that it covers.
	TakeSnapshot(ctx context.Context) (index uint64, err error)
	// BackUp writes a consistent copy of everything, as new as the call.
	BackUp(ctx context.Context, w io.Writer) error
	// Restore replaces everything by a backup. What isn't a whole one changes nothing, and neither does an error of the reader.
	Restore(ctx context.Context, replace bool, r io.Reader) (*consentv1.RestoreResponse, error)
}

// Watching is what near caches need of a replica. Positions are those of one replicated state, whichever replica they are from.
type Watching interface {
	// Changes returns what changed after a position, up to the newest one or, with many subjects, up to an earlier one; if the position is
	// zero, the newest one with all tenants. It returns the position as it is if nothing changed after it here, and ErrEpoch,
	// ErrPositionGone, or ErrOverrun of who fell behind. Subjects are in space, as far as that reaches.
	Changes(after consent.Revision, most int, space []consent.Touched) (consent.Changes, error)
	// Beyond returns a channel that is closed once there may be changes after a position. Who doesn't wait any more calls leave.
	Beyond(index uint64) (reached <-chan struct{}, leave func())
	// Fill returns a copy of a subject's record, exactly as it is at one position that is at least as new as the one given. The id is used
	// as it is.
	Fill(ctx context.Context, tenant, subject string, atLeast consent.Revision) (consent.Filled, error)
	// ClusterBound returns the staleness bound of the cluster.
	ClusterBound() time.Duration
}

// Discovery is what replicas ask of each other before they belong to one cluster. It is asked also while this one isn't ready.
type Discovery interface {
	// Introduce returns who this replica is.
	Introduce(ctx context.Context) (*peerv1.IntroduceResponse, error)
	// Promise binds this replica, while it is new, to the one that founds a cluster.
	Promise(ctx context.Context, promise *peerv1.PromiseRequest) error
	// Enrol takes a new replica into the cluster.
	Enrol(ctx context.Context, enrol *peerv1.EnrolRequest) (*peerv1.EnrolResponse, error)
}
