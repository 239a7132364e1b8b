package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/consentd/consentd/proto/wire"
)

const maxPermissions = 64 // of one question

// Allowed reports whether a purpose may be pursued, for callers who only branch. It is false on every error.
func (c *Client) Allowed(ctx context.Context, subject, permission string) bool {
	answer, err := c.Check(ctx, Question{Subject: subject, Permission: permission})
	return err == nil && answer.Allowed
}

// Check decides one permission of one subject. A denial is an answer; the error says why there is none, and is never a permission:
// consent.ErrStale and consent.ErrNotReady (of which ErrUnreachable is one) after other replicas were asked, ErrUnknownPermission,
// consent.ErrUnknownTenant, consent.ErrOverloaded, consent.ErrEpoch for a revision of the question, ErrInvalid, ErrClosed, or the context's.
func (c *Client) Check(ctx context.Context, q Question) (Answer, error) {
	if err := q.check(); err != nil {
		return Answer{}, err
	}
	if c.near.holds(c.tenant) {
		answer, err := c.near.check(ctx, c, &q)
		if err == nil || !mayBeKnown(err) {
			return answer, err
		}
	}
	r, err := c.ask(ctx, &q, nil)
	if err != nil {
		return Answer{}, err
	}
	return c.only(q.Permission, r)
}

// only returns the answer of a reply for one permission.
func (c *Client) only(permission string, r reply) (Answer, error) {
	if r.rest != nil || r.one.Permission != permission {
		return Answer{}, errMisfit
	}
	g := c.groundAt(r.revision, r.told, r.passed)
	one := g.result(&r.one)
	return one.Answer, one.Err
}

// CheckAll decides 1 to 64 permissions of one subject, from one lookup. Whatever Permission the question has is passed over. There is one
// result for each permission, in order; an error of CheckAll is as one of Check, and then there are none.
func (c *Client) CheckAll(ctx context.Context, q Question, permissions ...string) ([]Result, error) {
	if n := len(permissions); n == 0 || n > maxPermissions {
		return nil, fmt.Errorf("%d permissions: ask for 1 to %d: %w", n, maxPermissions, ErrInvalid)
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	if c.near.holds(c.tenant) {
		results, err := c.near.checkAll(ctx, c, &q, permissions)
		if err == nil || !mayBeKnown(err) {
			return results, err
		}
	}
	r, err := c.ask(ctx, &q, permissions)
	if err != nil {
		return nil, err
	}
	g := c.groundAt(r.revision, r.told, r.passed)
	return g.results(permissions, r.results())
}

// ask has a question answered by a replica.
func (c *Client) ask(ctx context.Context, q *Question, permissions []string) (r reply, err error) {
	if err := q.checkText(c.tenant, permissions); err != nil {
		return reply{}, err
	}
	until := c.until(ctx)
	err = c.read(ctx, until, q.Consistency, func(d consent.Consistency) (err error) {
		r, err = c.askOnce(ctx, until, q, permissions, d)
		return err
	})
	return r, err
}

var errMisfit = fmt.Errorf("the reply doesn't fit what was asked: %w", ErrInternal)

// askOnce asks on the lane that all share, or by a call of its own: what may wait for long, because a stream has room for few of those, what no
// lane takes, and what was answered there from data older than demanded: the demand isn't sent where other answers had reached it, and those
// may have been a sidecar's that it had from a replica.
func (c *Client) askOnce(ctx context.Context, until time.Time, q *Question, permissions []string, d consent.Consistency) (r reply, err error) {
	err = errNoLane
	began := c.o.now()
	if !c.o.unary && !d.Full {
		r, err = c.lanes.ask(ctx, until, c.tenant, q, permissions, d)
	}
	if errors.Is(err, errNoLane) || err == nil && !includes(r.revision, d.AtLeast) {
		began = c.o.now()
		r, err = c.askAlone(ctx, until, q, permissions, d)
	}
	if err != nil {
		return reply{}, err
	}
	r.passed = c.passed(began)
	g := c.groundAt(r.revision, r.told, r.passed)
	err = g.meets(d)
	return r, err
}

// askAlone asks by a unary call.
func (c *Client) askAlone(ctx context.Context, until time.Time, q *Question, permissions []string, d consent.Consistency) (reply, error) {
	ctx, cancel := limit(ctx, until)
	defer cancel()
	if permissions == nil {
		permissions = []string{q.Permission}
	}
	request, answer := questionOf(c.tenant, q, permissions), new(wire.Reply)
	request.Consistency = consistencyOf(d)
	if err := c.conn.Invoke(ctx, consentv1.PermissionService_Check_FullMethodName, &request, answer); err != nil {
		return reply{}, errorOf(err)
	}
	revision, err := consent.ParseRevision(answer.Revision)
	return replyOf(answer, revision), err
}
