package chaos

import (
	"cmp"
	"slices"
	"time"
)

// JudgeRevisions compares the revisions in all replies, in O(n log n):
//
//   - a write's is above every revision that was seen before it began, and so no two writes share one unless they overlapped;
//   - stamps follow revisions: later in the log is later in time, and one entry has one stamp;
//   - a fully consistent check's is at least every revision that was seen before it began, and an at_least's at least the one asked for;
//   - every check's is at least that of every write acknowledged before its data was proven new, as the age in its reply says, and that age
//     is under the bound;
//   - what a replica answers never goes backward, from one check to one that begins after it.
//
// Indexes go on over a restore, so the rules hold across it, but that all that the backup brought stands at one index, with the stamps that it
// had. JudgeRestore looks at epochs.
func JudgeRevisions(h *History) error {
	v := &verdict{judge: "revisions"}
	var answered, writes []*Op
	byReplica := map[string][]*Op{}
	for i := range h.Ops {
		o := &h.Ops[i]
		if !o.answered() {
			continue
		}
		answered = append(answered, o)
		if o.Kind == Check {
			byReplica[o.Replica] = append(byReplica[o.Replica], o)
		} else {
			writes = append(writes, o)
		}
	}
	v.judgeStamps(slices.DeleteFunc(slices.Clone(writes), h.byBackup()))
	v.judgeAges(answered, writes, h.Bound)
	v.judgeSeen(answered)
	for _, checks := range byReplica {
		v.judgeForward(checks)
	}
	return v.err()
}

func (v *verdict) judgeStamps(writes []*Op) {
	slices.SortFunc(writes, func(a, b *Op) int { return cmp.Compare(a.Revision.Index, b.Revision.Index) })
	for i := 1; i < len(writes); i++ {
		before, o := writes[i-1], writes[i]
		if cmp.Compare(before.Stamp, o.Stamp) != cmp.Compare(before.Revision.Index, o.Revision.Index) {
			v.fault("%s is stamped %s, and %s is stamped %s", before, before.Stamp, o, o.Stamp)
		}
	}
}

func (v *verdict) judgeSeen(answered []*Op) {
	followReplies(answered, answered, func(o *Op) time.Duration { return o.Call }, func(o, newest *Op) {
		switch {
		case o.Kind != Check && o.Revision.Index <= newest.Revision.Index:
			v.fault("%s isn't above a revision seen before: %s", o, newest)
		case o.Kind == Check && o.Level == Full && o.Revision.Index < newest.Revision.Index:
			v.fault("%s is below a revision seen before: %s", o, newest)
		}
	})
}

func (v *verdict) judgeAges(answered, writes []*Op, bound time.Duration) {
	checks := slices.DeleteFunc(slices.Clone(answered), func(o *Op) bool { return o.Kind != Check })
	for _, o := range checks {
		if o.Age < 0 || o.Age >= bound {
			v.fault("%s: its data is older than %s", o, bound)
		}
		if o.Level == AtLeast && o.Revision.Index < o.Asked.Index {
			v.fault("%s is below the revision asked for, %d", o, o.Asked.Index)
		}
	}
	proven := func(o *Op) time.Duration { return o.Call - o.Age }
	followReplies(checks, writes, proven, func(o, newest *Op) {
		if o.Revision.Index < newest.Revision.Index {
			v.fault("%s lacks a write acknowledged before its data was proven new: %s", o, newest)
		}
	})
}

// judgeForward judges the checks of one replica.
func (v *verdict) judgeForward(checks []*Op) {
	followReplies(checks, checks, func(o *Op) time.Duration { return o.Call }, func(o, newest *Op) {
		if o.Revision.Index < newest.Revision.Index {
			v.fault("%s goes backward behind %s", o, newest)
		}
	})
}

// followReplies calls judge with each of some calls, and with the reply of the highest revision that had come before a moment of that call.
func followReplies(calls, replies []*Op, moment func(*Op) time.Duration, judge func(o, newest *Op)) {
	calls, replies = slices.Clone(calls), slices.Clone(replies)
	slices.SortFunc(calls, func(a, b *Op) int { return cmp.Compare(moment(a), moment(b)) })
	slices.SortFunc(replies, func(a, b *Op) int { return cmp.Compare(a.Return, b.Return) })
	var newest *Op
	for _, o := range calls {
		for len(replies) > 0 && replies[0].Return < moment(o) {
			if newest == nil || replies[0].Revision.Index > newest.Revision.Index {
				newest = replies[0]
			}
			replies = replies[1:]
		}
		if newest != nil {
			judge(o, newest)
		}
	}
}
