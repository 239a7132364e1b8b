package consent

import (
	"fmt"
	"slices"
	"time"
	"unicode/utf8"
)

// What an event may hold at most.
const (
	maxNames          = 64
	maxSourceBytes    = 256
	maxReferenceBytes = 512
	hashBytes         = 32
	firstBirthYear    = 1900
)

// EventError says which field of an event can't be, why, and what to do. Fields are named as in the contract, as "terms.expires_at".
type EventError struct {
	Field   string
	Message string
}

// Error returns field and message.
func (e *EventError) Error() string { return e.Field + ": " + e.Message }

func fault(field, format string, args ...any) error {
	return &EventError{Field: field, Message: fmt.Sprintf(format, args...)}
}

// ValidateEvent returns why an event can't be written, as an *EventError, or nil: an unknown kind, no permissions where some are
// needed, details of another kind, a time out of range. A "no" is never refused for its date: see Clamped.
func ValidateEvent(e Event) error {
	if e.Kind < Granted || e.Kind > Erased {
		return fault("kind", "%d is no kind of event: take one of the list in docs/events.md", e.Kind)
	}
	for _, check := range [...]func(*Event) error{
		checkOccurredAt, checkScope, checkEvidence, checkTerms, checkObjection, checkGrantAt, checkAttributes,
	} {
		if err := check(&e); err != nil {
			return err
		}
	}
	return nil
}

func checkOccurredAt(e *Event) error {
	if e.OccurredAt == 0 || e.IsNo() {
		return nil
	}
	return checkTime("occurred_at", e.OccurredAt)
}

func checkTime(field string, t Time) error {
	if t < MinTime || t > MaxTime {
		return fault(field, "%d ms since 1970 is out of range: give a time from 1970 to %d", t, MaxTime.Std().Year())
	}
	return nil
}

func checkScope(e *Event) error {
	rule := e.Kind.scope()
	if rule == scopePermissions && len(e.Scope.Permissions) == 0 {
		return fault("scope.permissions", "%s needs at least one permission: name those that it is about", e.Kind)
	}
	if err := checkNames("scope.permissions", e.Scope.Permissions, e.Kind, rule == scopeSubject, ValidPermission); err != nil {
		return err
	}
	if err := checkNames("scope.purposes", e.Scope.Purposes, e.Kind, rule != scopeAny, ValidName); err != nil {
		return err
	}
	return checkNames("scope.channels", e.Scope.Channels, e.Kind, rule != scopeAny, ValidName)
}

func checkNames(field string, names []string, kind EventKind, forbidden bool, valid func(string) error) error {
	if forbidden && len(names) > 0 {
		if kind.scope() == scopePermissions {
			return fault(field, "%s is about permissions: name each in scope.permissions", kind)
		}
		return fault(field, "%s is about the whole subject: leave the scope out, or write a withdrawal or an objection over it", kind)
	}
	if len(names) > maxNames {
		return fault(field, "%d names are more than %d: write several events", len(names), maxNames)
	}
	for _, name := range names {
		if err := valid(name); err != nil {
			return fault(field, "%v", err)
		}
	}
	return nil
}

func checkEvidence(e *Event) error {
	v := &e.Evidence
	if e.Kind == EvidenceAdded {
		if *v == (Evidence{}) {
			return fault("evidence", "evidence_added has none: give method, source and reference of the proof")
		}
		if v.Method.void() {
			return fault("evidence.method", "method %d proves that there was no consent: write invalidated instead", v.Method)
		}
	}
	if n := len(v.NoticeHash); n != 0 && n != hashBytes {
		return fault("evidence.notice_hash", "%d bytes are no SHA-256: give all %d bytes of it, or none", n, hashBytes)
	}
	if !v.Method.known() {
		return fault("evidence.method", "%d is no method: take one of the list, or leave it out", v.Method)
	}
	if err := checkText("evidence.source", v.Source, maxSourceBytes); err != nil {
		return err
	}
	return checkText("evidence.reference", v.Reference, maxReferenceBytes)
}

