package consent

import "errors"

var errRecord = errors.New("these words are no record")

// Validate returns an error if the words aren't a record, as after damage. What it accepts, every method can read.
func (r Record) Validate() error {
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
	for i, of := 0, 0; i < r.grantCount(); i++ {
		g := r.grant(i)
		of++
		if i > 0 {
			was := r.grant(i - 1)
			if g.permission != was.permission {
				of = 1
			}
			if g.permission < was.permission || g.permission == was.permission && g.at <= was.at {
				return false
			}
		}
		first, second := g.words()
		at := headerWords + grantWords*i
		if g.permission == 0 || g.at == 0 || g.at > r.Newest() || of > maxGrants || g.confirmedAt > r.Newest()+roundingError ||
			first != r[at] || second != r[at+1] {
			return false
		}
	}
	return true
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
	switch kind {
	case factAttributes:
		return attributes(value).valid()
	case factValidFrom, factExpiresAt:
		first, end := r.grantsOf(id)
		return first < end
	case factErased:
		return value <= uint64(r.Newest())
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
