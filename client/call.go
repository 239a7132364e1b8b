package client

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/protobuf/proto"
)

// call is one attempt to have a check answered by a lane. While it is there, whoever sends for the lane reads the request, and the receiver
// fills in the reply before it tells done. A call that met an error, or was given up, may still be read or answered: it isn't used again.
type call struct {
	id      uint64 // on its lane
	size    int    // of the request, in bytes
	request consentv1.StreamCheckRequest
	check   consentv1.CheckRequest
	one     [1]string
	sent    atomic.Bool // nobody reads the request any more

	done  chan struct{} // has room for one
	reply reply
	err   error
	timer *time.Timer // when a call is given up whose context has no deadline
}

// reply is what was answered.
type reply struct {
	*consentv1.CheckResponse
	revision consent.Revision
	passed   time.Duration // since the attempt began
}

var calls = sync.Pool{New: func() any {
	c := &call{done: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	c.timer.Stop()
	c.request.Check = &c.check
	return c
}}

func newCall(tenant string, q *Question, permissions []string) *call {
	c := calls.Get().(*call) //nolint:errcheck // the pool holds nothing else
	c.sent.Store(false)
	if permissions == nil {
		c.one[0] = q.Permission
		permissions = c.one[:]
	}
	fillCheck(&c.check, tenant, q, permissions)
	c.size = proto.Size(&c.request) + maxFraming
	return c
}

// fillCheck makes the request for permissions of a subject.
func fillCheck(r *consentv1.CheckRequest, tenant string, q *Question, permissions []string) {
	if tenant == defaultTenant {
		tenant = "" // means the same, and is shorter
	}
	r.Tenant, r.Subject, r.Permissions = tenant, q.Subject, permissions
	r.SubjectType, r.SimilarGoods = consentv1.SubjectType(q.SubjectType), q.SimilarGoods
}

// free gives an answered call back for another question.
func (c *call) free() {
	if c.err != nil || !c.sent.Load() {
		return
	}
	c.check.Subject, c.check.Permissions, c.check.Consistency, c.one[0] = "", nil, nil, ""
	c.reply = reply{}
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
