package chaos

import (
	"maps"
	"slices"
)

// JudgeWrites looks for writes in what every replica has recorded at the end: those acknowledged have to be there once, as they were
// acknowledged, those of unknown outcome once or not at all, and those said not to be written, and any others, not at all. All replicas
// have to have recorded the same.
func JudgeWrites(h *History) error {
	v := &verdict{judge: "writes"}
	replicas := slices.Sorted(maps.Keys(h.Recorded))
	if len(replicas) == 0 {
		v.fault("no replica was asked what it has recorded")
	}
	for _, replica := range replicas {
		v.judgeRecorded(h, replica)
		if first := h.Recorded[replicas[0]]; !maps.EqualFunc(first, h.Recorded[replica], slices.Equal) {
			v.fault("%s and %s have recorded different events", replicas[0], replica)
		}
	}
	return v.err()
}

func (v *verdict) judgeRecorded(h *History, replica string) {
	recorded := map[string][]Event{} // reference → events
	total := 0
	for _, events := range h.Recorded[replica] {
		total += len(events)
		for _, e := range events {
			recorded[e.Reference] = append(recorded[e.Reference], e)
		}
	}
	expected := 0
	for i := range h.Ops {
		o := &h.Ops[i]
		if o.Kind == Check {
			continue
		}
		found := recorded[o.Reference]
		expected += len(found)
		switch {
		case len(found) > 1:
			v.fault("%s was executed %d times, says %s", o, len(found), replica)
		case o.Outcome == Done && h.Restore.before(o):
			v.judgeReplaced(h, o, found, replica)
		case o.Outcome == Done && len(found) == 0:
			v.fault("%s was acknowledged, and is lost on %s", o, replica)
		case o.Outcome == NotDone && len(found) > 0:
			v.fault("%s was said not to be written, and %s has it", o, replica)
		case o.Outcome == Done && (found[0].Revision != o.Revision || found[0].Stamp != o.Stamp):
			v.fault("%s has another revision or stamp on %s: %d, %s", o, replica, found[0].Revision.Index, found[0].Stamp)
		}
	}
	if total != expected {
		v.fault("%s has recorded %d events, and %d of them were written", replica, total, expected)
	}
}

// judgeReplaced judges a write that was acknowledged before a restore: it has to be there if the backup was begun later, and mustn't be from
// the backup if that was whole before. A copy of it that came late may have been written once more, where the backup doesn't know it.
func (v *verdict) judgeReplaced(h *History, o *Op, found []Event, replica string) {
	brought := len(found) > 0 && found[0].Revision.Index == h.brought()
	switch {
	case !brought && o.Return < h.Restore.Began:
		v.fault("%s was acknowledged before the backup was begun, at %.6fs, and isn't in it, says %s", o, h.Restore.Began.Seconds(), replica)
	case brought && o.Call > h.Restore.Ended:
		v.fault("%s was written after the backup was whole, at %.6fs, and is in it, says %s", o, h.Restore.Ended.Seconds(), replica)
	case brought && found[0].Stamp != o.Stamp:
		v.fault("%s has another stamp on %s: %s", o, replica, found[0].Stamp)
	}
}
