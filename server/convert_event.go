package server

import (
	"cmp"
	"fmt"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// forget is what clears an attribute that is a text in the contract.
const forget = "none"

// eventOf returns the event of the contract as the law knows it, or what is wrong with it, as an *invalidError with the field within the
// event. It doesn't look at the subject.
func eventOf(e *consentv1.Event) (consent.Event, error) {
	if e == nil {
		return consent.Event{}, invalid("event", "it is missing")
	}
	if err := cmp.Or(checkNumbers(e), checkNames(e.GetScope())); err != nil {
		return consent.Event{}, err
	}
	attributes, err := attributesOf(e.GetAttributes())
	if err != nil {
		return consent.Event{}, err
	}
	event := consent.Event{
		Kind:       consent.EventKind(e.GetKind()),
		OccurredAt: timeOf(e.GetOccurredAt()),
		Scope:      scopeOf(e.GetScope()),
		Evidence:   evidenceOf(e.GetEvidence()),
		Terms:      termsOf(e.GetTerms()),
		Objection:  consent.ObjectionKind(e.GetObjection()),
		GrantAt:    timeOf(e.GetGrantAt()),
		Attributes: attributes,
	}
	return event, consent.ValidateEvent(event)
}

// checkNumbers refuses numbers that would be cut to others. Which of the rest exist is the law's business.
func checkNumbers(e *consentv1.Event) error {
	switch {
	case !fits(e.GetKind()):
		return invalid("kind", "%d is no kind of event", e.GetKind())
	case !fits(e.GetEvidence().GetMethod()):
		return invalid("evidence.method", "%d is no method", e.GetEvidence().GetMethod())
	case !fits(e.GetObjection()):
		return invalid("objection", "%d is no kind of objection", e.GetObjection())
	case !fits(e.GetAttributes().GetRelationship()):
		return invalid("attributes.relationship", "%d is no relationship", e.GetAttributes().GetRelationship())
	}
	return nil
}

// checkNames refuses what can't be a name. The law does too, but repeats it, and it may be a subject's id in the wrong field.
func checkNames(s *consentv1.Scope) error {
	for _, of := range [...]struct {
		field string
		names []string
		valid func(string) error
	}{
		{"scope.permissions", s.GetPermissions(), consent.ValidPermission},
		{"scope.purposes", s.GetPurposes(), consent.ValidName},
		{"scope.channels", s.GetChannels(), consent.ValidName},
	} {
		for i, name := range of.names {
			if of.valid(name) != nil {
				return invalid(of.field, "nothing can be named as number %d of the list: use a to z, 0 to 9, _ - and ., as newsletter/email", i+1)
			}
		}
	}
	return nil
}

func termsOf(t *consentv1.GrantTerms) consent.Terms {
	return consent.Terms{
		Explicit:             t.GetExplicit(),
		OverridesRestriction: t.GetOverridesRestriction(),
		ValidFrom:            timeOf(t.GetValidFrom()),
		ExpiresAt:            timeOf(t.GetExpiresAt()),
	}
}

func scopeOf(s *consentv1.Scope) consent.Scope {
	return consent.Scope{Permissions: s.GetPermissions(), Purposes: s.GetPurposes(), Channels: s.GetChannels()}
}

func evidenceOf(e *consentv1.Evidence) consent.Evidence {
	return consent.Evidence{
		NoticeVersion: e.GetNoticeVersion(),
		NoticeHash:    string(e.GetNoticeHash()),
		Method:        consent.Method(e.GetMethod()),
		Source:        e.GetSource(),
		Reference:     e.GetReference(),
	}
}

func attributesOf(a *consentv1.Attributes) (consent.Attributes, error) {
	if a == nil {
		return consent.Attributes{}, nil
	}
	attributes := consent.Attributes{
		GuardianAuthorised: a.GuardianAuthorised,
		Relationship:       consent.Relationship(a.GetRelationship()),
		AddressFromSale:    a.AddressFromSale,
		OptOutNoticeGiven:  a.OptOutNoticeGiven,
		ContractActive:     a.ContractActive,
		Business:           a.Business,
	}
	if a.BirthDate != nil {
		date, err := birthDateOf(a.GetBirthDate())
		if err != nil {
			return consent.Attributes{}, err
		}
		attributes.BirthDate = &date
	}
	if a.Country != nil {
		country, err := countryOf(a.GetCountry())
		if err != nil {
			return consent.Attributes{}, err
		}
		attributes.Country = &country
	}
	return attributes, nil
}

func birthDateOf(text string) (consent.Date, error) {
	if text == forget {
		return consent.Date{}, nil
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return consent.Date{}, invalid("attributes.birth_date", "it is no date: give one as 2011-07-24, or none to forget it")
	}
	return consent.Date{Year: uint16(day.Year()), Month: uint8(day.Month()), Day: uint8(day.Day())}, nil
}

func countryOf(text string) (string, error) {
	switch text {
	case forget:
		return "", nil
	case "":
		return "", invalid("attributes.country", "it is empty: give an ISO 3166-1 code, as DE, or none to forget it")
	}
	return text, nil
}

// protoEvent returns an event as the contract has it, without its subject.
func protoEvent(e *consent.Event) *consentv1.Event {
	return &consentv1.Event{
		Kind:       consentv1.EventKind(e.Kind),
		OccurredAt: timestamp(e.OccurredAt),
		Scope:      protoScope(e.Scope),
		Evidence:   protoEvidence(&e.Evidence),
		Terms:      protoTerms(e.Terms),
		Objection:  consentv1.ObjectionKind(e.Objection),
		GrantAt:    timestamp(e.GrantAt),
		Attributes: protoAttributes(&e.Attributes),
	}
}

func protoScope(s consent.Scope) *consentv1.Scope {
	if len(s.Permissions)+len(s.Purposes)+len(s.Channels) == 0 {
		return nil
	}
	return &consentv1.Scope{Permissions: s.Permissions, Purposes: s.Purposes, Channels: s.Channels}
}

func protoEvidence(e *consent.Evidence) *consentv1.Evidence {
	if *e == (consent.Evidence{}) {
		return nil
	}
	evidence := &consentv1.Evidence{
		NoticeVersion: e.NoticeVersion,
		Method:        consentv1.Method(e.Method),
		Source:        e.Source,
		Reference:     e.Reference,
	}
	if e.NoticeHash != "" {
		evidence.NoticeHash = []byte(e.NoticeHash)
	}
	return evidence
}

func protoTerms(t consent.Terms) *consentv1.GrantTerms {
	if t == (consent.Terms{}) {
		return nil
	}
	return &consentv1.GrantTerms{
		Explicit:             t.Explicit,
		ValidFrom:            timestamp(t.ValidFrom),
		ExpiresAt:            timestamp(t.ExpiresAt),
		OverridesRestriction: t.OverridesRestriction,
	}
}

func protoAttributes(a *consent.Attributes) *consentv1.Attributes {
	if *a == (consent.Attributes{}) {
		return nil
	}
	attributes := &consentv1.Attributes{
		GuardianAuthorised: a.GuardianAuthorised,
		Relationship:       consentv1.Relationship(a.Relationship),
		AddressFromSale:    a.AddressFromSale,
		OptOutNoticeGiven:  a.OptOutNoticeGiven,
		ContractActive:     a.ContractActive,
		Business:           a.Business,
	}
	if a.BirthDate != nil {
		text := forget
		if d := *a.BirthDate; d != (consent.Date{}) {
			text = fmt.Sprintf("%04d-%02d-%02d", d.Year, d.Month, d.Day)
		}
		attributes.BirthDate = &text
	}
	if a.Country != nil {
		text := forget
		if *a.Country != "" {
			text = *a.Country
		}
		attributes.Country = &text
	}
	return attributes
}
