package mailinglist

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// columnLayout reads CSV by the mapping of the options.
type columnLayout struct {
	options *Options
	subject column
	mapped  map[string]column
	grants  bool // a row that says nothing of its own is a grant
}

var (
	errNothing   = rowError(reasonNothing, "the row says nothing that could be recorded")
	errTooLong   = rowError(reasonUnusableValue, "longer than the contract allows")
	errFactsTime = rowError(reasonNoTime, "nothing says since when the facts hold: map facts_at to a column, and fill it, or give --at")
	errGrantTime = rowError(reasonNoTime, "the grant has no time: map granted_at to a column, and fill it, or give --at")
)

func newColumnLayout(o *Options, f *file) (*columnLayout, error) {
	l := &columnLayout{options: o, mapped: map[string]column{}}
	var err error
	if l.subject, err = subjectColumn(o, f.header); err != nil {
		return nil, err
	}
	events, facts := false, false
	// In the order of the fields, so that the same missing column is reported each time.
	for _, fd := range fields {
		name, mapped := o.Columns[fd.name]
		if !mapped || fd.group == subjectField {
			continue
		}
		if l.mapped[fd.name], err = needColumn(f.header, name); err != nil {
			return nil, fmt.Errorf("field %s: %w", fd.name, err)
		}
		events, facts = events || fd.group == eventField, facts || fd.group == factField
	}
	_, dated := l.mapped["granted_at"]
	l.grants = !facts && (dated || !events)
	return l, nil
}

// value returns the cell of a field, and nothing for a field that isn't mapped.
func (l *columnLayout) value(cells []string, name string) string {
	c, mapped := l.mapped[name]
	if !mapped {
		return ""
	}
	return c.of(cells)
}

func (l *columnLayout) read(row *Row, cells []string) {
	row.Subject = cells[l.subject]
	if row.Err = checkSubject(row.Subject); row.Err != nil || l.options.SubjectsOnly {
		return
	}
	h := &happening{subject: row.Subject, permission: l.options.Permission}
	err := l.addEvents(h, cells)
	if err == nil && len(h.events) == 0 {
		err = errNothing
	}
	h.done(row, l.options, err)
}

// addEvents adds what can be read of what the row says, and returns the first error.
func (l *columnLayout) addEvents(h *happening, cells []string) error {
	return cmp.Or(l.addConsent(h, cells), l.addGrant(h, cells), l.addFacts(h, cells))
}

// addConsent adds all events about the permission but the grant. What can't be read doesn't keep it from the rest; the error is the
// first.
func (l *columnLayout) addConsent(h *happening, cells []string) (first error) {
	for _, e := range []struct {
		name string
		kind consentv1.EventKind
		isNo bool
	}{
		{"requested_at", consentv1.EventKind_EVENT_KIND_REQUESTED, false},
		{"confirmed_at", consentv1.EventKind_EVENT_KIND_CONFIRMED, false},
		{"refused_at", consentv1.EventKind_EVENT_KIND_REFUSED, true},
		{"withdrawn_at", consentv1.EventKind_EVENT_KIND_WITHDRAWN, true},
		{"objected_at", consentv1.EventKind_EVENT_KIND_OBJECTED, true},
		{"used_at", consentv1.EventKind_EVENT_KIND_USED, false},
		{"undeliverable_at", consentv1.EventKind_EVENT_KIND_UNDELIVERABLE, true},
		{"suppressed_at", consentv1.EventKind_EVENT_KIND_SUPPRESSED, true},
	} {
		first = cmp.Or(first, l.addDated(h, cells, e.name, e.kind, e.isNo))
	}
	return first
}

// addDated adds an event if its field says when it happened.
func (l *columnLayout) addDated(h *happening, cells []string, name string, kind consentv1.EventKind, isNo bool) error {
	at, err := l.moment(cells, name)
	if err != nil || at.isZero() {
		return err
	}
	event := h.add(kind, at.first())
	if isNo {
		event.OccurredAt = at.last()
	}
	switch kind {
	case consentv1.EventKind_EVENT_KIND_REQUESTED:
		event.Evidence, err = l.evidence(cells)
	case consentv1.EventKind_EVENT_KIND_UNDELIVERABLE:
		_, channel := l.options.scope()
		event.Scope = &consentv1.Scope{Channels: []string{channel}}
	case consentv1.EventKind_EVENT_KIND_SUPPRESSED:
		event.Scope = nil
	}
	return err
}

// addGrant adds a grant: at its own time; or, if the row says nothing else, at the one for rows without. A list that maps another event
// and not granted_at, as one of withdrawals, and a list of facts aren't lists of grants; nor is a row with an event of its own a grant that
// it doesn't name: dated after a "no", it would undo it.
func (l *columnLayout) addGrant(h *happening, cells []string) error {
	at, err := l.moment(cells, "granted_at")
	if err != nil {
		return err
	}
	if at.isZero() {
		if !l.grants || len(h.events) > 0 {
			return nil
		}
		if l.options.At.IsZero() {
			return errGrantTime
		}
		at = instant(l.options.At)
	}
	granted := h.add(consentv1.EventKind_EVENT_KIND_GRANTED, at.first())
	if granted.Evidence, err = l.evidence(cells); err != nil {
		return err
	}
	granted.Terms, err = l.terms(cells)
	return err
}

