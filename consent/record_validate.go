package consent

import (
	"errors"
	"fmt"
)

var errRecord = errors.New("these words are no record")

// Validate returns an error if the words aren't a record, as after damage. What it accepts, every method can read.
func (r Record) Validate() error {
	if len(r) >= headerWords && r[0]&(1<<formatBits-1) != formatVersion {
		return fmt.Errorf("%w of format %d, which this version reads, but of format %d, which another version wrote",
			errRecord, formatVersion, r[0]&(1<<formatBits-1))
	}
	switch {
	case len(r) < headerWords, len(r) > MaxRecordWords,
		r[0]&(1<<countShift-1) != formatVersion,
		len(r) < headerWords+grantWords*r.grantCount(),
		r.Newest() < MinTime:
		return errRecord
	}
	if !r.validGrants() || !r.validFacts() {
		return errRecord
	}
	return nil
}

// validGrants reports whether the grants are in order and no later than the record.
func (r Record) validGrants() bool {
	was, of := held{}, 0 // position among those of its permission
	for i := range r.grantCount() {
		g := r.grant(i)
		if of++; g.permission != was.permission {
			of = 0
		}
		h := held{grant: g}
		h.validFrom, h.expiresAt = r.limits(g.permission, of)
		first, second := g.words()
		at := headerWords + grantWords*i
		if g.permission == 0 || g.at == 0 || g.at > r.Newest() || g.confirmedAt > r.Newest()+roundingError ||
			first != r[at] || second != r[at+1] || g.permission < was.permission || of >= maxGrants || of > 0 && !h.follows(was) {
			return false
		}
		was = h
	}
	return true
}

// follows reports whether a grant can stand beside one before it: not earlier, limited no more, and in want of something.
func (h held) follows(was held) bool {
	return h.at >= was.at && was.within(h) && !h.dominates(was.grant)
}

// validFacts reports whether the facts are in order, each once, and can be.
func (r Record) validFacts() bool {
	facts := r.facts()
	for i, word := range facts {
		kind, id, value := factOf(word)
		if i > 0 && facts[i-1]|uint64(MaxTime) >= word {
			return false
		}
		if kind >= factKinds || value == 0 || kind.perSubject() && id != 0 || kind.perPermission() && id == 0 {
			return false
		}
		if !r.validFact(kind, id, value) {
			return false
		}
	}
	return true
}

func (r Record) validFact(kind factKind, id NameID, value uint64) bool {
	if kind.isTerm() {
		first, end := r.grantsOf(id)
		return int(kind-factValidFrom)%maxGrants < end-first
	}
	switch kind {
	case factAttributes:
		return attributes(value).valid()
	case factPassedOver:
		first, end := r.grantsOf(id)
		return first < end && value <= uint64(r.Newest())
	case factRequested:
		first, end := r.grantsOf(id)
		return first == end && value <= uint64(r.Newest())
	default:
		return value <= uint64(r.Newest())
	}
}

// valid reports whether the attributes are what an event can set.
func (a attributes) valid() bool {
	c := a.country()
	for of := answerGuardian; of <= answerBusiness; of += 2 {
		if a>>of&3 == 3 {
			return false
		}
	}
	d := a.birthDate()
	return (c == [2]byte{} || isCountry(string(c[:]))) && (d == Date{} || isBirthDate(d, 0))
}
