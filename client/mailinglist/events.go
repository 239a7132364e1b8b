package mailinglist

import (
	"cmp"
	"strings"
	"unicode"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

var (
	errNoTime    = rowError(reasonNoTime, "nothing says when this happened: give --at for such rows")
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

// isNo says whether an event only ever takes permissions away.
func isNo(event *consentv1.Event) bool {
	method := consent.Method(event.GetEvidence().GetMethod()) //nolint:gosec // the contract's numbers fit
	return consent.Event{
		Kind:     consent.EventKind(event.GetKind()), //nolint:gosec // the contract's numbers fit
		Evidence: consent.Evidence{Method: method},
	}.IsNo()
}

// notLater refuses what hasn't happened yet, unless it is a "no". The server would take it as of the moment of each import, so that an
// import of the same list would bring back a consent that was withdrawn since.
func notLater(event *consentv1.Event, o *Options) error {
	if at := event.GetOccurredAt().AsTime(); !isNo(event) && at.After(o.now()) {
		return rowError(reasonFutureTime, "%s UTC lies in the future: import the row again once that has passed",
			at.Format("2006-01-02 15:04:05"))
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

// done gives a row the events. If err or one of them says that the row can't be used as a whole, each "no" in it counts all the same:
// what is wrong with a "yes" mustn't cost a withdrawal.
func (h *happening) done(row *Row, o *Options, err error) {
	for _, event := range h.events {
		err = cmp.Or(err, notLater(event, o))
	}
	if err == nil {
		row.Events = h.events
		return
	}
	for _, event := range h.events {
		if isNo(event) {
			row.Events = append(row.Events, event)
		}
	}
	if len(row.Events) == 0 {
		row.Err = err
		return
	}
	row.LeftOut = err
}
