package chaos

import (
	"math"
	"time"

	"github.com/consentd/consentd/consent"
)

// Restore is a backup that was brought back while callers went on. What was acknowledged after it was made is lost then, and so is meant
// to be. It divides a history into two eras, each of an epoch of its own.
type Restore struct {
	// When the backup was begun and whole, since the history began.
	Began, Ended time.Duration
	// When bringing it back began, and when that was acknowledged: Never, if it wasn't and has happened all the same.
	Call, Return time.Duration
	// Revision has the new epoch, and the index of the acknowledgement if there was one.
	Revision consent.Revision
}

// Never is when something is acknowledged that isn't.
const Never = time.Duration(math.MaxInt64)

// before reports whether a reply is of the era that the restore has ended.
func (r *Restore) before(o *Op) bool { return r != nil && o.Revision.Epoch != r.Revision.Epoch }

// brought returns the index that all events of the backup stand at: the lowest in the new epoch.
func (h *History) brought() uint64 {
	lowest := uint64(math.MaxUint64)
	for _, events := range h.anyRecorded() {
		for _, e := range events {
			lowest = min(lowest, e.Revision.Index)
		}
	}
	return lowest
}

// byBackup returns whether a write was answered by what the backup remembers of it.
func (h *History) byBackup() func(*Op) bool {
	brought := h.brought()
	return func(o *Op) bool { return h.Restore != nil && !h.Restore.before(o) && o.Revision.Index == brought }
}

// epoch returns that of what is recorded.
func (h *History) epoch() uint64 {
	for _, events := range h.anyRecorded() {
		if len(events) > 0 {
			return events[0].Revision.Epoch
		}
	}
	return 0
}

// anyRecorded returns what one of the replicas has recorded. That all have the same is for JudgeWrites to say.
func (h *History) anyRecorded() map[string][]Event {
	for _, recorded := range h.Recorded {
		return recorded
	}
	return nil
}

// eras returns the history before a restore and after it, for judges that look at single subjects. Without a restore it is one.
func (h *History) eras() []*History {
	if h.Restore == nil {
		return []*History{h}
	}
	return []*History{h.first(), h.second()}
}

// first is the era before the restore. A write that was acknowledged in the second may have happened in the first too, unseen.
func (h *History) first() *History {
	era := &History{Bound: h.Bound}
	for _, o := range h.Ops {
		switch {
		case h.Restore.before(&o) && o.answered():
		case o.Kind == Check, o.Outcome == NotDone, o.Call > h.Restore.Return:
			continue
		default:
			o.Outcome = Unknown
		}
		era.Ops = append(era.Ops, o)
	}
	return era
}

// second is the era after the restore. It begins with what the backup says of each subject. Of unknown writes those have happened that are
// recorded: a write that was acknowledged in the first era, and that the backup lacks, may be among them, because it came late once more.
func (h *History) second() *History {
	era := &History{Bound: h.Bound}
	recorded := map[string]Event{}
	for _, events := range h.anyRecorded() {
		for _, e := range events {
			recorded[e.Reference] = e
		}
	}
	brought, last := h.brought(), h.lastBrought()
	for _, o := range h.Ops {
		e, is := recorded[o.Reference]
		switch {
		case o.Kind == Check:
			if h.Restore.before(&o) {
				continue
			}
		case !is:
			continue
		case e.Revision.Index == brought:
			if e.Stamp < last[o.Subject] {
				continue
			}
			o.Outcome, o.Call, o.Return = Done, -2, -1
		case o.Outcome != Done || h.Restore.before(&o):
			o.Outcome = Unknown
		}
		era.Ops = append(era.Ops, o)
	}
	return era
}

// lastBrought returns the stamp of each subject's last event in the backup.
func (h *History) lastBrought() map[string]consent.Time {
	brought, last := h.brought(), map[string]consent.Time{}
	for subject, events := range h.anyRecorded() {
		for _, e := range events {
			if e.Revision.Index == brought {
				last[subject] = max(last[subject], e.Stamp)
			}
		}
	}
	return last
}

// JudgeRestore looks at what was answered on both sides of a restore: from the old state nothing once the restore was acknowledged, but for
// checks within the bound, and from the new one nothing before it was asked for. Without a restore all are of one epoch.
func JudgeRestore(h *History) error {
	v := &verdict{judge: "restore"}
	var first *Op
	brought := h.brought()
	for i := range h.Ops {
		o := &h.Ops[i]
		if !o.answered() {
			continue
		}
		if h.Restore == nil || h.Restore.before(o) {
			if first == nil {
				first = o
			}
			if o.Revision.Epoch != first.Revision.Epoch {
				v.fault("%s is of another epoch than %s", o, first)
			}
		}
		if h.Restore != nil {
			v.judgeAround(h, brought, o)
		}
	}
	return v.err()
}

// judgeAround judges a reply, where the events of the backup stand at an index. The restored state is shown at a later one, and acknowledged
// at that or, if the last step was repeated, behind it.
func (v *verdict) judgeAround(h *History, brought uint64, o *Op) {
	r := h.Restore
	old := r.before(o)
	switch {
	case !old && o.Return < r.Call:
		v.fault("%s is of the restored state, and that was asked for at %.6fs", o, r.Call.Seconds())
	case !old && o.Kind == Check && o.Revision.Index < brought:
		v.fault("%s is of the restored state, and before it: its events stand at %d", o, brought)
	case old && r.Return != Never && o.Revision.Index >= r.Revision.Index:
		v.fault("%s is of the state before the restore, and behind it: that stands at %d", o, r.Revision.Index)
	case old && o.Kind == Check && o.Call-h.Bound > r.Return:
		v.fault("%s began later than the bound after another state was restored, at %.6fs", o, r.Return.Seconds())
	case old && o.Kind == Check && (o.Call-o.Age > r.Return || o.Level == Full && o.Call > r.Return):
		v.fault("%s lacks a restore acknowledged before its data was proven new, at %.6fs", o, r.Return.Seconds())
	case old && o.Kind != Check && o.Call > r.Return:
		v.fault("%s was written to a state that was replaced at %.6fs", o, r.Return.Seconds())
	}
}
