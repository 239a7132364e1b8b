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
