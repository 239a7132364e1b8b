package consent

import (
	"cmp"
	"slices"
)

// IsNo reports whether the event is a "no": one that only ever takes permissions away. A grant by a method that can't give consent is
// one too.
func (e Event) IsNo() bool {
	switch e.Kind {
	case Refused, Withdrawn, Objected, Invalidated, Suppressed, Undeliverable, Restricted, Erased:
		return true
	case Granted:
		return e.Evidence.Method.void()
	default:
		return false
	}
}

// outlivesErasure reports whether the event counts in folding although the subject was erased after it: a "no", or what took a "no"
// back, because a "no" that was lifted mustn't come back.
func (e Event) outlivesErasure() bool {
	switch e.Kind {
	case ObjectionLifted, Unsuppressed, Deliverable, Unrestricted:
		return true
	default:
		return e.IsNo()
	}
}

// void reports whether a grant by the method is none. Art. 4(11) GDPR, CJEU C-673/17 (Planet49).
func (m Method) void() bool {
	return m == MethodPreTicked || m == MethodImplied || m == MethodBoughtList
}

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
