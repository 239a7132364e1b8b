package consent

import (
	"errors"
	"fmt"
)

// What a replica or a sidecar answers when it can't decide or can't write. None of them is ever a permission.
var (
	// ErrStale is returned when the state here is older than the question or the staleness bound allows.
	ErrStale = errors.New("the state here is older than allowed: ask again, or ask another replica")
	// ErrNotReady is returned before the first proof that the state is the newest, and while shutting down.
	ErrNotReady = errors.New("not ready yet: ask again")
	// ErrEpoch is returned for a revision of another epoch: a backup was restored since, or it is another cluster's.
	ErrEpoch = errors.New("the revision is of another epoch, as after a backup was restored: read again, and use the revision of that reply")
	// ErrNotWritten is returned when a write has certainly not happened, and may be tried again.
	ErrNotWritten = errors.New("not written: try again")
	// ErrOutcomeUnknown is returned when a write may or may not have happened.
	ErrOutcomeUnknown = errors.New("it isn't known whether this was written: repeat it with the same request id")
	// ErrOverloaded is returned when too many writes are waiting.
	ErrOverloaded = errors.New("too much to do: wait, then try again")
	// ErrRequestReused is returned for a request id that came before with another payload.
	ErrRequestReused = errors.New("the request id was used before for something else: choose a new one")
	// ErrRequestExpired is returned for a request id older than those remembered, which may have been executed already.
	ErrRequestExpired = errors.New("the request id is too old to tell whether it was executed: look at the record, then use a new one")
	// ErrRequestFuture is returned for a request id whose time is too far ahead of the leader's clock.
	ErrRequestFuture = errors.New("the request id's time lies in the future: set the clock that made it")
	// ErrETag is returned when another version of the policy is the newest than the one named.
	ErrETag = errors.New("the newest version of the policy is another one: read it, merge, and put again with its etag")
	// ErrUnknownTenant is returned when nothing was ever written for a tenant.
	ErrUnknownTenant = errors.New("nothing is known of this tenant: put a policy first")
	// ErrUnknownVersion is returned when the tenant has no policy of that version.
	ErrUnknownVersion = errors.New("there is no such version of the policy: list them")
	// ErrStorageFull is returned for writes while the disk has less free space than the floor.
	ErrStorageFull = errors.New("the disk is nearly full, so nothing is written: free some space, and writes go on by themselves")
	// ErrNoLeader is returned for what only a leader can do while there is none that can be reached.
	ErrNoLeader = errors.New("no leader can be reached: ask again in a moment, and look at the cluster's status if that lasts")
	// ErrUnreached is returned when a call to another replica can't have arrived there. After any other error of a call it may have.
	ErrUnreached = errors.New("the replica can't be reached: try again, or look at the cluster's status")
	// ErrUnknownMember is returned when a cluster has no member of that id.
	ErrUnknownMember = errors.New("the cluster has no such member: look at its status")
	// ErrMembership is returned for a change of the members that can't or mustn't be made now. What wraps it says why.
	ErrMembership = errors.New("the members can't be changed so")
	// ErrPositionGone is returned for a position of the state after which not all changes are remembered: what was copied before counts no more.
	ErrPositionGone = errors.New("not all that changed after this position is remembered: begin anew")
	// ErrOverrun is the ErrPositionGone of who was following, and has fallen too far behind.
	ErrOverrun = fmt.Errorf("more has changed than is remembered: %w", ErrPositionGone)
	// ErrBackup is returned for a file that isn't a whole, unaltered backup, or not one that can be restored here. What wraps it says why.
	ErrBackup = errors.New("the backup can't be used")
)

// StaleError is an ErrStale that says how far the state here is.
type StaleError struct {
	Reached Revision
}

func (e *StaleError) Error() string {
	return "the state here is only at " + e.Reached.String() + ", older than the question allows: ask again, or ask another replica"
}

// Unwrap returns ErrStale.
func (e *StaleError) Unwrap() error { return ErrStale }
