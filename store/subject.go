package store

import (
	"cmp"
	"maps"
	"slices"

	"github.com/consentd/consentd/consent"
)

// subject is what an entry has made of a subject so far.
type subject struct {
	before  consent.Record // as published
	record  consent.Record
	history []recordedEvent // what is folded, if loaded; in the order of the ledger, the entry's own events last
	loaded  bool
	changes []change
}

// change is an event to be set in the ledger, or to be removed from it.
type change struct {
	event   recordedEvent
	removed bool
}

// add takes a new event into the history.
func (s *subject) add(e recordedEvent) {
	s.changes = append(s.changes, change{event: e})
	if s.loaded {
		s.history = append(s.history, e)
	}
}

// load reads the subject's history, unless it was read already.
func (e *entry) load(key Key, s *subject) {
	if s.loaded {
		return
	}
	err := eachWith(e.from, subjectKey(nil, key), func(key, value []byte) error {
		event, err := decodeEventValue(key, value)
		if err == nil && event.retainedUntil == 0 {
			s.history = append(s.history, event)
		}
		return err
	})
	e.fail(err)
	for i := range s.changes {
		s.history = append(s.history, s.changes[i].event)
	}
	s.loaded = true
}

// fold takes one event into a subject, and gives it the time that it can have.
func (e *entry) fold(key Key, event *consent.Event, t *consent.Tenant) consent.Effect {
	s := e.subject(key)
	*event = event.Clamped(e.stamp)
	in := consent.FoldContext{Tenant: t.Number, Names: t.Names, Index: e.index}
	keep := true
	var effect consent.Effect
	if event.OccurredAt > s.record.Newest() {
		s.record, effect = consent.Fold(s.record, *event, in)
	} else {
		e.load(key, s)
		s.record, effect, keep = consent.FoldLate(s.record, e.events(s.history), *event, in)
	}
	if keep {
		s.add(recordedEvent{position: position{event.OccurredAt, e.index, e.ordinal}, stamp: e.stamp, event: event})
		if event.Kind == consent.Erased {
			e.load(key, s)
			e.erase(s, *event, t.Policy)
		}
	}
	e.ordinal++
	return effect
}

// events returns the bare events of a history. They are valid until the next call.
func (e *entry) events(history []recordedEvent) []consent.Event {
	e.bare = e.bare[:0]
	for i := range history {
		e.bare = append(e.bare, *history[i].event)
	}
	return e.bare
}

// erase removes from the history what an erasure reaches. What has to be kept as evidence leaves the history too, but stays in the
// ledger until it is due.
func (e *entry) erase(s *subject, erasure consent.Event, p *consent.Policy) {
	fates := consent.FatesOf(e.events(s.history), erasure, p)
	kept := s.history[:0]
	for i, fate := range fates {
		event := s.history[i]
		switch {
		case fate.Folded:
			kept = append(kept, event)
		case fate.RetainedUntil > e.stamp:
			event.retainedUntil = fate.RetainedUntil
			s.changes = append(s.changes, change{event: event})
		default:
			s.changes = append(s.changes, change{event: event, removed: true})
		}
	}
	s.history = kept
}

// writeSubjects writes what became of the entry's subjects to the batch, in the order of the keys: Pebble inserts faster so.
func (e *entry) writeSubjects() {
	keys := slices.SortedFunc(maps.Keys(e.subjects), compareKeys)
	for _, key := range keys {
		s := e.subjects[key]
		for i := range s.changes {
			e.writeChange(key, &s.changes[i])
		}
	}
	for _, key := range keys {
		if s := e.subjects[key]; s.changed() {
			e.key = recordKey(e.key[:0], key)
			e.value = appendRecordValue(e.value[:0], e.key, s.record)
			e.set(e.key, e.value)
		}
	}
}

func compareKeys(a, b Key) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) }

func (s *subject) changed() bool { return !slices.Equal(s.before, s.record) }

func (e *entry) writeChange(key Key, c *change) {
	e.key = eventKey(e.key[:0], key, c.event.position)
	if c.removed {
		e.fail(e.batch.Delete(e.key, nil))
		return
	}
	e.value = appendEventValue(e.value[:0], &c.event)
	e.set(e.key, e.value)
	if c.event.retainedUntil != 0 {
		e.nextDue = min(e.nextDue, c.event.retainedUntil)
		e.set(dueKey(nil, c.event.retainedUntil, e.key), nil)
	}
}
