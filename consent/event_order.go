package consent

import (
	"cmp"
	"slices"
)

// Clamped returns the event with a time that it can have, given the leader's stamp: the stamp, if it names none, or one later than the
// stamp, or one that no event can have.
func (e Event) Clamped(stamp Time) Event {
	if e.OccurredAt < MinTime || e.OccurredAt > stamp {
		e.OccurredAt = stamp
	}
	return e
}

// turn is the order of events that occurred at the same time: yes before no, and grants before what refers to them.
func (e Event) turn() int {
	switch {
	case e.IsNo():
		return 2
	case e.Kind == Granted:
		return 0
	default:
		return 1
	}
}

// inOrder returns the places of events in the order in which they are folded. Those with the same time and turn stay as they are.
func inOrder(events []Event) []int {
	order := make([]int, len(events))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		if a, b := events[i].OccurredAt, events[j].OccurredAt; a != b {
			return cmp.Compare(a, b)
		}
		return events[i].turn() - events[j].turn()
	})
	return order
}
