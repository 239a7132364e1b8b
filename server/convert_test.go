package server

import (
	"strings"
	"testing"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// TestNumbersAreTheContracts compares every number and name of the law's types with the contract's, both ways. The conversions are casts.
func TestNumbersAreTheContracts(t *testing.T) {
	tests := []struct {
		enum protoreflect.Enum
		law  func(number int) string // the law's name in capitals, or nothing for no such number
	}{
		{consentv1.Reason(0), func(n int) string { return known0(consent.Reason(n).String(), "UNSPECIFIED", n) }},
		{consentv1.Remedy(0), func(n int) string { return known0(consent.Remedy(n).String(), "UNSPECIFIED", n) }},
		{consentv1.EventKind(0), func(n int) string { return known0(consent.EventKind(n).String(), "unknown", n) }},
		{consentv1.Basis(0), func(n int) string {
			if name := consent.Basis(n).String(); name != "unknown" && n > 0 {
				return strings.ToUpper(name)
			}
			return known0("", "", n)
		}},
		{consentv1.Obligation(0), named(map[int]string{bit(consent.LogUse): "LOG_USE", bit(consent.ShowOptOut): "SHOW_OPT_OUT"})},
		{consentv1.SubjectType(0), named(map[int]string{int(consent.Consumer): "CONSUMER", int(consent.Business): "BUSINESS"})},
		{consentv1.Effect(0), named(map[int]string{
			int(consent.Applied): "APPLIED", int(consent.Unchanged): "UNCHANGED", int(consent.Superseded): "SUPERSEDED",
		})},
		{consentv1.ObjectionKind(0), named(map[int]string{
			int(consent.ObjectionMarketing): "MARKETING", int(consent.ObjectionProcessing): "PROCESSING",
		})},
		{consentv1.Relationship(0), named(map[int]string{
			int(consent.RelationshipNone): "NONE", int(consent.RelationshipCustomer): "CUSTOMER",
			int(consent.RelationshipFormerCustomer): "FORMER_CUSTOMER",
		})},
		{consentv1.PermissionState(0), named(map[int]string{
			int(consent.StateRequested): "REQUESTED", int(consent.StateGiven): "GIVEN", int(consent.StateRefused): "REFUSED",
			int(consent.StateWithdrawn): "WITHDRAWN", int(consent.StateInvalidated): "INVALIDATED",
		})},
		{consentv1.Method(0), named(map[int]string{
			int(consent.MethodWebForm): "WEB_FORM", int(consent.MethodApp): "APP", int(consent.MethodEmail): "EMAIL",
			int(consent.MethodSMS): "SMS", int(consent.MethodPhone): "PHONE", int(consent.MethodPaper): "PAPER",
			int(consent.MethodInPerson): "IN_PERSON", int(consent.MethodBanner): "BANNER", int(consent.MethodPreTicked): "PRE_TICKED",
			int(consent.MethodImplied): "IMPLIED", int(consent.MethodBoughtList): "BOUGHT_LIST",
		})},
	}
	for _, tt := range tests {
		descriptor := tt.enum.Descriptor()
		prefix := strings.TrimSuffix(string(descriptor.Values().ByNumber(0).Name()), "UNSPECIFIED")
		for n := range 256 {
			want := ""
			if value := descriptor.Values().ByNumber(protoreflect.EnumNumber(n)); value != nil {
				want = strings.TrimPrefix(string(value.Name()), prefix)
			}
			if got := tt.law(n); got != want {
				t.Errorf("%s %d is %q in the law, %q in the contract", descriptor.Name(), n, got, want)
			}
		}
	}
}

// known0 returns a name in capitals, and nothing for the name of what isn't known, but for the zero.
func known0(name, unknown string, n int) string {
	switch {
	case n == 0:
		return "UNSPECIFIED"
	case name == unknown:
		return ""
	}
	return strings.ToUpper(name)
}

func named(names map[int]string) func(int) string {
	return func(n int) string { return known0(names[n], "", n) }
}

func bit(o consent.Obligations) int {
	for n := range 8 {
		if o == 1<<n {
			return n
		}
	}
	return -1
}

// TestMethodsAreKnown holds the law's list against the contract's: what the law refuses as unknown isn't in it.
func TestMethodsAreKnown(t *testing.T) {
	for n := range 256 {
		e := consent.Event{
			Kind: consent.Granted, Scope: consent.Scope{Permissions: []string{"a"}}, Evidence: consent.Evidence{Method: consent.Method(n)},
		}
		_, inContract := consentv1.Method_name[int32(n)]
		if err := consent.ValidateEvent(e); (err == nil) != inContract {
			t.Errorf("method %d: %v, in the contract: %t", n, err, inContract)
		}
	}
}

func TestEventsComeBackAsTheyWent(t *testing.T) {
	yes, no := true, false
	want := &consentv1.Event{
		Kind: consentv1.EventKind_EVENT_KIND_GRANTED, OccurredAt: &timestamppb.Timestamp{Seconds: 1700000000, Nanos: 5e6},
		Scope:    &consentv1.Scope{Permissions: []string{"a/b", "c"}},
		Evidence: grant("", "a").GetEvidence(),
		Terms: &consentv1.GrantTerms{
			Explicit: true, OverridesRestriction: true, ValidFrom: &timestamppb.Timestamp{Seconds: 1700000001},
			ExpiresAt: &timestamppb.Timestamp{Seconds: 1800000000},
		},
	}
	want.Evidence.NoticeHash = []byte(strings.Repeat("h", 32))
	facts := attributes(&consentv1.Attributes{
		BirthDate: text("2011-07-24"), Country: text("DE"), GuardianAuthorised: &yes, Relationship: 2, AddressFromSale: &no,
		OptOutNoticeGiven: &yes, ContractActive: &no, Business: &yes,
	})
	facts.Subject = ""
	objected := &consentv1.Event{
		Kind: consentv1.EventKind_EVENT_KIND_OBJECTED, Objection: 1, Scope: &consentv1.Scope{Purposes: []string{"a"}, Channels: []string{"b"}},
	}
	proof := grant("", "a", func(e *consentv1.Event) {
		e.Kind, e.GrantAt = consentv1.EventKind_EVENT_KIND_EVIDENCE_ADDED, &timestamppb.Timestamp{Seconds: 1600000000}
		e.OccurredAt = &timestamppb.Timestamp{Seconds: 1700000000}
	})
	forgotten := attributes(&consentv1.Attributes{BirthDate: text("none"), Country: text("none")})
	forgotten.Subject = ""
	for _, want := range []*consentv1.Event{want, facts, objected, proof, forgotten} {
		event, err := eventOf(want)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, protoEvent(&event), protocmp.Transform()); diff != "" {
			t.Errorf("came back otherwise (-want +got):\n%s", diff)
		}
	}
}

func TestTimes(t *testing.T) {
	for _, at := range []consent.Time{1, 999, 1000, 1_700_000_000_123, consent.MaxTime, -1, -1001} {
		if got := consent.TimeOf(timestamp(at).AsTime()); got != at || timestamp(at).CheckValid() != nil {
			t.Errorf("%d comes back as %d", at, got)
		}
	}
	if timestamp(0) != nil || timeOf(nil) != 0 {
		t.Error("no time is some time")
	}
	if timeOf(timestamppb.New(time.UnixMilli(0))) == 0 {
		t.Error("1970 is no time")
	}
}
