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

// turn is the order of events that occurred at the same time: yes before no, and grants before what refers to them. Of grants, those
// with terms of their own come last, and of attributes those that say no to something: what comes last counts, and these deny.
func (e Event) turn() int {
	switch {
	case e.IsNo():
		return 4
	case e.Kind == AttributesSet && e.Attributes.sayNo():
		return 3
	case e.Kind == Granted && e.Terms.limited():
		return 1
	case e.Kind == Granted:
		return 0
	default:
		return 2
	}
}

// limited reports whether a grant has terms of its own.
func (t *Terms) limited() bool { return t.ValidFrom != 0 || t.ExpiresAt != 0 }

// sayNo reports whether one of the answers is no.
func (a *Attributes) sayNo() bool {
	for _, answer := range [...]*bool{a.GuardianAuthorised, a.AddressFromSale, a.OptOutNoticeGiven, a.ContractActive, a.Business} {
		if answer != nil && !*answer {
			return true
		}
	}
	return false
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
