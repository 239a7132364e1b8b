package chaos

import (
	"fmt"
	"strings"

	"github.com/consentd/consentd/consent"
)

// The policy that changes is treated as a subject. A grant of it puts a version under which the only subject of a tenant of its own is
// allowed, a withdrawal puts one under which that one isn't, and a check asks for that subject. So all judges look at policies too.
const (
	PolicySubject = "the policy"
	PolicyTenant  = "changing"
	PolicyHolder  = "holder" // has granted, and never confirmed
)

// PolicyVersions is how many versions there are before the load begins.
const PolicyVersions = 1

const referenceMark = "# "

// PolicyOf returns the document that a write puts. No two writes have the same.
func PolicyOf(w Write) []byte {
	doubleOptIn := w.Kind == Withdraw
	return fmt.Appendf(nil, "%s%s\npurposes: {newsletter: {channels: {email: {bases: [consent], double_opt_in: %t}}}}\n", referenceMark,
		w.Reference, doubleOptIn)
}

// PolicyEvent returns a version of the policy as what was recorded of it.
func PolicyEvent(document string, revision consent.Revision, stamp consent.Time) Event {
	line, _, _ := strings.Cut(document, "\n")
	return Event{Reference: strings.TrimPrefix(line, referenceMark), Revision: revision, Stamp: stamp}
}
