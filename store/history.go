package store

import (
	"fmt"

	"github.com/consentd/consentd/consent"
)

// History returns a page of a subject's events, in the order of their time of occurrence, and whether more follow. Evidence that an
// erasure left is listed only if the page asks for it, and not any more once it is due.
func (s *Store) History(key Key, page consent.HistoryPage) (events []consent.RecordedEvent, more bool, err error) {
	if page.Limit < 1 {
		return nil, false, fmt.Errorf("a page of history has at least one event, not %d", page.Limit)
	}
	err = s.reading(func(st *state) error {
		now := st.head.Load().Stamp
		lower, upper := historyBounds(key, page)
		return each(st.ledger.db, lower, upper, func(key, value []byte) error {
			e, err := decodeEventValue(key, value)
			if err != nil || e.retainedUntil != 0 && (!page.IncludeRetained || e.retainedUntil <= now) {
				return err
			}
			if more = len(events) == page.Limit; more {
				return errEnough
			}
			events = append(events, consent.RecordedEvent{
				Event: *e.event, Stamp: e.stamp, Index: e.index, Ordinal: e.ordinal, RetainedUntil: e.retainedUntil,
			})
			return nil
		})
	})
	return events, more, err
}

// historyBounds returns the keys that a page may come from.
func historyBounds(key Key, page consent.HistoryPage) (lower, upper []byte) {
	lower = subjectKey(nil, key)
	upper = afterPrefix(lower)
	if page.AfterTime != 0 {
		lower = append(eventKey(nil, key, position{page.AfterTime, page.AfterIndex, page.AfterOrdinal}), 0)
	}
	return lower, upper
}
