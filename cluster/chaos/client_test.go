package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/google/uuid"
)

var _ Replica = (*replica)(nil)

// Reasons by which a replica says that a write hasn't happened, and those that leave open whether it has. With others something is odd.
var (
	notDone = []string{"NOT_WRITTEN", "OVERLOADED", "STORAGE_FULL", "NO_LEADER"}
	open    = []string{"OUTCOME_UNKNOWN", "DEADLINE_EXCEEDED", "CANCELLED", "NOT_READY"}
)

// reasonOf returns the reason in an error of consentd, or nothing for one of the connection.
func reasonOf(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// broken reports whether an error is only one of the connection, or of time.
func broken(err error) bool {
	return slices.Contains([]codes.Code{codes.Unavailable, codes.DeadlineExceeded, codes.Canceled}, status.Code(err))
}

// Write implements Replica.
func (r *replica) Write(ctx context.Context, w Write) (Reply, error) {
	reply, err := r.tryToWrite(ctx, w)
	switch reason := reasonOf(err); {
	case err == nil:
		return reply, nil
	case slices.Contains(notDone, reason):
		return Reply{}, fmt.Errorf("%w: %w", ErrNotDone, err)
	case !slices.Contains(open, reason) && (reason != "" || !broken(err)):
		r.odd.add(fmt.Errorf("%s answered a write with %w", r.id, err))
	}
	return Reply{}, err
}

// tryToWrite writes an event, or puts a policy.
func (r *replica) tryToWrite(ctx context.Context, w Write) (Reply, error) {
	if w.Subject == PolicySubject {
		reply, err := r.policies.PutPolicy(ctx, &consentv1.PutPolicyRequest{
			Tenant: PolicyTenant, RequestId: uuid.UUID(w.RequestID).String(), Document: string(PolicyOf(w)),
		})
		if err != nil {
			return Reply{}, err
		}
		return replyOf(reply.GetPolicy().GetRevision(), reply.GetPolicy().GetPutAt().AsTime())
	}
	return r.writeEvent(ctx, "", w)
}

func (r *replica) writeEvent(ctx context.Context, tenant string, w Write) (Reply, error) {
	kind := consentv1.EventKind_EVENT_KIND_GRANTED
	if w.Kind == Withdraw {
		kind = consentv1.EventKind_EVENT_KIND_WITHDRAWN
	}
	reply, err := r.records.WriteEvents(ctx, &consentv1.WriteEventsRequest{
		Tenant: tenant, RequestId: uuid.UUID(w.RequestID).String(),
		Events: []*consentv1.Event{{
			Subject: w.Subject, Kind: kind, Scope: &consentv1.Scope{Permissions: []string{"newsletter/email"}},
			Evidence: &consentv1.Evidence{
				NoticeVersion: 1, Method: consentv1.Method_METHOD_WEB_FORM, Source: "chaos", Reference: w.Reference,
			},
		}},
	})
	if err != nil {
		return Reply{}, err
	}
	return replyOf(reply.GetRevision(), reply.GetStamp().AsTime())
}

// preparePolicy puts the first version of the policy that changes, and grants what it is about.
func (r *replica) preparePolicy() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	id := func() consent.RequestID {
		id, err := uuid.NewV7()
		if err != nil {
			r.t.Fatal(err)
		}
		return consent.RequestID(id)
	}
	if _, err := r.tryToWrite(ctx, Write{Kind: Withdraw, Subject: PolicySubject, RequestID: id()}); err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.writeEvent(ctx, PolicyTenant, Write{Kind: Grant, Subject: PolicyHolder, Reference: "holder", RequestID: id()}); err != nil {
		r.t.Fatal(err)
	}
}

// Check implements Replica.
func (r *replica) Check(ctx context.Context, q Question) (Reply, error) {
	c := &consentv1.Consistency{}
	switch q.Level {
	case Full:
		c.Requirement = &consentv1.Consistency_FullyConsistent{FullyConsistent: true}
	case AtLeast:
		c.Requirement = &consentv1.Consistency_AtLeast{AtLeast: q.Asked.String()}
	case Fast:
		c.Requirement = &consentv1.Consistency_MinimizeLatency{MinimizeLatency: true}
	}
	tenant, subject := "", q.Subject
	if subject == PolicySubject {
		tenant, subject = PolicyTenant, PolicyHolder
	}
	response, err := r.checks.Check(ctx, &consentv1.CheckRequest{
		Tenant: tenant, Subject: subject, Permissions: []string{"newsletter/email"}, Consistency: c,
	})
	if err != nil {
		reason := reasonOf(err)
		if !broken(err) && reason != "OVERLOADED" && (reason != "EPOCH_CHANGED" || !r.odd.restored.Load()) {
			r.odd.add(fmt.Errorf("%s answered a check with %w", r.id, err))
		} else if reason == "STALE" {
			err = fmt.Errorf("%w: %w", consent.ErrStale, err)
		}
		return Reply{}, err
	}
	answer := response.GetResults()[0].GetAnswer()
	if answer == nil {
		return Reply{}, errors.New("no answer")
	}
	reply, err := revisionOf(response.GetRevision())
	reply.Age = response.GetAge().AsDuration()
	reply.Allowed = answer.GetDecision() == consentv1.Decision_DECISION_ALLOW
	return reply, err
}

func revisionOf(token string) (Reply, error) {
	revision, err := consent.ParseRevision(token)
	return Reply{Revision: revision}, err
}

func replyOf(token string, stamp time.Time) (Reply, error) {
	reply, err := revisionOf(token)
	reply.Stamp = consent.TimeOf(stamp)
	return reply, err
}

// recorded returns the events of subjects, as a replica has them once it has all that was acknowledged.
func (r *replica) recorded(subjects []string) (map[string][]Event, error) {
	all := map[string][]Event{}
	for _, subject := range subjects {
		if subject == PolicySubject {
			var err error
			if all[subject], err = r.recordedPolicies(); err != nil {
				return nil, err
			}
			continue
		}
		for page := ""; ; {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			reply, err := r.records.ListEvents(ctx, &consentv1.ListEventsRequest{
				Subject: subject, PageSize: 1000, PageToken: page,
				Consistency: &consentv1.Consistency{Requirement: &consentv1.Consistency_FullyConsistent{FullyConsistent: true}},
			})
			cancel()
			if err != nil {
				return nil, fmt.Errorf("listing the events of %s on %s: %w", subject, r.id, err)
			}
			for _, e := range reply.GetEvents() {
				as, err := replyOf(e.GetRevision(), e.GetStamp().AsTime())
				if err != nil {
					return nil, err
				}
				all[subject] = append(all[subject], Event{Reference: e.GetEvent().GetEvidence().GetReference(), Revision: as.Revision, Stamp: as.Stamp})
			}
			if page = reply.GetNextPageToken(); page == "" {
				break
			}
		}
	}
	return all, nil
}

// recordedPolicies returns the versions of the policy that changes.
func (r *replica) recordedPolicies() (all []Event, err error) {
	for version := int64(PolicyVersions + 1); ; version++ {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		reply, err := r.policies.GetPolicy(ctx, &consentv1.GetPolicyRequest{Tenant: PolicyTenant, Version: version})
		cancel()
		switch {
		case reasonOf(err) == "UNKNOWN_VERSION":
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("listing the policies on %s: %w", r.id, err)
		}
		p := reply.GetPolicy()
		as, err := replyOf(p.GetRevision(), p.GetPutAt().AsTime())
		if err != nil {
			return nil, err
		}
		all = append(all, PolicyEvent(p.GetDocument(), as.Revision, as.Stamp))
	}
}
