package consent

import "slices"

// held is a grant of a permission with what limits it: its own terms and those of every later grant, of which each also says until when
// the consent before it is meant to stand. So of two grants the later is never limited more.
type held struct {
	grant
	validFrom, expiresAt Time
}

// heldSpace is where a permission's grants are changed, with room for a new one.
type heldSpace [maxGrants + 1]held

// held appends a permission's grants to a list, oldest first.
func (r Record) held(list []held, permission NameID) []held {
	first, end := r.grantsOf(permission)
	for i := first; i < end; i++ {
		h := held{grant: r.grant(i)}
		h.validFrom, h.expiresAt = r.limits(permission, i-first)
		list = append(list, h)
	}
	return list
}

// within reports whether the grant counts at no time at which a later one doesn't.
func (h held) within(later held) bool {
	return h.validFrom >= later.validFrom && (later.expiresAt == 0 || h.expiresAt != 0 && h.expiresAt <= later.expiresAt)
}

// limit narrows grants to the terms of a later one. It doesn't matter whether that is proven: who said "until March" doesn't mean the
// earlier yes without end, and a proof that comes late must find its terms in force.
func limit(list []held, by held) {
	for i := range list {
		h := &list[i]
		h.validFrom = max(h.validFrom, by.validFrom)
		if by.expiresAt != 0 && (h.expiresAt == 0 || h.expiresAt > by.expiresAt) {
			h.expiresAt = by.expiresAt
		}
	}
}

// repeats reports whether a new grant says nothing that one of its own instant doesn't.
func (h held) repeats(list []held) bool {
	return slices.ContainsFunc(list, func(kept held) bool {
		return kept.at == h.at && h.within(kept) && kept.dominates(h.grant)
	})
}

// prune leaves out each grant that a later one dominates.
func prune(list []held) []held {
	kept := list[:0]
	for i, h := range list {
		if !slices.ContainsFunc(list[i+1:], func(later held) bool { return later.dominates(h.grant) }) {
			kept = append(kept, h)
		}
	}
	return kept
}

// weakest returns the place of the grant that makes room for a fifth: the oldest without proof, or else the oldest that isn't confirmed,
// or else the oldest. Only for want of proof it is the latest: no number of careless imports may push out what stands, nor what denies.
func weakest(list []held) int {
	at, last := 0, len(list)-1
	for i := range list[:last] {
		if list[i].strength() < list[at].strength() {
			at = i
		}
	}
	if list[at].proven() && !list[last].proven() {
		return last
	}
	return at
}

// keep makes a list what the record holds of a permission's grants.
func (f *folding) keep(id NameID, list []held) {
	var space heldSpace
	if slices.Equal(f.record.held(space[:0], id), list) {
		return
	}
	f.note(Applied)
	var words [grantWords * maxGrants]uint64
	for i, h := range list {
		words[grantWords*i], words[grantWords*i+1] = h.words()
	}
	first, end := f.record.grantsOf(id)
	f.record = slices.Replace(f.record, headerWords+grantWords*first, headerWords+grantWords*end, words[:grantWords*len(list)]...)
	f.addGrants(len(list) - (end - first))
	for i := range factKind(maxGrants) {
		var h held
		if int(i) < len(list) {
			h = list[i]
		}
		f.setLimit(factValidFrom+i, id, h.validFrom)
		f.setLimit(factExpiresAt+i, id, h.expiresAt)
	}
}

func (f *folding) setLimit(kind factKind, id NameID, at Time) {
	if at == 0 {
		f.drop(kind, id)
		return
	}
	f.set(kind, id, uint64(at))
}