// evidence reads what proves a grant. Where a source isn't mapped, the list's name isn't taken for one: it doesn't say where somebody
// consented, and so proves nothing.
func (l *columnLayout) evidence(cells []string) (*consentv1.Evidence, error) {
	const longestSource, longestReference = 256, 512
	e := &consentv1.Evidence{
		NoticeVersion: l.options.NoticeVersion,
		Source:        l.value(cells, "source"),
		Reference:     l.value(cells, "proof"),
	}
	if version := l.value(cells, "notice_version"); version != "" {
		n, err := strconv.ParseUint(version, 10, 32)
		if err != nil {
			return nil, rowError(reasonUnusableValue, "notice_version: %s is no number", show(version))
		}
		e.NoticeVersion = uint32(n)
	}
	var err error
	if e.NoticeHash, err = parseHash(l.value(cells, "notice_hash")); err != nil {
		return nil, fmt.Errorf("notice_hash: %w", err)
	}
	if e.Method, err = parseMethod(l.value(cells, "method")); err != nil {
		return nil, fmt.Errorf("method: %w", err)
	}
	if len(e.Source) > longestSource {
		return nil, fmt.Errorf("source: %w", errTooLong)
	}
	if len(e.Reference) > longestReference {
		return nil, fmt.Errorf("proof: %w", errTooLong)
	}
	return e, nil
}

// terms reads what a grant says beside what it covers. Nil if it says nothing.
func (l *columnLayout) terms(cells []string) (*consentv1.GrantTerms, error) {
	from, err := l.moment(cells, "valid_from")
	if err != nil {
		return nil, err
	}
	until, err := l.moment(cells, "expires_at")
	if err != nil {
		return nil, err
	}
	explicit, err := l.answer(cells, "explicit")
	if err != nil {
		return nil, err
	}
	terms := &consentv1.GrantTerms{Explicit: explicit != nil && *explicit}
	if !from.isZero() {
		terms.ValidFrom = from.last()
	}
	if !until.isZero() {
		terms.ExpiresAt = until.first()
	}
	if !terms.Explicit && from.isZero() && until.isZero() {
		return nil, nil //nolint:nilnil // no terms, which is no error
	}
	return terms, nil
}

// addFacts adds what the row says about the subject, if anything.
func (l *columnLayout) addFacts(h *happening, cells []string) error {
	facts, err := l.attributes(cells)
	if err != nil || facts == nil {
		return err
	}
	at, err := l.moment(cells, "facts_at")
	if err != nil {
		return err
	}
	if at.isZero() {
		if l.options.At.IsZero() {
			return errFactsTime
		}
		at = instant(l.options.At)
	}
	event := h.add(consentv1.EventKind_EVENT_KIND_ATTRIBUTES_SET, at.first())
	event.Scope, event.Attributes = nil, facts
	return nil
}

// attributes reads the facts about the subject. Nil if the row has none.
func (l *columnLayout) attributes(cells []string) (*consentv1.Attributes, error) {
	a := &consentv1.Attributes{}
	given := false
	for _, f := range []struct {
		name string
		into **bool
	}{
		{"address_from_sale", &a.AddressFromSale}, {"opt_out_notice", &a.OptOutNoticeGiven}, {"contract_active", &a.ContractActive},
		{"business", &a.Business}, {"guardian_authorised", &a.GuardianAuthorised},
	} {
		answer, err := l.answer(cells, f.name)
		if err != nil {
			return nil, err
		}
		*f.into = answer
		given = given || answer != nil
	}
	var err error
	if a.BirthDate, err = parseBirthDate(l.value(cells, "birth_date")); err != nil {
		return nil, fmt.Errorf("birth_date: %w", err)
	}
	if a.Country, err = parseCountry(l.value(cells, "country")); err != nil {
		return nil, fmt.Errorf("country: %w", err)
	}
	if a.Relationship, err = l.relationship(cells); err != nil {
		return nil, err
	}
	if !given && a.BirthDate == nil && a.Country == nil && a.Relationship == 0 {
		return nil, nil //nolint:nilnil // no facts, which is no error
	}
	return a, nil
}

func (l *columnLayout) relationship(cells []string) (consentv1.Relationship, error) {
	customer, err := l.answer(cells, "customer")
	switch {
	case err != nil:
		return 0, err
	case customer != nil && *customer:
		return consentv1.Relationship_RELATIONSHIP_CUSTOMER, nil
	case customer != nil:
		return consentv1.Relationship_RELATIONSHIP_NONE, nil
	}
	relationship, err := parseRelationship(l.value(cells, "relationship"))
	if err != nil {
		return 0, fmt.Errorf("relationship: %w", err)
	}
	return relationship, nil
}

func (l *columnLayout) moment(cells []string, name string) (moment, error) {
	at, err := parseMoment(l.value(cells, name))
	if err != nil {
		return moment{}, fmt.Errorf("%s: %w", name, err)
	}
	return at, nil
}

func (l *columnLayout) answer(cells []string, name string) (*bool, error) {
	answer, err := parseAnswer(strings.TrimSpace(l.value(cells, name)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return answer, nil
}
