package server

import "github.com/consentd/consentd/consent"

// subjectOf lets an id through the door of a tenant, which may be nil.
func subjectOf(id string, t *consent.Tenant) (string, error) {
	form, usable := consent.Door(id, t.KeepsCase())
	if !usable {
		return "", invalid("subject", "the id can't be used: give 1 to %d bytes of UTF-8", consent.MaxSubjectBytes)
	}
	return form, nil
}
