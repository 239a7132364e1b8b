package client

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// publisher is the cache, as far as the change stream keeps it true.
type publisher interface {
	Reached() consent.Revision
	Reset(at consent.Revision, tenants map[string]*consent.Tenant)
	Advance(position uint64, buckets []uint32, tenants []*consent.Tenant)
	Prove(asOf time.Time, bound time.Duration)
}

// reader takes the messages of one change stream, as they come, and publishes what they say.
//
// What is published is always a state that the cluster was in: all of a message, or nothing of it; a reset once all of its parts are there;
// and no message unless all those before it were taken. The first that isn't what has to come next ends the stream: then nothing more of it
// counts, and what was published is whole, but grows old. Another stream goes on from there. So whatever becomes of messages on their
// way, what was published stays true, and they can do no more than keep it from being renewed.
//
// A pong proves what is published, because it comes behind all that changed until the proof, and is only taken for a ping of the same
// stream. A replica may lag behind the one before it: what it proves of an earlier position holds for ours, which has all of that too. But
// nothing here ever goes back: not to an earlier position, and not to an epoch that was left, as a replica that lags may still be in.
//
// A reader has no clock and no goroutine, and is used by one.
type reader struct {
	cache  publisher
	wanted []string // tenants; none: all of them
	bounds *bounds
	pings  *pings
	left   *[]uint64 // epochs that were followed by others
	resets *atomic.Uint64

	sequence uint64
	parts    *parts        // of a reset that isn't whole
	buckets  []uint32      // reused
	caughtUp chan struct{} // closed once that was said
	proven   time.Time     // as of when the latest pong has proven what is here; zero before the first
}

// parts are what has come of a reset.
type parts struct {
	at      consent.Revision
	tenants map[string]*consent.Tenant
}

// errTurn is returned for a message that isn't what has to come next.
var errTurn = errors.New("the change stream is broken")

// errNotProven is why a round has failed whose replica has answered.
var errNotProven = errors.New("the replica can't prove now that its state is the newest")

// take publishes what a message says, or returns an error: then the stream is to end.
func (r *reader) take(m *consentv1.WatchResponse) error {
	if r.sequence++; m.GetSequence() != r.sequence && !bug("take messages out of turn") {
		return fmt.Errorf("%w: message %d came as number %d", errTurn, m.GetSequence(), r.sequence)
	}
	if reset, ok := m.GetMessage().(*consentv1.WatchResponse_Reset_); ok {
		return r.reset(reset.Reset_)
	}
	if at := r.cache.Reached(); r.parts != nil || at == (consent.Revision{}) {
		return fmt.Errorf("%w: message %d came where a reset has to be, or more of one", errTurn, r.sequence)
	}
	switch m := m.GetMessage().(type) {
	case *consentv1.WatchResponse_Changes:
		return r.change(m.Changes)
	case *consentv1.WatchResponse_Pong:
		return r.pong(m.Pong)
	case *consentv1.WatchResponse_CaughtUp:
		if r.hasCaughtUp() {
			return fmt.Errorf("%w: it has caught up twice", errTurn)
		}
		close(r.caughtUp)
		return nil
	default:
		return fmt.Errorf("%w: message %d is of a kind that this version doesn't know", errTurn, r.sequence)
	}
}

// hasCaughtUp may be asked by any goroutine.
func (r *reader) hasCaughtUp() bool {
	select {
	case <-r.caughtUp:
		return true
	default:
		return false
	}
}

// reset takes a reset, or a part of one.
func (r *reader) reset(m *consentv1.WatchReset) error {
	at := consent.Revision{Epoch: m.GetEpoch(), Index: m.GetPosition()}
	if r.parts == nil {
		r.parts = &parts{at: at, tenants: map[string]*consent.Tenant{}}
	}
	if at.Epoch == 0 || at.Index == 0 || at != r.parts.at {
		return fmt.Errorf("%w: a reset to %d of epoch %d is none, or of two minds", errTurn, at.Index, at.Epoch)
	}
	was := r.cache.Reached()
	if was.Epoch == at.Epoch && was.Index > at.Index || slices.Contains(*r.left, at.Epoch) {
		return fmt.Errorf("%w: it was reset to %d of epoch %d, and there was a later one", errTurn, at.Index, at.Epoch)
	}
	for _, t := range m.GetTenants() {
		tenant, err := r.tenant(t, at.Epoch)
		if err != nil {
			return err
		}
		if r.parts.tenants[tenant.Name] != nil {
			return fmt.Errorf("%w: a reset has a tenant twice", errTurn)
		}
		r.parts.tenants[tenant.Name] = tenant
	}
	if m.GetMore() {
		return nil
	}
	r.cache.Reset(at, r.parts.tenants)
	r.parts = nil
	if was.Epoch != at.Epoch {
		*r.left = append(*r.left, was.Epoch)
	}
	r.resets.Add(1)
	return nil
}

func (r *reader) change(m *consentv1.WatchChanges) error {
	at := r.cache.Reached()
	if m.GetPosition() <= at.Index {
		return fmt.Errorf("%w: changes up to %d came after those up to %d", errTurn, m.GetPosition(), at.Index)
	}
	var err error
	if r.buckets, err = appendBuckets(r.buckets[:0], m.GetBuckets()); err != nil {
		return err
	}
	tenants := make([]*consent.Tenant, len(m.GetTenants()))
	for i, t := range m.GetTenants() {
		if tenants[i], err = r.tenant(t, at.Epoch); err != nil {
			return err
		}
	}
	r.cache.Advance(m.GetPosition(), r.buckets, tenants)
	return nil
}

// tenant returns a tenant of a message. One that wasn't asked for can't be used: nothing would tell of its subjects' changes.
func (r *reader) tenant(m *consentv1.WatchTenant, epoch uint64) (*consent.Tenant, error) {
	if len(r.wanted) > 0 && !slices.Contains(r.wanted, m.GetName()) {
		return nil, fmt.Errorf("%w: it has a tenant that wasn't asked for", errTurn)
	}
	return tenantOf(m, epoch)
}

func (r *reader) pong(m *consentv1.WatchPong) error {
	if at := r.cache.Reached(); m.GetPosition() > at.Index {
		return fmt.Errorf("%w: it has come to %d, and what is here to %d", errTurn, m.GetPosition(), at.Index)
	}
	bound := m.GetBound().AsDuration()
	if bound < 0 || m.GetAge() != nil && (m.GetAge().CheckValid() != nil || m.GetAge().AsDuration() < 0 || bound == 0) {
		return fmt.Errorf("%w: a pong has the age %s and the bound %s", errTurn, m.GetAge().AsDuration(), bound)
	}
	ping := r.pings.answer(m.GetId())
	if ping == nil {
		return fmt.Errorf("%w: nothing waits for the pong %d", errTurn, m.GetId())
	}
	if bound > 0 {
		r.bounds.cluster.Store(int64(bound))
	}
	if m.GetAge() == nil {
		ping.ended(errNotProven)
		return nil
	}
	r.proven = ping.sentAt.Add(-m.GetAge().AsDuration())
	if bug("forget the age of a proof") {
		r.proven = ping.sentAt
	}
	r.cache.Prove(r.proven, r.bounds.here())
	ping.ended(nil)
	return nil
}
