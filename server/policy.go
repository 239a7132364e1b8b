package server

import (
	"bytes"
	"context"
	"errors"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

const maxDocumentBytes = 1 << 20

// policyService keeps policies.
type policyService struct {
	consentv1.UnimplementedPolicyServiceServer
	*core
}

// PutPolicy makes a document the tenant's next version, or says what that would change.
func (s *policyService) PutPolicy(ctx context.Context, r *consentv1.PutPolicyRequest) (*consentv1.PutPolicyResponse, error) {
	name, err := tenantName(r.GetTenant())
	if err != nil {
		return nil, err
	}
	if n := len(r.GetDocument()); n == 0 || n > maxDocumentBytes {
		return nil, invalid("document", "%d bytes: a policy has 1 to %d", n, maxDocumentBytes)
	}
	id, err := requestID(r.GetRequestId())
	if err != nil {
		return nil, err
	}
	policy, err := consent.ParsePolicy([]byte(r.GetDocument()))
	if err != nil {
		return nil, err
	}
	put := consent.PolicyPut{Tenant: name, RequestID: id, Document: []byte(r.GetDocument()), ETag: r.GetEtag()}
	if r.GetValidateOnly() {
		return s.tryPolicy(ctx, r, put, policy)
	}
	version, changed, err := s.policies.PutPolicy(ctx, put)
	if err != nil {
		return nil, err
	}
	reply := &consentv1.PutPolicyResponse{Policy: protoPolicy(name, &version), Changed: changed}
	reply.Policy.Permissions = permissionNames(policy)
	return reply, nil
}

// tryPolicy says what putting a policy would come to.
func (s *policyService) tryPolicy(
	ctx context.Context, r *consentv1.PutPolicyRequest, put consent.PolicyPut, policy *consent.Policy,
) (*consentv1.PutPolicyResponse, error) {
	question, err := questionOf(r.GetSubjectType(), r.GetSimilarGoods())
	if err != nil {
		return nil, err
	}
	newest, err := s.policies.Policy(ctx, put.Tenant, 0)
	if err != nil && !errors.Is(err, consent.ErrUnknownTenant) && !errors.Is(err, consent.ErrUnknownVersion) {
		return nil, err
	}
	if put.ETag != "" && put.ETag != etagOf(&newest) {
		return nil, consent.ErrETag
	}
	if newest.Version > 0 && bytes.Equal(newest.Document, put.Document) {
		return &consentv1.PutPolicyResponse{Policy: protoPolicy(put.Tenant, &newest)}, nil
	}
	view, err := s.view(ctx, nil)
	if err != nil {
		return nil, err
	}
	next := &consentv1.Policy{
		Tenant: put.Tenant, Version: newest.Version + 1, Document: r.GetDocument(), Permissions: permissionNames(policy),
	}
	reply := &consentv1.PutPolicyResponse{Policy: next, Changed: true}
	if tenant := view.Tenants[put.Tenant]; tenant != nil {
		reply.Flips, reply.Subjects, err = s.countFlips(ctx, tenant, policy, question)
	}
	return reply, err
}

// etagOf returns the etag that a put has to name to follow a version.
func etagOf(v *consent.PolicyVersion) string {
	if v.Version == 0 {
		return consent.ETagNone
	}
	return v.ETag
}

func protoPolicy(tenant string, v *consent.PolicyVersion) *consentv1.Policy {
	return &consentv1.Policy{
		Tenant: tenant, Version: v.Version, Etag: v.ETag, Document: string(v.Document), PutAt: timestamp(v.PutAt),
		Revision: v.Revision.String(),
	}
}

// GetPolicy returns a version.
func (s *policyService) GetPolicy(ctx context.Context, r *consentv1.GetPolicyRequest) (*consentv1.GetPolicyResponse, error) {
	name, err := tenantName(r.GetTenant())
	if err != nil {
		return nil, err
	}
	if r.GetVersion() < 0 {
		return nil, invalid("version", "%d: versions count from 1, and 0 is the newest", r.GetVersion())
	}
	version, err := s.policies.Policy(ctx, name, r.GetVersion())
	if r.GetVersion() == 0 && errors.Is(err, consent.ErrUnknownVersion) {
		return nil, errNoPolicy
	}
	if err != nil {
		return nil, err
	}
	policy := protoPolicy(name, &version)
	if parsed, err := consent.ParsePolicy(version.Document); err == nil {
		policy.Permissions = permissionNames(parsed)
	}
	return &consentv1.GetPolicyResponse{Policy: policy}, nil
}

// ListPolicies returns versions, newest first.
func (s *policyService) ListPolicies(
	ctx context.Context, r *consentv1.ListPoliciesRequest,
) (*consentv1.ListPoliciesResponse, error) {
	name, err := tenantName(r.GetTenant())
	if err != nil {
		return nil, err
	}
	limit, err := pageSize(r.GetPageSize())
	if err != nil {
		return nil, err
	}
	before, err := policyPlace(r.GetPageToken())
	if err != nil {
		return nil, err
	}
	versions, err := s.policies.PolicyVersions(ctx, name, before, limit)
	if err != nil {
		return nil, err
	}
	reply := &consentv1.ListPoliciesResponse{}
	for i := range versions {
		reply.Policies = append(reply.Policies, protoPolicy(name, &versions[i]))
	}
	if n := len(versions); n == limit && versions[n-1].Version > 1 {
		reply.NextPageToken = policyToken(versions[n-1].Version)
	}
	return reply, nil
}
