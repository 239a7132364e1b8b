package consent

import "slices"

// folding is a record being folded. Its header says how many grants it has, and the rest of the header when folding ends.
type folding struct {
	record Record
	c      FoldContext
	effect Effect // of the event being folded, so far
}

// wordsPerName is the most that an event adds for each name of its scope: a grant, and its terms for it and for those before it.
const wordsPerName = grantWords + 2*maxGrants

// wordsFor returns how many words an event can add.
func wordsFor(e Event) int {
	return wordsPerName * max(1, len(e.Scope.Permissions)+len(e.Scope.Purposes)+len(e.Scope.Channels))
}

func startFolding(r Record, room int, c FoldContext) folding {
	record := make(Record, max(len(r), headerWords), max(len(r), headerWords)+room)
	copy(record, r)
	return folding{record: record, c: c}
}

func (r Record) setHeader(newest Time, index uint64, tenant uint32) {
	r[0] = uint64(newest)<<(64-timeBits) | uint64(r.grantCount())<<countShift | formatVersion
	r[1] = index<<tenantBits | uint64(tenant)
}

func (f *folding) addGrants(n int) { f.record[0] += uint64(n) << countShift }

// note adds to the event's effect what it did in one place: a change counts most, then being superseded.
func (f *folding) note(effect Effect) {
	if f.effect == Applied || effect == Unchanged {
		return
	}
	if effect == Applied || f.effect == Unchanged {
		f.effect = effect
	}
}

// step folds an event that isn't earlier than any folded before.
func (f *folding) step(e *Event) Effect {
	f.effect = Unchanged
	switch e.Kind {
	case Granted, Requested, Confirmed, EvidenceAdded, Used:
		f.stepPermissions(e)
	case Suppressed:
		f.raise(factSuppressed, 0, e.OccurredAt)
	case Unsuppressed:
		f.drop(factSuppressed, 0)
	case Restricted:
		f.raise(factRestricted, 0, e.OccurredAt)
	case Unrestricted:
		f.drop(factRestricted, 0)
	case AttributesSet:
		f.setAttributes(e)
	case Erased:
		f.erase(e.OccurredAt)
	default:
		f.stepMarks(e)
	}
	return f.effect
}

func (f *folding) stepPermissions(e *Event) {
	if e.IsNo() {
		f.mark(MarkInvalidated, e)
		return
	}
	for _, name := range e.Scope.Permissions {
		id := f.c.Names.ID(PermissionName, name)
		switch {
		case id == 0:
			f.note(Superseded)
		case e.Kind == Granted:
			f.grant(id, e)
		case e.Kind == Requested:
			f.request(id, e.OccurredAt)
		case e.Kind == Confirmed:
			f.confirm(id, e.OccurredAt)
		case e.Kind == EvidenceAdded:
			f.prove(id, e)
		case e.Kind == Used:
			f.raise(factLastUsed, id, e.OccurredAt)
		}
	}
}

func (f *folding) stepMarks(e *Event) {
	marketing, processing := e.Objection != ObjectionProcessing, e.Objection != ObjectionMarketing
	switch e.Kind {
	case Refused:
		f.mark(MarkRefused, e)
	case Withdrawn:
		f.mark(MarkWithdrawn, e)
	case Invalidated:
		f.mark(MarkInvalidated, e)
	case Objected:
		f.markIf(marketing, MarkObjectedMarketing, e)
		f.markIf(processing, MarkObjectedProcessing, e)
	case ObjectionLifted:
		f.markIf(marketing, MarkLiftedMarketing, e)
		f.markIf(processing, MarkLiftedProcessing, e)
	case Undeliverable:
		f.mark(MarkUndeliverable, e)
	case Deliverable:
		f.mark(MarkDeliverable, e)
	case GroundsRecorded:
		f.mark(MarkGrounds, e)
	}
}

func (f *folding) markIf(meant bool, kind MarkKind, e *Event) {
	if meant {
		f.mark(kind, e)
	}
}

