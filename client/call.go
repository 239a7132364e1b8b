package client

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/consentd/consentd/proto/wire"
)

// call is one attempt to have a check answered by a lane. The receiver fills in the reply before it tells done. A call that met an error, or was
// given up, may still be read or answered: it isn't used again.
type call struct {
	id       uint64 // on its lane
	size     int    // of the question, in bytes, at most
	question wire.Question
	one      [1]string
	taken    bool // by whoever sends: nobody reads the question any more

	done  chan struct{} // has room for one
	reply reply
	err   error
	timer *time.Timer // when a call is given up whose context has no deadline
}

// reply is what was answered.
type reply struct {
	told
	one      wire.Result
	rest     []wire.Result // nil if there is one result
	revision consent.Revision
	passed   time.Duration // since the attempt began
}

// replyOf returns what was answered at a revision. It shares no memory with the answer's list of results, which others use after it.
func replyOf(answer *wire.Reply, at consent.Revision) reply {
	r := reply{told: told{answer.PolicyVersion, answer.Age, untilBound(answer.Results)}, revision: at}
	if len(answer.Results) == 1 {
		r.one = answer.Results[0]
	} else {
		r.rest = append([]wire.Result{}, answer.Results...)
	}
	return r
}

func (r *reply) results() []wire.Result {
	if r.rest != nil {
		return r.rest
	}
	return []wire.Result{r.one}
}

var calls = sync.Pool{New: func() any {
	c := &call{done: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	c.timer.Stop()
	return c
}}

func newCall(tenant string, q *Question, permissions []string) *call {
	c := calls.Get().(*call) //nolint:errcheck // the pool holds nothing else
	c.taken = false
	if permissions == nil {
		c.one[0] = q.Permission
		permissions = c.one[:]
	}
	c.question = questionOf(tenant, q, permissions)
	c.size = c.question.Most() + maxConsistency
	return c
}

// questionOf returns the question for permissions of a subject.
func questionOf(tenant string, q *Question, permissions []string) wire.Question {
	if tenant == defaultTenant {
		tenant = "" // means the same, and is shorter
	}
	return wire.Question{
		Tenant: tenant, Subject: q.Subject, Permissions: permissions,
		SubjectType: consentv1.SubjectType(q.SubjectType), SimilarGoods: q.SimilarGoods,
	}
}

// free gives an answered call back for another question.
func (c *call) free() {
	if c.err != nil {
		return
	}
	c.question, c.one[0], c.reply = wire.Question{}, "", reply{}
	calls.Put(c)
}

// wait returns once the call is done, or with the error of whoever gave it up: the context, or the clock for one without a deadline.
func (c *call) wait(ctx context.Context, until time.Time) error {
	var expired <-chan time.Time
	if !until.IsZero() {
		c.timer.Reset(time.Until(until))
		defer c.timer.Stop()
		expired = c.timer.C
	}
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-expired:
		return errTooLate
	}
}

var errTooLate = fmt.Errorf("no answer came in time: %w", context.DeadlineExceeded)
