package server

import "github.com/consentd/consentd/consent"

// subjectOf returns the form in which the tenant's subject is used everywhere behind this door, or an error for an id that can't be used.
func subjectOf(id string, t *consent.Tenant) (string, error) { return throughDoor(id, t.KeepsCase()) }

// subjectInForm returns an id that has passed the door of another process, which knew the tenant's policy, or an error if it can't have.
func subjectInForm(id string) (string, error) { return throughDoor(id, true) }

func throughDoor(id string, keepCase bool) (string, error) {
	form, usable := consent.Door(id, keepCase)
	if !usable {
		return "", invalid("subject", "the id can't be used: give 1 to %d bytes of UTF-8", consent.MaxSubjectBytes)
	}
	return form, nil
}
