package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// explaining gives one explanation.
type explaining struct {
	consentv1.UnimplementedPermissionServiceServer
}

func (explaining) Explain(context.Context, *consentv1.ExplainRequest) (*consentv1.ExplainResponse, error) {
	return &consentv1.ExplainResponse{Revision: "r", PolicyVersion: 3, Age: durationpb.New(time.Second), Explanations: []*consentv1.Explanation{{
		Permission: "newsletter/email",
		Answer: &consentv1.Answer{
			Decision: consentv1.Decision_DECISION_DENY, Reason: consentv1.Reason_REASON_UNCONFIRMED, Basis: consentv1.Basis_BASIS_CONSENT,
			NextChange: timestamppb.New(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)),
		},
		Steps: []*consentv1.Step{
			{Row: "3", Condition: "erased", Decision: consentv1.Decision_DECISION_DENY, Facts: []string{"erased_at = none"}, Source: "Art. 17 GDPR"},
			{
				Row: "21", Basis: consentv1.Basis_BASIS_CONSENT, Condition: "not confirmed", Matched: true,
				Decision: consentv1.Decision_DECISION_DENY, Reason: consentv1.Reason_REASON_UNCONFIRMED,
				Facts: []string{"double_opt_in = true", "confirmed_at = never"}, Source: "BGH I ZR 164/09",
			},
		},
		Failed: []*consentv1.FailedCondition{{
			Row: "21", Basis: consentv1.Basis_BASIS_CONSENT, Reason: consentv1.Reason_REASON_UNCONFIRMED, Detail: "nothing confirms it",
			Remedy: consentv1.Remedy_REMEDY_RECORD_CONFIRMATION, Advice: "record the confirmation, if it came",
		}},
	}}}, nil
}

func TestExplain(t *testing.T) {
	addr := startFake(t, func(s *grpc.Server) { consentv1.RegisterPermissionServiceServer(s, explaining{}) })
	got := consentd(t, "check", "anna", "newsletter/email", "--explain", "--addr", addr)
	want := `newsletter/email: DENY UNCONFIRMED, on the basis CONSENT, until 2030-01-02T03:04:05Z at the latest
  asked, row by row of the decision table:
    no   row 3: erased [Art. 17 GDPR]
           erased_at = none
    YES  row 21, CONSENT: not confirmed => DENY UNCONFIRMED [BGH I ZR 164/09]
           double_opt_in = true; confirmed_at = never
  what failed, and what would mend it:
    UNCONFIRMED (row 21, CONSENT): nothing confirms it
      RECORD_CONFIRMATION: record the confirmation, if it came

`
	if diff := cmp.Diff(want, got.stdout); diff != "" || got.code != exitDenied {
		t.Errorf("exit code %d\n%s", got.code, diff)
	}
	json := consentd(t, "check", "anna", "newsletter/email", "--explain", "--addr", addr, "-o", "json")
	for _, want := range []string{`"remedy": "RECORD_CONFIRMATION"`, `"row": "21"`, `"confirmed_at = never"`, `"reason": "UNCONFIRMED"`} {
		if !strings.Contains(json.stdout, want) {
			t.Errorf("%s isn't in:\n%s", want, json.stdout)
		}
	}
}
