package consent

import "slices"

// FoldContext is what folding needs to know beside record and event.
type FoldContext struct {
	Tenant uint32 // its number, up to MaxTenant
	Names  *Names // has every name of the event's scope: a "no" over a name that it lacks covers everything, a "yes" nothing
	Index  uint64 // of the Raft entry: the record's revision if it changes
}

// Fold returns the record after an event that is later than every event in it (OccurredAt > r.Newest()), and the event's effect. The
// record passed in isn't written. Nothing is allocated but the new record.
func Fold(r Record, e Event, c FoldContext) (Record, Effect) {
	f := startFolding(r, wordsFor(e), c)
	effect := f.step(&e)
	f.record.setHeader(e.OccurredAt, c.Index, c.Tenant)
	if !sameFacts(r, f.record) {
		return f.record, Applied
	}
	if len(r) > 0 {
		f.record.setHeader(e.OccurredAt, r.Index(), c.Tenant)
	}
	return f.record, effect.hidden()
}

// FoldLate returns the record of a subject's history and one more event, wherever in it that belongs, its effect on the record r as it
// stands, and whether the event has to be kept in the history: one that is there already hasn't, nor has a fact from before an erasure
// that leaves no trace. The history is that of the ledger, in any order.
func FoldLate(r Record, history []Event, e Event, c FoldContext) (next Record, effect Effect, keep bool) {
	if isRecorded(history, e) {
		return r, Unchanged, false
	}
	if !e.outlivesErasure() && e.OccurredAt <= r.ErasedAt() {
		return r, Superseded, false
	}
	all := append(slices.Clip(history), e)
	next, effect = foldAll(all, len(history), c)
	if !sameFacts(r, next) {
		return next, Applied, true
	}
	next.setHeader(next.Newest(), r.Index(), c.Tenant)
	return next, effect, true
}

// FoldHistory returns the record of a history, in any order. Of events with the same time and turn, the first is folded first.
func FoldHistory(history []Event, c FoldContext) Record {
	next, _ := foldAll(history, -1, c)
	return next
}

// foldAll folds events in their order, and returns what the one at a place did if it didn't change the outcome.
func foldAll(events []Event, at int, c FoldContext) (Record, Effect) {
	if len(events) == 0 {
		return nil, 0
	}
	f := startFolding(nil, 0, c)
	newest, effect := Time(0), Effect(0)
	for _, i := range inOrder(events) {
		e := &events[i]
		did := f.step(e)
		if i == at {
			effect = did
		}
		newest = e.OccurredAt
	}
	f.record.setHeader(newest, c.Index, c.Tenant)
	return f.record, effect.hidden()
}

// hidden returns the effect of an event that left the record as it is: what it changed at its place, a later event changed again.
func (e Effect) hidden() Effect {
	if e == Applied {
		return Superseded
	}
	return e
}

// sameFacts reports whether two records say the same, apart from when they changed and what they passed over.
func sameFacts(a, b Record) bool {
	return a.grantCount() == b.grantCount() && slices.Equal(a.deciding(), b.deciding())
}

// isRecorded reports whether the history has the very event.
func isRecorded(history []Event, e Event) bool {
	var encoded, other []byte
	for i := range history {
		if history[i].OccurredAt != e.OccurredAt || history[i].Kind != e.Kind {
			continue
		}
		if encoded == nil {
			encoded = AppendEvent(nil, e)
		}
		if other = AppendEvent(other[:0], history[i]); slices.Equal(encoded, other) {
			return true
		}
	}
	return false
}
