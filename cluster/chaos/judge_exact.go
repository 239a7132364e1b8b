package chaos

import (
	"cmp"
	"math"
	"slices"

	"github.com/consentd/consentd/consent"
)

// JudgeExact compares every check with what is recorded: an answer at a revision is that of the state at the revision, or at a later one that
// it can have been of. Who answers reads the revision first and the record then, so the record may be newer; but not newer than what who
// answered had come to then, if that is known, and in no case of a write that began after the answer. A near cache says what it had come
// to, so that mostly one state is left.
//
// Of an epoch that a restore has ended, only what was acknowledged is known. Subjects of whom more may have been written are left out, and the
// policy, of which nobody can tell any more which of two versions in one entry was the last.
func JudgeExact(h *History) error {
	v := &verdict{judge: "exactness"}
	timelines := h.timelines()
	for i := range h.Ops {
		o := &h.Ops[i]
		if o.Kind != Check {
			continue
		}
		t := timelines[place{o.Revision.Epoch, o.Subject}]
		if t != nil && t.known(o) && !t.allows(o) {
			v.fault("%s, and no state was so from there on, up to %d", o, t.end(o))
		}
	}
	return v.err()
}

// place is a subject in an epoch.
type place struct {
	epoch   uint64
	subject string
}

// timeline is how a subject's consent changed.
type timeline struct {
	changes []change
	guesses []*Op // writes that may be missing
}

// change is what the consent was from an index on.
type change struct {
	index uint64
	stamp consent.Time
	write *Op
}

func (c change) granted() bool { return c.write.Kind == Grant }

// timelines returns one for each subject in each epoch.
func (h *History) timelines() map[place]*timeline {
	all := map[place]*timeline{}
	for i := range h.Ops {
		all[place{h.Ops[i].Revision.Epoch, h.Ops[i].Subject}] = &timeline{}
	}
	writes, final := map[string]*Op{}, h.epoch()
	for i := range h.Ops {
		o := &h.Ops[i]
		if o.Kind == Check || o.Outcome == NotDone {
			continue
		}
		writes[o.Reference] = o
		for at, t := range all {
			switch {
			case at.epoch == final || at.subject != o.Subject:
			case o.Outcome == Done && o.Revision.Epoch == at.epoch && o.Subject != PolicySubject:
				t.changes = append(t.changes, change{o.Revision.Index, o.Stamp, o})
			default:
				t.guesses = append(t.guesses, o)
			}
		}
	}
	for subject, events := range h.anyRecorded() {
		for _, e := range events {
			if t := all[place{final, subject}]; t != nil && writes[e.Reference] != nil {
				t.changes = append(t.changes, change{e.Revision.Index, e.Stamp, writes[e.Reference]})
			}
		}
	}
	for at, t := range all {
		t.settle(at.subject)
	}
	return all
}

// settle leaves one change for each index, in order: the latest, and a withdrawal before a grant of the same time. Of two versions of the
// policy in one entry the last one recorded counts, whatever it says.
func (t *timeline) settle(subject string) {
	slices.Reverse(t.changes)
	slices.SortStableFunc(t.changes, func(a, b change) int {
		order := cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(b.stamp, a.stamp))
		if subject == PolicySubject {
			return order
		}
		return cmp.Or(order, cmp.Compare(b.write.Kind, a.write.Kind))
	})
	t.changes = slices.CompactFunc(t.changes, func(a, b change) bool { return a.index == b.index })
}

// known reports whether nothing else can have changed what a check was of than what the timeline has.
func (t *timeline) known(check *Op) bool {
	return !slices.ContainsFunc(t.guesses, func(o *Op) bool { return o.Call <= check.Return })
}

// end returns the highest index that a check's answer can be of.
func (t *timeline) end(check *Op) uint64 {
	if check.Upto > 0 {
		return check.Upto
	}
	end := check.Revision.Index
	for _, c := range t.changes {
		if c.write.Call <= check.Return {
			end = max(end, c.index)
		}
	}
	return end
}

// allows reports whether a check's answer was true at its revision, or at a later index that it can be of.
func (t *timeline) allows(check *Op) bool {
	from, end := check.Revision.Index, t.end(check)
	for i, c := range t.changes {
		if c.granted() == check.Allowed && c.index <= end && t.until(i) > from {
			return true
		}
	}
	return !check.Allowed && t.until(-1) > from
}

// until returns the index at which a change, or the beginning for -1, is overtaken by the next.
func (t *timeline) until(i int) uint64 {
	if i+1 == len(t.changes) {
		return math.MaxUint64
	}
	return t.changes[i+1].index
}
