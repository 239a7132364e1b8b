package server

import (
	"context"
	"fmt"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const maxPermissions = 64 // of one question

// permissionService answers questions.
type permissionService struct {
	consentv1.UnimplementedPermissionServiceServer
	*core
}

// Check decides 1 to 64 permissions of one subject, from one lookup.
func (s *permissionService) Check(ctx context.Context, r *consentv1.CheckRequest) (*consentv1.CheckResponse, error) {
	question, err := questionIn(r)
	if err != nil {
		return nil, err
	}
	view, tenant, err := s.look(ctx, r.GetTenant(), r.GetConsistency())
	if s.isElsewhere(err) {
		reply := new(consentv1.CheckResponse)
		return reply, s.passAt(ctx, view, consentv1.PermissionService_Check_FullMethodName, r, reply)
	}
	if err != nil {
		return nil, err
	}
	buf := s.borrow()
	defer s.giveBack(buf)
	view, tenant, record, err := s.recordOf(ctx, view, tenant, r.GetSubject(), buf)
	if err != nil {
		return nil, err
	}
	return s.decide(r, question, view, tenant, record)
}

// questionIn returns what a check asks of the law, if it asks what can be.
func questionIn(r *consentv1.CheckRequest) (consent.Question, error) {
	question, err := questionOf(r.GetSubjectType(), r.GetSimilarGoods())
	if err != nil {
		return question, err
	}
	return question, checkPermissions(r.GetPermissions())
}

// decide answers a check from a record, unless the state that it is of has grown too old.
func (s *permissionService) decide(
	r *consentv1.CheckRequest, question consent.Question, view consent.View, tenant *consent.Tenant, record consent.Record,
) (*consentv1.CheckResponse, error) {
	now := s.now() // after view and record: what they say was true until at least FreshAsOf, which must be within the bound now
	age, fresh := view.Age(now)
	if !fresh {
		return nil, consent.ErrStale
	}
	answers := newAnswers(len(r.GetPermissions()))
	answers.decide(s.core, tenant, record, r.GetPermissions(), question, now)
	answers.keepFor(now, view.Bound-age)
	return s.checkReply(view, tenant, age, answers), nil
}

func checkPermissions(permissions []string) error {
	if n := len(permissions); n == 0 || n > maxPermissions {
		return invalid("permissions", "%d permissions: ask for 1 to %d", n, maxPermissions)
	}
	return nil
}

// look returns the state that a question is answered from, and its tenant. With consent.ErrUnknownTenant, it returns the state that lacks it.
func (c *core) look(ctx context.Context, name string, demand *consentv1.Consistency) (consent.View, *consent.Tenant, error) {
	view, err := c.view(ctx, demand)
	if err != nil {
		return consent.View{}, nil, err
	}
	return c.lookIn(view, name)
}

// lookIn returns a view, and its tenant of the name.
func (c *core) lookIn(view consent.View, name string) (consent.View, *consent.Tenant, error) {
	if name == "" {
		name = defaultTenant
	}
	tenant := view.Tenants[name]
	if tenant == nil {
		if _, fresh := view.Age(c.now()); !fresh { // it may have been put meanwhile
			return consent.View{}, nil, consent.ErrStale
		}
		return view, nil, consent.ErrUnknownTenant
	}
	return view, tenant, nil
}

// recordOf returns a subject's record, and the state that it is of: as new as the one given, or newer. On a sidecar it is exactly of that
// state.
func (c *core) recordOf(
	ctx context.Context, view consent.View, t *consent.Tenant, id string, buf *consent.Buffer,
) (consent.View, *consent.Tenant, consent.Record, error) {
	for {
		subject, err := subjectOf(id, t)
		if err != nil {
			return view, t, nil, err
		}
		if c.near == nil {
			record, err := c.state.Record(ctx, t, subject, buf)
			return view, t, record, err
		}
		exact, record, err := c.near.Look(ctx, t, subject)
		if err != nil {
			return view, t, nil, err
		}
		now := exact.Tenants[t.Name]
		if now == t {
			return exact, t, record, nil
		}
		if now == nil {
			return exact, nil, nil, consent.ErrUnknownTenant
		}
		view, t = exact, now
	}
}

func (c *core) view(ctx context.Context, demand *consentv1.Consistency) (consent.View, error) {
	consistency, err := consistencyOf(demand)
	if err != nil {
		return consent.View{}, err
	}
	return c.viewAt(ctx, consistency)
}

func (c *core) viewAt(ctx context.Context, consistency consent.Consistency) (consent.View, error) {
	view, err := c.state.View(ctx, consistency)
	if err != nil {
		return consent.View{}, err
	}
	if view.Head == nil {
		return consent.View{}, consent.ErrNotReady
	}
	return view, nil
}

// checkReply and its age are allocated together.
type checkReply struct {
	response consentv1.CheckResponse
	age      durationpb.Duration
}

func (c *core) checkReply(view consent.View, tenant *consent.Tenant, age time.Duration, a answers) *consentv1.CheckResponse {
	reply := new(checkReply)
	setDuration(&reply.age, age)
	reply.response.Results = a.results
	reply.response.Revision = c.token(view.Revision)
	reply.response.PolicyVersion = policyVersion(tenant)
	reply.response.Age = &reply.age
	return &reply.response
}

func policyVersion(t *consent.Tenant) int64 {
	if t.Policy == nil {
		return 0
	}
	return t.Policy.Version
}

// answers are the results of one question. Everything that they point to is allocated in one piece.
type answers struct {
	rows    []answerRow
	results []*consentv1.CheckResult
}

// answerRow is one result, with room for all that it may point to.
type answerRow struct {
	result   consentv1.CheckResult
	oneof    consentv1.CheckResult_Answer
	answer   consentv1.Answer
	next     timestamppb.Timestamp
	keep     durationpb.Duration
	changeAt consent.Time
}

func newAnswers(n int) answers {
	return answers{make([]answerRow, n), make([]*consentv1.CheckResult, n)}
}

// part returns room for n of the answers, from one of them on.
func (a answers) part(from, n int) answers {
	return answers{a.rows[from : from+n : from+n], a.results[from : from+n : from+n]}
}

// decide fills in an answer or a status for each permission.
func (a answers) decide(
	c *core, t *consent.Tenant, r consent.Record, permissions []string, q consent.Question, now time.Time,
) {
	at := consent.TimeOf(now)
	for i, name := range permissions {
		row := &a.rows[i]
		a.results[i] = &row.result
		row.result.Permission = name
		permission := permissionOf(t, name)
		if permission == nil {
			row.result.Result = &consentv1.CheckResult_Status{Status: unknownPermission(name)}
			continue
		}
		decision := consent.Decide(permission, r, q, at)
		c.decisions.count(permission.Name, decision.Reason)
		row.answerWith(decision)
	}
}

func permissionOf(t *consent.Tenant, name string) *consent.Permission {
	if t.Policy == nil {
		return nil
	}
	return t.Policy.Permission(name)
}

func (row *answerRow) answerWith(d consent.Decision) {
	fillAnswer(&row.answer, d)
	if d.NextChange != 0 {
		row.changeAt = d.NextChange
		setTimestamp(&row.next, d.NextChange)
		row.answer.NextChange = &row.next
	}
	row.oneof.Answer = &row.answer
	row.result.Result = &row.oneof
}

// fillAnswer fills in all but the times.
func fillAnswer(answer *consentv1.Answer, d consent.Decision) {
	answer.Decision = decisionOf(d.Allowed)
	answer.Reason = consentv1.Reason(d.Reason)
	answer.Basis = consentv1.Basis(d.Basis)
	answer.Obligations = obligationsOf(d.Obligations)
}

// keepFor says how long the answers may be kept: until time changes them, and no longer than what is left of the bound.
func (a answers) keepFor(now time.Time, left time.Duration) {
	for i := range a.rows {
		row := &a.rows[i]
		if row.oneof.Answer == nil {
			continue
		}
		if keep := cacheFor(row.changeAt, now, left); keep > 0 {
			setDuration(&row.keep, keep)
			row.answer.CacheFor = &row.keep
		}
	}
}

// cacheFor is zero if an answer mustn't be kept.
func cacheFor(changeAt consent.Time, now time.Time, left time.Duration) time.Duration {
	if changeAt != 0 {
		left = min(left, changeAt.Std().Sub(now))
	}
	return max(left, 0)
}

// checkTooLarge holds the limit of a single check, which the library can't: it has one limit for all methods.
func checkTooLarge(bytes int) error {
	if bytes > maxCheckBytes {
		return fmt.Errorf("%d bytes: %w", bytes, errTooLarge)
	}
	return nil
}
