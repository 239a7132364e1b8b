package mailinglist

import (
	"slices"
	"strings"
	"unicode"

	"google.golang.org/protobuf/types/known/timestamppb"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

var (
	errNoTime    = rowError(reasonNoTime, "nothing says when this happened, and no time is given for such rows")
	errNoSubject = rowError(reasonNoSubject, "the row names no subject")
)

// longestSubject is how many bytes an id may have, by the contract.
const longestSubject = 256

// checkSubject refuses ids that the server would.
func checkSubject(subject string) error {
	if strings.TrimSpace(subject) == "" {
		return errNoSubject
	}
	if len(subject) > longestSubject {
		return rowError(reasonUnusableSubject, "the subject's id has %d bytes, and may have %d", len(subject), longestSubject)
	}
	return nil
}

// checkAddress refuses what can't be an e-mail address. Which addresses exist is for the mail server to find out.
func checkAddress(address string) error {
	if err := checkSubject(address); err != nil {
		return err
	}
	if !isAddress(address) || strings.ContainsAny(address, ",;") {
		return rowError(reasonUnusableSubject, "the row holds no e-mail address")
	}
	return nil
}

// isAddress says whether the door of the server takes an id without the space around it for an e-mail address.
func isAddress(id string) bool {
	name, host, _ := strings.Cut(id, "@")
	return name != "" && host != "" && !strings.Contains(host, "@") && strings.IndexFunc(id, unicode.IsSpace) < 0
}

// normalSubject is a subject in the form that the door of the server gives it: an e-mail address is trimmed and in lower case.
func normalSubject(subject string) string {
	if address := strings.TrimSpace(subject); isAddress(address) {
		return strings.ToLower(address)
	}
	return subject
}

// yesKinds are the events that could allow something: the only ones that mustn't be later than now. The server takes an event of the
// future as one of now, which for a "no" is safe.
var yesKinds = []consentv1.EventKind{
	consentv1.EventKind_EVENT_KIND_GRANTED, consentv1.EventKind_EVENT_KIND_CONFIRMED,
	consentv1.EventKind_EVENT_KIND_EVIDENCE_ADDED, consentv1.EventKind_EVENT_KIND_USED,
	consentv1.EventKind_EVENT_KIND_OBJECTION_LIFTED, consentv1.EventKind_EVENT_KIND_UNSUPPRESSED,
	consentv1.EventKind_EVENT_KIND_DELIVERABLE, consentv1.EventKind_EVENT_KIND_UNRESTRICTED,
	consentv1.EventKind_EVENT_KIND_ATTRIBUTES_SET, consentv1.EventKind_EVENT_KIND_GROUNDS_RECORDED,
}

// notLater refuses a "yes" that hasn't happened yet.
func notLater(event *consentv1.Event, o *Options) error {
	if at := event.GetOccurredAt().AsTime(); slices.Contains(yesKinds, event.GetKind()) && at.After(o.Now.Add(lastYes)) {
		return rowError(reasonFutureTime, "%s lies in the future", at.Format("2006-01-02 15:04:05"))
	}
	return nil
}

// happening makes events about one subject.
type happening struct {
	subject    string
	permission string
	events     []*consentv1.Event
}

// add appends an event that covers the permission; its scope can be changed after.
func (h *happening) add(kind consentv1.EventKind, at *timestamppb.Timestamp) *consentv1.Event {
	event := &consentv1.Event{
		Subject: h.subject, Kind: kind, OccurredAt: at,
		Scope: &consentv1.Scope{Permissions: []string{h.permission}},
	}
	h.events = append(h.events, event)
	return event
}

// done gives a row the events, or says which of them can't be.
func (h *happening) done(row *Row, o *Options) {
	for _, event := range h.events {
		if err := notLater(event, o); err != nil {
			row.Err = err
			return
		}
	}
	row.Events = h.events
}
