package client

import (
	"cmp"
	"context"
	"fmt"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
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
	r, err := c.permissions.BatchCheck(ctx, request)
	if err != nil {
		return nil, errorOf(err)
	}
	g, err := c.groundOf(r, d, began)
	switch {
	case err != nil:
		return nil, err
	case len(r.GetItems()) != len(request.GetQuestions()):
		return nil, errMisfit
	}
	results := make([]Result, len(r.GetItems()))
	for i, item := range r.GetItems() {
		if item.GetStatus() != nil {
			results[i].Err = itemError(item.GetStatus())
			continue
		}
		one, err := g.results(request.GetQuestions()[i].GetPermissions(), item.GetResults())
		if err != nil {
			return nil, err
		}
		results[i] = one[0]
	}
	return results, nil
}
