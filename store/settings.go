package store

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/consentd/consentd/consent"

	"github.com/cockroachdb/pebble/v2"
)

const (
	maxMemberID = 64
	maxLearners = 1024
)

// settings are what the replicas agree on beside records. They are immutable, and change seldom.
type settings struct {
	bound    time.Duration
	keyCheck [16]byte
	keyed    bool
	learners learners
	nextDue  consent.Time
}

// learners are the ids of the members that stay learners. They are never changed, but replaced.
type learners map[string]struct{}

// set publishes the settings, if they changed.
func (st *state) set(l learners) {
	now := &settings{bound: st.meta.bound, keyCheck: st.meta.keyCheck, keyed: st.meta.keyed, learners: l, nextDue: st.nextDue}
	old := st.settings.Load()
	if old == nil || old.bound != now.bound || old.keyed != now.keyed || old.nextDue != now.nextDue || !maps.Equal(old.learners, l) {
		st.settings.Store(now)
	}
}

// Bound returns the cluster's staleness bound, or 0 before the first term start. It takes no lock.
func (s *Store) Bound() time.Duration { return s.state.Load().settings.Load().bound }

// KeyCheck returns the check value of the cluster's pseudonym key, and whether a term start has set it. It takes no lock.
func (s *Store) KeyCheck() ([16]byte, bool) {
	now := s.state.Load().settings.Load()
	return now.keyCheck, now.keyed
}

// StaysLearner reports whether a member isn't to be made a voter by itself. It takes no lock.
func (s *Store) StaysLearner(id string) bool {
	_, stays := s.state.Load().settings.Load().learners[id]
	return stays
}

// Learners returns the ids of all members that stay learners, sorted, whether or not they are members now.
func (s *Store) Learners() []string {
	return slices.Sorted(maps.Keys(s.state.Load().settings.Load().learners))
}

// NextDue returns when the next evidence that an erasure left is to be removed, which an entry stamped then or later does. It takes no lock.
func (s *Store) NextDue() consent.Time { return s.state.Load().settings.Load().nextDue }

// applyMember changes what is wished of a member.
func (e *entry) applyMember(c *MemberCommand) Result {
	_, before := e.learners[c.ID]
	stays := c.StaysLearner && !c.Removed
	switch {
	case c.ID == "" || len(c.ID) > maxMemberID:
		return e.refuse(ErrMemberID)
	case stays && !before && len(e.learners) >= maxLearners:
		return e.refuse(ErrTooManyMembers)
	case stays != before:
		e.setLearner(c.ID, stays)
	}
	return Result{Revision: e.revision(), Stamp: e.stamp}
}

func (e *entry) setLearner(id string, stays bool) {
	after := maps.Clone(e.learners)
	if stays {
		after[id] = struct{}{}
		e.set(learnerKey(nil, id), nil)
	} else {
		delete(after, id)
		e.fail(e.batch.Delete(learnerKey(nil, id), nil))
	}
	e.learners = after
}

func readLearners(from pebble.Reader) (learners, error) {
	known := learners{}
	err := eachWith(from, []byte{prefixLearner}, func(key, _ []byte) error {
		id := string(key[1:])
		if id == "" || len(id) > maxMemberID {
			return fmt.Errorf("%w: the member %q", ErrLedger, id)
		}
		known[id] = struct{}{}
		return nil
	})
	return known, err
}
