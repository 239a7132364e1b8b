package server

import (
	"context"
	"fmt"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/consentd/consentd/proto/wire"
)

const maxPermissions = 64 // of one question

// permissionService answers questions.
type permissionService struct {
	consentv1.UnimplementedPermissionServiceServer
	*core
}

// check decides 1 to 64 permissions of one subject, from one lookup. It returns a *wire.Reply, or that of the replica that it passed it on to.
func (s *permissionService) check(ctx context.Context, q *wire.Question) (any, error) {
	law, err := lawOf(q)
	if err != nil {
		return nil, err
	}
	view, tenant, err := s.look(ctx, q.Tenant, q.Consistency)
	if s.isElsewhere(err) {
		reply := new(consentv1.CheckResponse)
		return reply, s.passAt(ctx, view, consentv1.PermissionService_Check_FullMethodName, q.Message(), reply)
	}
	if err != nil {
		return nil, err
	}
	buf := s.borrow()
	defer s.giveBack(buf)
	view, tenant, record, err := s.recordOf(ctx, view, tenant, q.Subject, buf)
	if err != nil {
		return nil, err
	}
	reply := newReply(len(q.Permissions))
	return reply, s.decide(q, law, view, tenant, record, reply)
}

// newReply returns a reply with room for so many results.
func newReply(results int) *wire.Reply {
	if results > 1 {
		return &wire.Reply{Results: make([]wire.Result, results)}
	}
	single := new(struct {
		reply  wire.Reply
		result [1]wire.Result
	})
	single.reply.Results = single.result[:results]
	return &single.reply
}

// lawOf returns what a check asks of the law, if it asks what can be.
func lawOf(q *wire.Question) (consent.Question, error) {
	law, err := questionOf(q.SubjectType, q.SimilarGoods)
	if err != nil {
		return law, err
	}
	return law, checkPermissions(q.Permissions)
}

// decide fills in the reply to a check from a record, unless the state that it is of has grown too old.
func (c *core) decide(
	q *wire.Question, law consent.Question, view consent.View, tenant *consent.Tenant, record consent.Record, reply *wire.Reply,
) error {
	now := c.now() // after view and record: what they say was true until at least FreshAsOf, which must be within the bound now
	age, fresh := view.Age(now)
	if !fresh {
		return consent.ErrStale
	}
	c.answer(reply.Results, q.Permissions, tenant, record, law, now)
	keepFor(reply.Results, now, view.Bound-age)
	reply.Revision, reply.PolicyVersion, reply.Age = c.token(view.Revision), policyVersion(tenant), age
	return nil
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

func policyVersion(t *consent.Tenant) int64 {
	if t.Policy == nil {
		return 0
	}
	return t.Policy.Version
}

// answer fills in the result for each permission.
func (c *core) answer(
	results []wire.Result, permissions []string, t *consent.Tenant, r consent.Record, law consent.Question, now time.Time,
) {
	at := consent.TimeOf(now)
	for i, name := range permissions {
		permission := permissionOf(t, name)
		if permission == nil {
			results[i] = wire.Result{Permission: name, Status: unknownPermission(name)}
			continue
		}
		d := consent.Decide(permission, r, law, at)
		c.decisions.count(permission.Name, d.Reason)
		setResult(&results[i], name, d)
	}
}

// setResult makes a result an answer, for as long as nothing is known of how long it may be kept.
func setResult(r *wire.Result, name string, d consent.Decision) {
	*r = wire.Result{
		Permission: name, Answered: true, Decision: decisionOf(d.Allowed), Reason: consentv1.Reason(d.Reason), Basis: consentv1.Basis(d.Basis),
		Obligations: wire.Obligations(d.Obligations), NextChange: d.NextChange.Std(),
	}
}

func permissionOf(t *consent.Tenant, name string) *consent.Permission {
	if t.Policy == nil {
		return nil
	}
	return t.Policy.Permission(name)
}

// keepFor says how long the answers may be kept: until time changes them, and no longer than what is left of the bound.
func keepFor(results []wire.Result, now time.Time, left time.Duration) {
	for i := range results {
		if results[i].Answered {
			results[i].CacheFor = cacheFor(results[i].NextChange, now, left)
		}
	}
}

// cacheFor is zero if an answer mustn't be kept.
func cacheFor(change, now time.Time, left time.Duration) time.Duration {
	if !change.IsZero() {
		left = min(left, change.Sub(now))
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
