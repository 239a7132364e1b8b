package server

import (
	"context"
	"errors"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/consentd/consentd/proto/wire"
)

const (
	maxQuestions = 10_000 // of one batch
	// maxBatchAnswers bounds the reply, which a client takes 4 MiB of by default, and the memory that one call can ask for.
	maxBatchAnswers = 100_000
	// pollEvery is how many subjects are decided between two looks at the caller's context.
	pollEvery = 256
)

// batchCheck decides many questions from one view. An item that can't be answered has a status of its own. It returns a *wire.BatchReply, or
// that of the replica that it passed the batch on to.
func (s *permissionService) batchCheck(ctx context.Context, r *consentv1.BatchCheckRequest) (any, error) {
	total, err := checkBatch(r)
	if err != nil {
		return nil, err
	}
	weight, err := s.gate.enterLarge(total)
	if err != nil {
		return nil, err
	}
	defer s.gate.leave(weight)
	view, tenant, err := s.look(ctx, r.GetTenant(), r.GetConsistency())
	var records []consent.Record
	if err == nil {
		records, err = s.heldOf(tenant, r)
	}
	if s.isElsewhere(err) || errors.Is(err, errNotNow) {
		reply := new(consentv1.BatchCheckResponse)
		return reply, s.passAt(ctx, view, consentv1.PermissionService_BatchCheck_FullMethodName, r, reply)
	}
	if err != nil {
		return nil, err
	}
	b := batch{
		core: s.core, request: r, tenant: tenant, records: records,
		results: make([]wire.Result, total), items: make([]wire.Item, len(r.GetQuestions())),
	}
	if err := b.decide(ctx); err != nil {
		return nil, err
	}
	now := s.now()
	age, fresh := view.Age(now)
	if !fresh {
		return nil, consent.ErrStale
	}
	keepFor(b.results, now, view.Bound-age)
	return &wire.BatchReply{Items: b.items, Revision: s.token(view.Revision), PolicyVersion: policyVersion(tenant), Age: age}, nil
}

// checkBatch returns how many answers a batch asks for.
func checkBatch(r *consentv1.BatchCheckRequest) (answers int, err error) {
	if n := len(r.GetQuestions()); n == 0 || n > maxQuestions {
		return 0, invalid("questions", "%d questions: ask 1 to %d", n, maxQuestions)
	}
	if n := len(r.GetPermissions()); n > maxPermissions {
		return 0, invalid("permissions", "%d permissions: ask for up to %d", n, maxPermissions)
	}
	for _, q := range r.GetQuestions() {
		if n := len(permissionsOf(r, q)); n <= maxPermissions {
			answers += n
		}
	}
	if answers > maxBatchAnswers {
		return 0, invalid("questions", "%d answers asked for: ask for up to %d in one batch", answers, maxBatchAnswers)
	}
	return answers, nil
}

// permissionsOf returns what a question asks, or else its batch.
func permissionsOf(r *consentv1.BatchCheckRequest, q *consentv1.CheckQuestion) []string {
	if len(q.GetPermissions()) > 0 {
		return q.GetPermissions()
	}
	return r.GetPermissions()
}

// batch is one batch being decided. Results and items are each allocated in one piece.
type batch struct {
	*core
	request *consentv1.BatchCheckRequest
	tenant  *consent.Tenant
	records []consent.Record // of a sidecar, one for each question; on a replica each is looked up
	results []wire.Result
	used    int // results given so far
	items   []wire.Item
}

func (b *batch) decide(ctx context.Context) error {
	buf := b.borrow()
	defer b.giveBack(buf)
	for i := range b.request.GetQuestions() {
		if i%pollEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		results, err := b.answer(ctx, i, buf)
		if err != nil {
			b.items[i].Status = b.itemStatus(ctx, err)
			continue
		}
		b.items[i].Results = results
	}
	return nil
}

func (b *batch) answer(ctx context.Context, i int, buf *consent.Buffer) ([]wire.Result, error) {
	q := b.request.GetQuestions()[i]
	permissions := permissionsOf(b.request, q)
	if err := checkPermissions(permissions); err != nil {
		return nil, err
	}
	subjectType := q.GetSubjectType()
	if subjectType == consentv1.SubjectType_SUBJECT_TYPE_UNSPECIFIED {
		subjectType = b.request.GetSubjectType()
	}
	law, err := questionOf(subjectType, q.GetSimilarGoods() || b.request.GetSimilarGoods())
	if err != nil {
		return nil, err
	}
	subject, err := subjectOf(q.GetSubject(), b.tenant)
	if err != nil {
		return nil, err
	}
	record, err := b.record(ctx, i, subject, buf)
	if err != nil {
		return nil, err
	}
	results := b.results[b.used : b.used+len(permissions)]
	b.used += len(permissions)
	b.core.answer(results, permissions, b.tenant, record, law, b.now())
	return results, nil
}

func (b *batch) record(ctx context.Context, i int, subject string, buf *consent.Buffer) (consent.Record, error) {
	if b.records != nil {
		return b.records[i], nil
	}
	return b.state.Record(ctx, b.tenant, subject, buf)
}
