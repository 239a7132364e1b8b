package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// recordFlags are what a subcommand of record takes beside its arguments.
type recordFlags struct {
	at            instant
	noticeVersion uint32
	method        method
	source, proof string
	explicit      bool
	marketing     bool
	all           bool
	requestID     string
	dryRun        bool
	everywhere    bool
}

// add gives a command the flags that its event can carry; any other is an error, and isn't passed over.
func (f *recordFlags) add(cmd *cobra.Command, v verb) {
	flags := cmd.Flags()
	flags.Var(&f.at, "at", "when it happened, as 2026-01-10T09:00:00Z, or \"2026-01-10 09:00\" or 2026-01-10 in UTC; now if left out")
	flags.Uint32Var(&f.noticeVersion, "notice-version", 0, "the version of the notice that was shown")
	flags.Var(&f.method, "method", "how it was obtained: "+strings.Join(enumNames(consentv1.Method(0).Descriptor()), ", "))
	flags.StringVar(&f.source, "source", "", "where it came from, as checkout")
	flags.StringVar(&f.proof, "proof", "", "where the proof is kept, as forms/8812: a reference, no personal data")
	flags.StringVar(&f.requestID, "request-id", "", "a UUIDv7 that names this write: a repeat with the same one writes nothing twice")
	flags.BoolVar(&f.dryRun, "dry-run", false, "say what it would do, and write nothing")
	flags.BoolVar(&f.everywhere, "everywhere", false, "wait until it is in effect everywhere: the staleness bound longer, on top of --timeout")
	if v.scope != permissionsOnly {
		flags.BoolVar(&f.all, "all", false, "cover everything there is")
	}
	switch v.kind {
	case consentv1.EventKind_EVENT_KIND_GRANTED:
		flags.BoolVar(&f.explicit, "explicit", false, "given in an express statement (Art. 9(2)(a), 22(2)(c) GDPR)")
	case consentv1.EventKind_EVENT_KIND_OBJECTED, consentv1.EventKind_EVENT_KIND_OBJECTION_LIFTED:
		flags.BoolVar(&f.marketing, "marketing", false, "to direct marketing alone (Art. 21(2) GDPR); both kinds if left out")
	}
}

// event is what the arguments and flags say happened.
func (f *recordFlags) event(v verb, args []string) (*consentv1.Event, error) {
	event := &consentv1.Event{Subject: args[0], Kind: v.kind, OccurredAt: f.at.timestamp(), Evidence: f.evidence()}
	if f.explicit {
		event.Terms = &consentv1.GrantTerms{Explicit: true}
	}
	if f.marketing {
		event.Objection = consentv1.ObjectionKind_OBJECTION_KIND_MARKETING
	}
	for _, arg := range args[1:] {
		if key, value, isDetail := strings.Cut(arg, "="); isDetail {
			if err := setDetail(event, v, key, value); err != nil {
				return nil, err
			}
			continue
		}
		scope := scopeOf(event)
		scope.Permissions = append(scope.Permissions, arg)
	}
	if err := f.checkTime(event); err != nil {
		return nil, err
	}
	return event, f.checkScope(v, event)
}

// checkTime refuses what hasn't happened yet, unless it is a "no", which is never refused for its date. The server takes it as of now,
// which for a mistyped year isn't what was meant.
func (f *recordFlags) checkTime(event *consentv1.Event) error {
	if isNo := (consent.Event{
		Kind: consent.EventKind(event.GetKind()), Evidence: consent.Evidence{Method: consent.Method(event.GetEvidence().GetMethod())},
	}).IsNo(); isNo || !f.at.After(time.Now()) {
		return nil
	}
	return usageErrorf("--at %s lies in the future: leave it out for now; a consent that counts later is given now, with valid_from=TIME",
		timeText(f.at.Time))
}

// checkScope makes sure that nothing covers everything there is because a word was forgotten.
func (f *recordFlags) checkScope(v verb, event *consentv1.Event) error {
	scoped := event.GetScope() != nil
	switch {
	case v.scope == wholeSubject && scoped:
		return usageErrorf("record %s is about the subject as a whole: name no permissions, purposes or channels", v.name)
	case v.kind == consentv1.EventKind_EVENT_KIND_ATTRIBUTES_SET && event.GetAttributes() == nil:
		return usageErrorf("say what is to be set, as relationship=customer; there are %s", strings.Join(detailKeys(v), ", "))
	case v.scope == permissionsOnly && len(event.GetScope().GetPermissions()) == 0:
		return usageErrorf("name the permissions that it is about, as newsletter/email")
	case v.scope == anyScope && !scoped && !f.all:
		return usageErrorf("name the permissions that it covers, as newsletter/email, or say --all if it covers everything")
	case v.scope == anyScope && scoped && f.all:
		return usageErrorf("--all covers everything: name nothing beside it")
	}
	return nil
}

func (f *recordFlags) evidence() *consentv1.Evidence {
	if f.noticeVersion == 0 && f.method == 0 && f.source == "" && f.proof == "" {
		return nil
	}
	return &consentv1.Evidence{
		NoticeVersion: f.noticeVersion, Method: consentv1.Method(f.method), Source: f.source, Reference: f.proof,
	}
}

// id is the request id given, or a new one.
func (f *recordFlags) id() (string, error) {
	if f.requestID == "" {
		return newRequestID()
	}
	id, err := uuid.Parse(f.requestID)
	if err != nil || id.Version() != 7 {
		return "", usageErrorf("--request-id %q is no UUIDv7", f.requestID)
	}
	return id.String(), nil
}

func scopeOf(event *consentv1.Event) *consentv1.Scope {
	if event.Scope == nil {
		event.Scope = &consentv1.Scope{}
	}
	return event.GetScope()
}

// instant is the value of a flag that takes a time.
type instant struct{ time.Time }

// String is empty for none.
func (i *instant) String() string {
	if i.IsZero() {
		return ""
	}
	return timeText(i.Time)
}

// Set takes RFC 3339, or a date.
func (i *instant) Set(text string) (err error) {
	i.Time, err = parseTime(text)
	return err
}

// Type names the value in the help.
func (*instant) Type() string { return "time" }

func (i *instant) timestamp() *timestamppb.Timestamp {
	if i.IsZero() {
		return nil
	}
	return timestamppb.New(i.Time)
}

// timeLayouts are the ways to write a time: those of lists. What names no zone is UTC.
var timeLayouts = []string{
	time.RFC3339, time.DateOnly, time.DateTime, "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04",
	"2.1.2006", "2.1.2006 15:04:05", "2.1.2006 15:04",
}

// parseTime takes a time to the second or the minute, or a date: the first instant of either. 1/2/2026 isn't taken, because day and month
// can't be told apart.
func parseTime(text string) (time.Time, error) {
	for _, layout := range timeLayouts {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: write it as 2026-01-10T09:00:00Z, 2026-01-10 09:00 (in UTC) or 2026-01-10", text)
}

// method is the value of a flag that takes how a consent was obtained.
type method consentv1.Method

// String is empty for none.
func (m *method) String() string {
	if *m == 0 {
		return ""
	}
	return strings.ToLower(nameOf(consentv1.Method(*m)))
}

// Set takes a name in any letter case.
func (m *method) Set(name string) error {
	parsed, err := parseEnum[consentv1.Method](name)
	*m = method(parsed)
	return err
}

// Type names the value in the help.
func (*method) Type() string { return "method" }