func checkText(field, text string, most int) error {
	if len(text) > most {
		return fault(field, "%d bytes are more than %d: shorten it", len(text), most)
	}
	if !utf8.ValidString(text) {
		return fault(field, "it isn't UTF-8: convert it")
	}
	return nil
}

func checkTerms(e *Event) error {
	t := &e.Terms
	if e.Kind != Granted {
		if *t != (Terms{}) {
			return fault("terms", "%s has no terms: only granted has", e.Kind)
		}
		return nil
	}
	if t.ValidFrom != 0 {
		if err := checkTime("terms.valid_from", t.ValidFrom); err != nil {
			return err
		}
	}
	if t.ExpiresAt != 0 {
		if err := checkTime("terms.expires_at", t.ExpiresAt); err != nil {
			return err
		}
	}
	if t.ExpiresAt != 0 && t.ExpiresAt <= t.ValidFrom {
		return fault("terms.expires_at", "%s isn't after valid_from, %s: a grant has to hold for some time", t.ExpiresAt, t.ValidFrom)
	}
	if t.ExpiresAt != 0 && t.ExpiresAt <= e.OccurredAt {
		return fault("terms.expires_at", "%s isn't after the grant, %s: a grant has to hold for some time", t.ExpiresAt, e.OccurredAt)
	}
	return nil
}

func checkObjection(e *Event) error {
	if e.Objection > ObjectionProcessing {
		return fault("objection", "%d is no kind of objection: take one of the list, or leave it out for both", e.Objection)
	}
	if e.Objection != ObjectionUnclear && e.Kind != Objected && e.Kind != ObjectionLifted {
		return fault("objection", "%s has none: only objected and objection_lifted have", e.Kind)
	}
	return nil
}

func checkGrantAt(e *Event) error {
	switch {
	case e.GrantAt == 0:
		return nil
	case e.Kind != EvidenceAdded:
		return fault("grant_at", "%s names no grant: only evidence_added does", e.Kind)
	case e.OccurredAt != 0 && e.GrantAt > e.OccurredAt:
		return fault("grant_at", "%s is after the evidence, %s: give the time of a grant before it", e.GrantAt, e.OccurredAt)
	}
	return checkTime("grant_at", e.GrantAt)
}

func checkAttributes(e *Event) error {
	a := &e.Attributes
	if empty := *a == (Attributes{}); empty == (e.Kind == AttributesSet) {
		if empty {
			return fault("attributes", "attributes_set sets none: give at least one")
		}
		return fault("attributes", "%s sets none: write attributes_set", e.Kind)
	}
	if a.Relationship > RelationshipFormerCustomer {
		return fault("attributes.relationship", "%d is no relationship: take one of the list", a.Relationship)
	}
	if a.Country != nil && *a.Country != "" && !isCountry(*a.Country) {
		return fault("attributes.country", "%q is no ISO 3166-1 code: give two capital letters, as DE", *a.Country)
	}
	if a.BirthDate != nil && *a.BirthDate != (Date{}) && !isBirthDate(*a.BirthDate, e.OccurredAt) {
		d := *a.BirthDate
		return fault("attributes.birth_date", "nobody alive was born on %04d-%02d-%02d: give a date from %d that isn't after the event",
			d.Year, d.Month, d.Day, firstBirthYear)
	}
	return nil
}

func isCountry(code string) bool {
	return len(code) == 2 && !slices.ContainsFunc([]byte(code), func(c byte) bool { return c < 'A' || c > 'Z' })
}

// isBirthDate reports whether a date is in the calendar, within living memory, and not after the event that tells it (zero: at any time).
func isBirthDate(d Date, told Time) bool {
	if told == 0 {
		told = MaxTime
	}
	born := time.Date(int(d.Year), time.Month(d.Month), int(d.Day), 0, 0, 0, 0, time.UTC)
	exists := born.Year() == int(d.Year) && born.Month() == time.Month(d.Month) && born.Day() == int(d.Day)
	// A day begins up to 14 hours earlier east of Greenwich.
	return exists && d.Year >= firstBirthYear && born.Add(-14*time.Hour).Before(told.Std())
}