// mark raises a mark over all that the event covers.
func (f *folding) mark(kind MarkKind, e *Event) {
	s := &e.Scope
	if len(s.Permissions)+len(s.Purposes)+len(s.Channels) == 0 {
		f.raise(factKind(kind), 0, e.OccurredAt)
		return
	}
	f.markNames(kind, PermissionName, s.Permissions, e)
	f.markNames(kind, PurposeName, s.Purposes, e)
	f.markNames(kind, ChannelName, s.Channels, e)
}

func (f *folding) markNames(kind MarkKind, of NameKind, names []string, e *Event) {
	for _, name := range names {
		id := f.c.Names.ID(of, name)
		switch {
		case id == 0 && !e.IsNo():
			f.note(Superseded)
			continue
		case of == PermissionName && e.IsNo():
			id = f.asPurpose(id)
		}
		f.raise(factKind(kind), id, e.OccurredAt)
	}
}

// asPurpose returns the purpose of a permission that has no channel: who says no to "newsletter" means it on every channel.
func (f *folding) asPurpose(permission NameID) NameID {
	if purpose, channel := f.c.Names.Parts(permission); channel == 0 {
		return purpose
	}
	return permission
}

// raise sets a fact to a later time. When the record is full, a "no" is raised over everything instead, and anything else is left out:
// both deny.
func (f *folding) raise(kind factKind, id NameID, at Time) {
	if was := f.record.fact(kind, id); was == 0 && id != 0 && !f.fits(1) {
		if !kind.isNo() {
			f.note(Superseded)
			return
		}
		id = 0
	}
	if uint64(at) <= f.record.fact(kind, id) {
		return
	}
	f.set(kind, id, uint64(at))
	f.note(Applied)
	if kind <= factKind(MarkInvalidated) {
		f.dropCovered(id)
	}
}

// isNo reports whether the fact is a mark that only ever takes permissions away.
func (k factKind) isNo() bool {
	switch MarkKind(k) {
	case MarkWithdrawn, MarkRefused, MarkInvalidated, MarkObjectedMarketing, MarkObjectedProcessing, MarkUndeliverable:
		return true
	default:
		return false
	}
}

func (f *folding) fits(words int) bool { return len(f.record)+words <= recordRoom }

// set writes a fact.
func (f *folding) set(kind factKind, id NameID, value uint64) {
	facts := f.record.facts()
	at, found := findFact(facts, kind, id)
	if found {
		facts[at] = factKey(kind, id) | value
		return
	}
	f.record = slices.Insert(f.record, len(f.record)-len(facts)+at, factKey(kind, id)|value)
}

// drop removes a fact, if it is there.
func (f *folding) drop(kind factKind, id NameID) {
	facts := f.record.facts()
	if at, found := findFact(facts, kind, id); found {
		at += len(f.record) - len(facts)
		f.record = slices.Delete(f.record, at, at+1)
		f.note(Applied)
	}
}

func (f *folding) setAttributes(e *Event) {
	was := f.record.attributes()
	switch now := was.with(e.Attributes); now {
	case was:
	case 0:
		f.drop(factAttributes, 0)
	default:
		f.set(factAttributes, 0, uint64(now))
		f.note(Applied)
	}
}

// erase leaves of what was before the marks of "no" and what took one back.
func (f *folding) erase(at Time) {
	grants := headerWords + grantWords*f.record.grantCount()
	f.addGrants(-f.record.grantCount())
	f.record = slices.Delete(f.record, headerWords, grants)
	kept := slices.DeleteFunc(f.record[headerWords:], func(word uint64) bool {
		kind, _, _ := factOf(word)
		return kind == factKind(MarkGrounds) || kind >= factRequested
	})
	f.record = f.record[:headerWords+len(kept)]
	f.raise(factErased, 0, at)
	f.raise(factSuppressed, 0, at)
}
