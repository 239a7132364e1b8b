package consent

import "slices"

// grant records a consent for one permission. Earlier grants stay beside it as long as they say what it doesn't, so that a form sent
// twice, or an old list imported, takes nothing from what stands; but its terms limit them.
func (f *folding) grant(id NameID, e *Event) {
	if !f.fits(wordsPerName) {
		f.leaveOut(id, e)
		return
	}
	var space heldSpace
	list := f.record.held(space[:0], id)
	h := held{newGrant(id, e), e.Terms.ValidFrom, e.Terms.ExpiresAt}
	limit(list, h)
	if h.repeats(list) {
		f.keep(id, list)
		return
	}
	f.drop(factRequested, id)
	f.drop(factPassedOver, id)
	if list = prune(append(list, h)); len(list) > maxGrants {
		list = f.evict(list)
	}
	f.keep(id, list)
}

// leaveOut answers a grant that doesn't fit. What its terms would limit is withdrawn: of all that denies, that ends the walk first, so that
// no other basis is opened.
func (f *folding) leaveOut(id NameID, e *Event) {
	f.note(Superseded)
	if first, end := f.record.grantsOf(id); e.Terms.limited() && first < end {
		f.raise(factKind(MarkWithdrawn), id, e.OccurredAt)
	}
}

// evict leaves out the weakest of too many grants. If that is the last, the record keeps its time, so that evidence for the last grant
// isn't taken for that of another.
func (f *folding) evict(list []held) []held {
	i := weakest(list)
	if i == len(list)-1 {
		f.set(factPassedOver, list[i].permission, uint64(list[i].at))
		f.note(Superseded)
	}
	return slices.Delete(list, i, i+1)
}

func newGrant(id NameID, e *Event) grant {
	g := grant{permission: id, at: e.OccurredAt, notice: e.Evidence.NoticeVersion, flags: proofIn(&e.Evidence)}
	if e.Terms.Explicit {
		g.flags |= grantExplicit
	}
	if e.Terms.OverridesRestriction {
		g.flags |= grantOverridesRestriction
	}
	return g
}

// proofIn returns which parts of a proof an evidence has. Art. 7(1) GDPR.
func proofIn(e *Evidence) grantFlags {
	var flags grantFlags
	if e.Method != MethodUnknown && !e.Method.void() {
		flags |= grantMethod
	}
	if e.Source != "" {
		flags |= grantSource
	}
	if e.Reference != "" || e.NoticeHash != "" {
		flags |= grantReference
	}
	return flags
}

// request records that consent was asked for, unless there is an answer already.
func (f *folding) request(id NameID, at Time) {
	if first, end := f.record.grantsOf(id); first < end || f.refused(id) != 0 {
		f.note(Superseded)
		return
	}
	f.raise(factRequested, id, at)
}

// confirm confirms every grant of a permission that wasn't yet. It never makes one.
func (f *folding) confirm(id NameID, at Time) {
	var space heldSpace
	list := f.record.held(space[:0], id)
	if len(list) == 0 && f.refused(id) != 0 {
		f.note(Superseded)
		return
	}
	for i, h := range list {
		if h.confirmedAt == 0 {
			list[i].grant = h.confirmed(at)
		}
	}
	f.keep(id, prune(list))
}

// prove adds evidence to the grant that it names, or to the last. In a full record nobody knows which was the last.
func (f *folding) prove(id NameID, e *Event) {
	if e.GrantAt == 0 && !f.fits(wordsPerName) {
		f.note(Superseded)
		return
	}
	var space heldSpace
	list := f.record.held(space[:0], id)
	i := f.meant(list, id, e.GrantAt)
	if i < 0 {
		if len(list) > 0 || f.refused(id) != 0 {
			f.note(Superseded)
		}
		return
	}
	g := &list[i].grant
	g.flags |= proofIn(&e.Evidence)
	if g.notice == 0 {
		g.notice = e.Evidence.NoticeVersion
	}
	f.keep(id, prune(list))
}

// meant returns the place of the grant that evidence is for, the last of an instant, or -1 if that isn't in the record.
func (f *folding) meant(list []held, id NameID, at Time) int {
	passedOver := Time(f.record.fact(factPassedOver, id))
	if at == 0 && len(list) > 0 {
		at = max(list[len(list)-1].at, passedOver)
	}
	i := len(list) - 1
	for i >= 0 && (list[i].at != at || at == passedOver) {
		i--
	}
	return i
}

// refused returns the latest time of a "no" to consent that covers a permission, or zero.
func (f *folding) refused(id NameID) Time {
	purpose, channel := f.c.Names.Parts(id)
	_, at := f.record.refusal(id, purpose, channel)
	return at
}

// dropCovered removes the grants and requests that a "no" over a name covers: all of these permissions, since none is later. What a
// mark has overtaken it can only be asked about as history.
func (f *folding) dropCovered(id NameID) {
	for i := f.record.grantCount() - 1; i >= 0; i-- {
		if f.covers(id, f.record.grant(i).permission) {
			at := headerWords + grantWords*i
			f.record = slices.Delete(f.record, at, at+grantWords)
			f.addGrants(-1)
		}
	}
	facts := f.record.facts()
	kept := slices.DeleteFunc(facts, func(word uint64) bool {
		kind, permission, _ := factOf(word)
		return kind.perPermission() && kind != factLastUsed && f.covers(id, permission)
	})
	f.record = f.record[:len(f.record)-len(facts)+len(kept)]
}

// covers reports whether a name (none: all) covers a permission.
func (f *folding) covers(id, permission NameID) bool {
	if id == 0 || id == permission {
		return true
	}
	purpose, channel := f.c.Names.Parts(permission)
	return id == purpose || id == channel
}
