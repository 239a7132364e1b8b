package client

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/consentd/consentd/proto/wire"
)

const maxQuestions = 10_000 // of one batch

// BatchCheck decides 1 to 10,000 questions from one view of the data, which meets the strictest consistency of theirs. There is one result for
// each question, in order, with an answer or an error of its own; an error of BatchCheck is as one of Check, and then there are none. For
// whole segments, CheckSegment is cheaper.
//
// With a near cache a batch is answered there if all of it is there, and else by a replica.
func (c *Client) BatchCheck(ctx context.Context, questions []Question) ([]Result, error) {
	request, err := batchOf(c.tenant, questions)
	if err != nil {
		return nil, err
	}
	strictest := strictestOf(questions)
	if c.near.holds(c.tenant) {
		if results, here := c.near.batch(c, questions, strictest); here {
			return results, nil
		}
	}
	ctx, cancel := c.limit(ctx)
	defer cancel()
	var results []Result
	err = c.read(ctx, c.until(ctx), strictest, func(d consent.Consistency) (err error) {
		request.Consistency = consistencyOf(d)
		results, err = c.batchOnce(ctx, request, d)
		return err
	})
	return results, err
}

func batchOf(tenant string, questions []Question) (*consentv1.BatchCheckRequest, error) {
	if n := len(questions); n == 0 || n > maxQuestions {
		return nil, fmt.Errorf("%d questions: ask 1 to %d: %w", n, maxQuestions, ErrInvalid)
	}
	request := &consentv1.BatchCheckRequest{Tenant: tenant, Questions: make([]*consentv1.CheckQuestion, len(questions))}
	for i := range questions {
		q := &questions[i]
		if err := cmp.Or(q.check(), q.checkText(tenant, nil)); err != nil {
			return nil, fmt.Errorf("question %d: %w", i, err)
		}
		request.Questions[i] = &consentv1.CheckQuestion{
			Subject: q.Subject, Permissions: []string{q.Permission}, SubjectType: consentv1.SubjectType(q.SubjectType), SimilarGoods: q.SimilarGoods,
		}
	}
	return request, nil
}

// strictestOf returns a consistency that meets those of all questions. Data with every write acknowledged before includes every revision.
func strictestOf(questions []Question) consent.Consistency {
	var strictest consent.Consistency
	for i := range questions {
		c := questions[i].Consistency
		strictest.Full = strictest.Full || c.Full
		if !includes(strictest.AtLeast, c.AtLeast) {
			strictest.AtLeast = c.AtLeast
		}
	}
	if strictest.Full {
		strictest.AtLeast = consent.Revision{}
	}
	return strictest
}

func (c *Client) batchOnce(ctx context.Context, request *consentv1.BatchCheckRequest, d consent.Consistency) ([]Result, error) {
	began := c.o.now()
	r := new(wire.BatchReply)
	if err := c.conn.Invoke(ctx, consentv1.PermissionService_BatchCheck_FullMethodName, request, r); err != nil {
		return nil, errorOf(err)
	}
	g, err := c.groundOf(r.Revision, told{r.PolicyVersion, r.Age, boundLeftOf(r.Items)}, d, began)
	switch {
	case err != nil:
		return nil, err
	case len(r.Items) != len(request.GetQuestions()):
		return nil, errMisfit
	}
	results := make([]Result, len(r.Items))
	for i := range r.Items {
		item := &r.Items[i]
		switch asked := request.GetQuestions()[i].GetPermissions(); {
		case item.Status != nil:
			results[i].Err = itemError(item.Status)
		case len(item.Results) != 1 || item.Results[0].Permission != asked[0]:
			return nil, errMisfit
		default:
			results[i] = g.result(&item.Results[0])
		}
	}
	return results, nil
}

// boundLeftOf returns how long it was until the bound when the answers of a batch were given, and zero if they don't tell.
func boundLeftOf(items []wire.Item) time.Duration {
	for i := range items {
		if left := untilBound(items[i].Results); left > 0 {
			return left
		}
	}
	return 0
}
