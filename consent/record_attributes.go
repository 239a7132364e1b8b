package consent

// attributes are the facts of AttributesSet in the 43 bits of one fact: birth date 21 (year 12, month 4, day 5), country 10 (two
// letters), relationship 2, and five answers of 2 bits each. Zero is nothing known.
type attributes uint64

const (
	dateShift         = 22
	countryShift      = 12
	relationshipShift = 10
	letterBits        = 5
	dayBits           = 5
	monthBits         = 4
)

// answer is the place of a fact that is known to be true, known to be false, or not known.
type answer uint8

const (
	answerGuardian answer = 2 * iota
	answerSale
	answerOptOut
	answerContract
	answerBusiness
)

const (
	answerNo  = 1
	answerYes = 2
)

func (r Record) attributes() attributes { return attributes(r.fact(factAttributes, 0)) }

// BirthDate returns the subject's birth date, or the zero Date.
func (r Record) BirthDate() Date { return r.attributes().birthDate() }

// Country returns the subject's country, or zeros.
func (r Record) Country() [2]byte { return r.attributes().country() }

// GuardianAuthorised reports whether the holder of parental responsibility authorised. Art. 8 GDPR.
func (r Record) GuardianAuthorised() bool { return r.attributes().yes(answerGuardian) }

// Relationship returns the relationship recorded, unknown if none is.
func (r Record) Relationship() Relationship { return r.attributes().relationship() }

// AddressFromSale reports whether the address was obtained in a sale. Sec. 7(3) no. 1 UWG.
func (r Record) AddressFromSale() bool { return r.attributes().yes(answerSale) }

// OptOutNoticeGiven reports whether how to object was said at collection. Sec. 7(3) no. 4 UWG.
func (r Record) OptOutNoticeGiven() bool { return r.attributes().yes(answerOptOut) }

// ContractActive reports whether a contract is active. Art. 6(1)(b) GDPR.
func (r Record) ContractActive() bool { return r.attributes().yes(answerContract) }

// Business reports whether the subject is recorded as a business. Sec. 7(2) no. 1 UWG.
func (r Record) Business() bool { return r.attributes().yes(answerBusiness) }

func (a attributes) birthDate() Date {
	bits := a >> dateShift
	return Date{
		Year:  uint16(bits >> (monthBits + dayBits)),
		Month: uint8(bits >> dayBits & (1<<monthBits - 1)),
		Day:   uint8(bits & (1<<dayBits - 1)),
	}
}

func (a attributes) country() [2]byte {
	return [2]byte{letter(a >> (countryShift + letterBits)), letter(a >> countryShift)}
}

func letter(bits attributes) byte {
	if bits &= 1<<letterBits - 1; bits != 0 {
		return 'A' - 1 + byte(bits)
	}
	return 0
}

func (a attributes) relationship() Relationship { return Relationship(a >> relationshipShift & 3) }

func (a attributes) yes(of answer) bool { return a>>of&3 == answerYes }

// known returns an answer as an event has it.
func (a attributes) known(of answer) *bool {
	if a>>of&3 == 0 {
		return nil
	}
	yes := a.yes(of)
	return &yes
}

// with returns the attributes after an event that sets some. What it doesn't set stays.
func (a attributes) with(set Attributes) attributes {
	if d := set.BirthDate; d != nil {
		bits := attributes(d.Year)<<(monthBits+dayBits) | attributes(d.Month)<<dayBits | attributes(d.Day)
		a = a&(1<<dateShift-1) | bits<<dateShift
	}
	if c := set.Country; c != nil {
		a = a.withCountry(*c)
	}
	if set.Relationship != RelationshipUnknown {
		a = a&^(3<<relationshipShift) | attributes(set.Relationship)<<relationshipShift
	}
	a = a.withAnswer(answerGuardian, set.GuardianAuthorised)
	a = a.withAnswer(answerSale, set.AddressFromSale)
	a = a.withAnswer(answerOptOut, set.OptOutNoticeGiven)
	a = a.withAnswer(answerContract, set.ContractActive)
	return a.withAnswer(answerBusiness, set.Business)
}

func (a attributes) withCountry(code string) attributes {
	a &^= (1<<(2*letterBits) - 1) << countryShift
	if len(code) != 2 {
		return a
	}
	return a | (attributes(code[0]-'A'+1)<<letterBits|attributes(code[1]-'A'+1))<<countryShift
}

func (a attributes) withAnswer(of answer, set *bool) attributes {
	if set == nil {
		return a
	}
	a &^= 3 << of
	if *set {
		return a | answerYes<<of
	}
	return a | answerNo<<of
}

// expand returns the attributes as an event would set them.
func (a attributes) expand() Attributes {
	out := Attributes{
		Relationship:       a.relationship(),
		GuardianAuthorised: a.known(answerGuardian),
		AddressFromSale:    a.known(answerSale),
		OptOutNoticeGiven:  a.known(answerOptOut),
		ContractActive:     a.known(answerContract),
		Business:           a.known(answerBusiness),
	}
	if d := a.birthDate(); d != (Date{}) {
		out.BirthDate = &d
	}
	if c := a.country(); c != [2]byte{} {
		code := string(c[:])
		out.Country = &code
	}
	return out
}
