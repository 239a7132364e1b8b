package main

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

func TestEnumNames(t *testing.T) {
	for value, want := range map[protoreflect.Enum]string{
		consentv1.Reason_REASON_NO_CONSENT:                   "NO_CONSENT",
		consentv1.EventKind_EVENT_KIND_OBJECTION_LIFTED:      "OBJECTION_LIFTED",
		consentv1.Basis_BASIS_UNSPECIFIED:                    "UNSPECIFIED",
		consentv1.PermissionState_PERMISSION_STATE_WITHDRAWN: "WITHDRAWN",
		consentv1.Reason(200):                                "200",
	} {
		if got := nameOf(value); got != want {
			t.Errorf("%v is shown as %s, want %s", value, got, want)
		}
	}
	for _, name := range []string{"web_form", "WEB_FORM", "web-form"} {
		if got, err := parseEnum[consentv1.Method](name); err != nil || got != consentv1.Method_METHOD_WEB_FORM {
			t.Errorf("%s is %v, %v", name, got, err)
		}
	}
}

// TestVerbs holds that record can write every kind of event, each by one subcommand.
func TestVerbs(t *testing.T) {
	var kinds []consentv1.EventKind
	for _, v := range verbs() {
		kinds = append(kinds, v.kind)
	}
	var want []consentv1.EventKind
	for number := range consentv1.EventKind_name {
		if number != 0 {
			want = append(want, consentv1.EventKind(number))
		}
	}
	slices.Sort(kinds)
	slices.Sort(want)
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Error(diff)
	}
}

func TestParseTime(t *testing.T) {
	at := time.Date(2026, 1, 10, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-01-10":                at,
		"2026-01-10T00:00:00Z":      at,
		"2026-01-10T01:00:00+01:00": at,
		"2026-01-10T00:00:00.25Z":   at.Add(250 * time.Millisecond),
		"10.01.2026":                at,
		"10.1.2026 09:00":           at.Add(9 * time.Hour),
		"2026-01-10 09:00":          at.Add(9 * time.Hour),
		"2026-01-10T09:00":          at.Add(9 * time.Hour),
		"2026-01-10 09:00:05":       at.Add(9*time.Hour + 5*time.Second),
	} {
		if got, err := parseTime(text); err != nil || !got.Equal(want) {
			t.Errorf("%s is %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "now", "1/2/2026", "10.01.26", "30.02.2026", "2026-01-10 25:00", "2026-02-30"} {
		if got, err := parseTime(text); err == nil {
			t.Errorf("%s is %s", text, got)
		}
	}
}

func TestOutputFormats(t *testing.T) {
	yes := true
	country := "NO"
	event := &consentv1.Event{
		Subject: "a: b", Kind: consentv1.EventKind_EVENT_KIND_ATTRIBUTES_SET, OccurredAt: timestamppb.New(time.Unix(1, 5e6)),
		Scope:      &consentv1.Scope{Channels: []string{"email"}},
		Evidence:   &consentv1.Evidence{NoticeHash: []byte{1, 255}},
		Attributes: &consentv1.Attributes{Country: &country, ContractActive: &yes},
		Terms:      &consentv1.GrantTerms{},
	}
	out := object{
		{"event", messageOutput(event)}, {"age", messageOutput(&consentv1.CheckResponse{Age: durationpb.New(1750 * time.Millisecond)})},
		{"version", "3"}, {"none", nil},
	}
	json, err := toJSON(out)
	if err != nil {
		t.Fatal(err)
	}
	wantJSON := `{
  "event": {
    "subject": "a: b",
    "kind": "ATTRIBUTES_SET",
    "occurred_at": "1970-01-01T00:00:01.005Z",
    "scope": {
      "channels": [
        "email"
      ]
    },
    "evidence": {
      "notice_hash": "01ff"
    },
    "terms": {
      "explicit": false,
      "overrides_restriction": false
    },
    "attributes": {
      "country": "NO",
      "contract_active": true
    }
  },
  "age": {
    "age": "1.75s"
  },
  "version": "3",
  "none": null
}
`
	if diff := cmp.Diff(wantJSON, string(json)); diff != "" {
		t.Error(diff)
	}
	yaml, err := toYAML(out)
	if err != nil {
		t.Fatal(err)
	}
	wantYAML := `event:
  subject: 'a: b'
  kind: ATTRIBUTES_SET
  occurred_at: "1970-01-01T00:00:01.005Z"
  scope:
    channels:
      - email
  evidence:
    notice_hash: 01ff
  terms:
    explicit: false
    overrides_restriction: false
  attributes:
    country: "NO"
    contract_active: true
age:
  age: 1.75s
version: "3"
none: null
`
	if diff := cmp.Diff(wantYAML, string(yaml)); diff != "" {
		t.Error(diff)
	}
}
