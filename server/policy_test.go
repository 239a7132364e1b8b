package server

import (
	"slices"
	"strings"
	"testing"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestPutPolicy(t *testing.T) {
	r := newRig(t)
	put := func(q *consentv1.PutPolicyRequest) (*consentv1.PutPolicyResponse, error) {
		return r.policies.PutPolicy(background(t), q)
	}
	same := must[*consentv1.PutPolicyResponse](t)(put(&consentv1.PutPolicyRequest{Document: testPolicy}))
	if same.GetChanged() || same.GetPolicy().GetVersion() != 1 || len(same.GetPolicy().GetPermissions()) != 4 {
		t.Errorf("the same again: %v", same)
	}
	next := must[*consentv1.PutPolicyResponse](t)(put(&consentv1.PutPolicyRequest{
		Document: testPolicy + "\n# changed", Etag: same.GetPolicy().GetEtag(),
	}))
	if !next.GetChanged() || next.GetPolicy().GetVersion() != 2 || next.GetPolicy().GetEtag() == same.GetPolicy().GetEtag() ||
		next.GetPolicy().GetRevision() == "" || next.GetPolicy().GetPutAt() == nil {
		t.Errorf("another document: %v", next)
	}
	for _, validate := range []bool{false, true} {
		_, err := put(&consentv1.PutPolicyRequest{Document: testPolicy, Etag: same.GetPolicy().GetEtag(), ValidateOnly: validate})
		wantError(t, err, codes.Aborted, "ETAG_MISMATCH")
		_, err = put(&consentv1.PutPolicyRequest{Document: testPolicy, Etag: "none", ValidateOnly: validate})
		wantError(t, err, codes.Aborted, "ETAG_MISMATCH")
		_, err = put(&consentv1.PutPolicyRequest{Document: "nonsense: 1", ValidateOnly: validate})
		wantError(t, err, codes.InvalidArgument, "INVALID_POLICY")
	}
	_, err := put(&consentv1.PutPolicyRequest{})
	wantViolation(t, err, "document")
	_, err = put(&consentv1.PutPolicyRequest{Document: strings.Repeat("#", 1<<20+1)})
	wantViolation(t, err, "document")
	_, err = put(&consentv1.PutPolicyRequest{Document: testPolicy, RequestId: "1"})
	wantViolation(t, err, "request_id")
	_, err = put(&consentv1.PutPolicyRequest{Document: testPolicy, Tenant: "A B"})
	wantViolation(t, err, "tenant")
	_, err = put(&consentv1.PutPolicyRequest{Document: testPolicy + "#", SubjectType: 9, ValidateOnly: true})
	wantViolation(t, err, "subject_type")
}

// TestFlips tries policies on three subjects without putting them.
func TestFlips(t *testing.T) {
	r := newRig(t)
	r.write(t, grant(anna, "recommendations/web"), grant("bob", "recommendations/web"), event("carl", consentv1.EventKind_EVENT_KIND_WITHDRAWN))
	try := func(document string) *consentv1.PutPolicyResponse {
		t.Helper()
		return must[*consentv1.PutPolicyResponse](t)(r.policies.PutPolicy(background(t), &consentv1.PutPolicyRequest{
			Document: document, ValidateOnly: true,
		}))
	}
	if same := try(testPolicy); same.GetChanged() || len(same.GetFlips()) != 0 {
		t.Errorf("the same: %v", same)
	}
	stricter := try(strings.Replace(testPolicy, "expires_after: 30d", "expires_after: 30d\n        double_opt_in: true", 1))
	if !stricter.GetChanged() || stricter.GetSubjects() != 3 || stricter.GetPolicy().GetVersion() != 2 || len(stricter.GetFlips()) != 1 {
		t.Fatalf("stricter: %v", stricter)
	}
	flip := stricter.GetFlips()[0]
	if flip.GetPermission() != "recommendations/web" || flip.GetSubjects() != 2 || flip.GetFromReason() != consentv1.Reason_REASON_CONSENT ||
		flip.GetToReason() != consentv1.Reason_REASON_UNCONFIRMED || flip.GetToDecision() != consentv1.Decision_DECISION_DENY {
		t.Errorf("flip %v", flip)
	}
	document, _, _ := strings.Cut(testPolicy, "  recommendations:")
	without := try(document)
	if len(without.GetFlips()) != 1 || without.GetFlips()[0].GetToDecision() != consentv1.Decision_DECISION_UNSPECIFIED ||
		without.GetFlips()[0].GetSubjects() != 2 {
		t.Errorf("without a permission: %v", without.GetFlips())
	}
	other := must[*consentv1.PutPolicyResponse](t)(r.policies.PutPolicy(background(t), &consentv1.PutPolicyRequest{
		Tenant: "new", Document: testPolicy, ValidateOnly: true,
	}))
	if !other.GetChanged() || other.GetPolicy().GetVersion() != 1 || other.GetSubjects() != 0 {
		t.Errorf("a new tenant: %v", other)
	}
	if _, err := r.policies.GetPolicy(background(t), &consentv1.GetPolicyRequest{Version: 2}); err == nil {
		t.Error("trying put a version")
	}
}

func TestGetAndListPolicies(t *testing.T) {
	r := newRig(t)
	for _, comment := range []string{"#2", "#3"} {
		r.memory.put(t, defaultTenant, testPolicy+comment)
	}
	get := func(q *consentv1.GetPolicyRequest) (*consentv1.GetPolicyResponse, error) {
		return r.policies.GetPolicy(background(t), q)
	}
	newest := must[*consentv1.GetPolicyResponse](t)(get(&consentv1.GetPolicyRequest{})).GetPolicy()
	if newest.GetVersion() != 3 || newest.GetDocument() != testPolicy+"#3" || newest.GetTenant() != "default" || len(newest.GetPermissions()) != 4 {
		t.Errorf("newest %v", newest)
	}
	if first := must[*consentv1.GetPolicyResponse](t)(get(&consentv1.GetPolicyRequest{Version: 1})).GetPolicy(); first.GetVersion() != 1 {
		t.Errorf("first %v", first)
	}
	_, err := get(&consentv1.GetPolicyRequest{Version: 9})
	wantError(t, err, codes.NotFound, "UNKNOWN_VERSION")
	_, err = get(&consentv1.GetPolicyRequest{Tenant: "nobody"})
	wantError(t, err, codes.NotFound, "UNKNOWN_TENANT")
	_, err = get(&consentv1.GetPolicyRequest{Version: -1})
	wantViolation(t, err, "version")
	r.memory.failWith(func(string) error { return consent.ErrUnknownVersion }) // the tenant has records, and no policy
	if _, err = get(&consentv1.GetPolicyRequest{}); status.Convert(err).Message() != errNoPolicy.Error() {
		t.Errorf("the newest policy of none: %v", err)
	}
	r.memory.failWith(func(string) error { return nil })

	var versions []int64
	request := &consentv1.ListPoliciesRequest{PageSize: 2}
	for {
		reply := must[*consentv1.ListPoliciesResponse](t)(r.policies.ListPolicies(background(t), request))
		for _, p := range reply.GetPolicies() {
			versions = append(versions, p.GetVersion())
			if p.GetDocument() != "" {
				t.Error("a list with documents")
			}
		}
		if request.PageToken = reply.GetNextPageToken(); request.PageToken == "" {
			break
		}
	}
	if !slices.Equal(versions, []int64{3, 2, 1}) {
		t.Errorf("versions %v", versions)
	}
	_, err = r.policies.ListPolicies(background(t), &consentv1.ListPoliciesRequest{PageToken: "?"})
	wantViolation(t, err, "page_token")
	_, err = r.policies.ListPolicies(background(t), &consentv1.ListPoliciesRequest{PageSize: -1})
	wantViolation(t, err, "page_size")
}
