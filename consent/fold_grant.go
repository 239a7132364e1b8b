package consent

import "slices"

// grant records a consent for one permission. Earlier grants stay beside it as long as they say what it doesn't, so that a form sent
// twice, or an old list imported, takes nothing from what stands. A grant with terms of its own leaves none, because nobody may fall
// back from "until March" to a yes without end; but one without proof leaves what is proven, and is passed over itself.
func (f *folding) grant(id NameID, e *Event) {
	if !f.fits(wordsPerName) {
		f.note(Superseded)
		return
	}
	g, limited := newGrant(id, e), e.Terms.limited()
	first, end := f.record.grantsOf(id)
	again := first < end && f.record.grant(end-1).at == g.at
	switch {
	case again && !limited && f.record.grant(end-1).dominates(g):
		return
	case !g.proven() && (again || limited) && f.hasProven(first, end):
		f.passOver(id, g.at)
		return
	case again:
		end--
		f.removeGrants(end, end+1)
	}
	if limited {
		f.removeGrants(first, end)
		end = first
	}
	f.insertGrant(end, g)
	f.setTerm(factValidFrom, id, e.Terms.ValidFrom)
	f.setTerm(factExpiresAt, id, e.Terms.ExpiresAt)
	f.drop(factRequested, id)
	f.drop(factPassedOver, id)
	f.note(Applied)
	f.prune(id)
	if first, end := f.record.grantsOf(id); end-first > maxGrants {
		f.evict(first, end)
	}
}

func (f *folding) hasProven(first, end int) bool {
	for i := first; i < end; i++ {
		if f.record.grant(i).proven() {
			return true
		}
	}
	return false
}

// passOver leaves a grant out for good, and keeps its time, so that evidence for the last grant isn't taken for that of another.
func (f *folding) passOver(id NameID, at Time) {
	f.set(factPassedOver, id, uint64(at))
	f.note(Superseded)
}

// evict removes the oldest grant without proof, or else the oldest that isn't confirmed, or else the oldest. The latest stays if it is
// proven: no number of careless imports may push out what stands, nor what denies.
func (f *folding) evict(first, end int) {
	weakest, latest := first, f.record.grant(end-1)
	for i := first + 1; i < end-1; i++ {
		if f.record.grant(i).strength() < f.record.grant(weakest).strength() {
			weakest = i
		}
	}
	if !latest.proven() && f.record.grant(weakest).proven() {
		f.removeGrants(end-1, end)
		f.passOver(latest.permission, latest.at)
		return
	}
	f.removeGrants(weakest, weakest+1)
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

func (f *folding) setTerm(kind factKind, id NameID, at Time) {
	if at != 0 {
		f.set(kind, id, uint64(at))
	}
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
	first, end := f.record.grantsOf(id)
	if first == end && f.refused(id) != 0 {
		f.note(Superseded)
	}
	for i := first; i < end; i++ {
		if g := f.record.grant(i); g.confirmedAt == 0 {
			g.confirmedAt = at
			f.change(i, g)
		}
	}
	f.prune(id)
}

// prove adds evidence to the grant that it names, or to the last.
func (f *folding) prove(id NameID, e *Event) {
	first, end := f.record.grantsOf(id)
	if first == end {
		if f.refused(id) != 0 {
			f.note(Superseded)
		}
		return
	}
	i := f.meant(id, e.GrantAt, first, end)
	if i < first {
		f.note(Superseded)
		return
	}
	g := f.record.grant(i)
	g.flags |= proofIn(&e.Evidence)
	if g.notice == 0 {
		g.notice = e.Evidence.NoticeVersion
	}
	f.change(i, g)
	f.prune(id)
}

// meant returns the place of the grant that evidence is for, or one before the first if that grant isn't in the record.
func (f *folding) meant(id NameID, at Time, first, end int) int {
	passedOver := Time(f.record.fact(factPassedOver, id))
	if last := f.record.grant(end - 1).at; at == 0 {
		at = max(last, passedOver)
	}
	if at == passedOver {
		return first - 1
	}
	i := end - 1
	for i >= first && f.record.grant(i).at != at {
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

// change rewrites a grant in its place.
func (f *folding) change(i int, g grant) {
	at := headerWords + grantWords*i
	first, second := g.words()
	if f.record[at] != first || f.record[at+1] != second {
		f.record[at], f.record[at+1] = first, second
		f.note(Applied)
	}
}

func (f *folding) insertGrant(i int, g grant) {
	first, second := g.words()
	f.record = slices.Insert(f.record, headerWords+grantWords*i, first, second)
	f.addGrants(1)
}

// removeGrants removes grants of one permission, and with the oldest its terms.
func (f *folding) removeGrants(from, to int) {
	if from == to {
		return
	}
	id := f.record.grant(from).permission
	if from == 0 || f.record.grant(from-1).permission != id {
		f.drop(factValidFrom, id)
		f.drop(factExpiresAt, id)
	}
	f.record = slices.Delete(f.record, headerWords+grantWords*from, headerWords+grantWords*to)
	f.addGrants(from - to)
	f.note(Applied)
}

// prune removes each grant of a permission that a later one dominates.
func (f *folding) prune(id NameID) {
	first, end := f.record.grantsOf(id)
	for i := end - 2; i >= first; i-- {
		for j := i + 1; j < end; j++ {
			if f.record.grant(j).dominates(f.record.grant(i)) {
				f.removeGrants(i, i+1)
				end--
				break
			}
		}
	}
}

// dropCovered removes the grants and requests that a "no" over a name covers: all of these permissions, since none is later. What a
// mark has overtaken it can only be asked about as history.
func (f *folding) dropCovered(id NameID, at Time) {
	for i := f.record.grantCount() - 1; i >= 0; i-- {
		if g := f.record.grant(i); g.at <= at && f.covers(id, g.permission) {
			f.removeGrants(i, i+1)
		}
	}
	facts := f.record.facts()
	kept := slices.DeleteFunc(facts, func(word uint64) bool {
		kind, permission, value := factOf(word)
		return (kind == factRequested || kind == factPassedOver) && Time(value) <= at && f.covers(id, permission)
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
