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
)

// batchCheck decides many questions from one view. An item that can't be answered has a status of its own. It returns a *wire.BatchReply, or
// that of the replica that it passed the batch on to. It keeps nothing of the questions, which are used again.
func (s *permissionService) batchCheck(ctx context.Context, q *wire.BatchQuestions) (any, error) {
	total, err := checkBatch(q)
	if err != nil {
		return nil, err
	}
	weight, err := s.gate.enterLarge(total)
	if err != nil {
		return nil, err
	}
	defer s.gate.leave(weight)
	view, tenant, err := s.look(ctx, q.Tenant, q.Consistency)
	if s.isElsewhere(err) {
		return s.passBatch(ctx, view, q)
	}
	if err != nil {
		return nil, err
	}
	b := s.borrowBatch(q, tenant, total)
	reply, err := b.replyFrom(ctx, view)
	if err == nil {
		return reply, nil
	}
	b.giveBack()
	if errors.Is(err, errNotNow) {
		return s.passBatch(ctx, view, q)
	}
	return nil, err
}

func (s *permissionService) passBatch(ctx context.Context, view consent.View, q *wire.BatchQuestions) (any, error) {
	reply := new(consentv1.BatchCheckResponse)
	return reply, s.passAt(ctx, view, consentv1.PermissionService_BatchCheck_FullMethodName, q.Message(), reply)
}

// checkBatch returns how many answers a batch asks for.
func checkBatch(q *wire.BatchQuestions) (answers int, err error) {
	if n := len(q.List); n == 0 || n > maxQuestions {
		return 0, invalid("questions", "%d questions: ask 1 to %d", n, maxQuestions)
	}
	if n := len(q.Permissions); n > maxPermissions {
		return 0, invalid("permissions", "%d permissions: ask for up to %d", n, maxPermissions)
	}
	for i := range q.List {
		if n := len(permissionsOf(q, &q.List[i])); n <= maxPermissions {
			answers += n
		}
	}
	if answers > maxBatchAnswers {
		return 0, invalid("questions", "%d answers asked for: ask for up to %d in one batch", answers, maxBatchAnswers)
	}
	return answers, nil
}

// permissionsOf returns what a question asks, or else its batch.
func permissionsOf(q *wire.BatchQuestions, one *wire.BatchQuestion) []string {
	if len(one.Permissions) > 0 {
		return one.Permissions
	}
	return q.Permissions
}

// batchLawOf returns what a question, or else its batch, asks of the law, if it asks what can be.
func batchLawOf(q *wire.BatchQuestions, one *wire.BatchQuestion) (consent.Question, error) {
	subjectType := one.SubjectType
	if subjectType == consentv1.SubjectType_SUBJECT_TYPE_UNSPECIFIED {
		subjectType = q.SubjectType
	}
	return questionOf(subjectType, one.SimilarGoods || q.SimilarGoods)
}

// batch is one batch being decided. Its memory is used again, once the reply is written.
type batch struct {
	*core
	asked   *wire.BatchQuestions
	tenant  *consent.Tenant
	results []wire.Result
	used    int // results given so far
	items   []wire.Item
	reply   wire.BatchReply
	written func() // giveBack

	name       string // the permission looked up last, which the next question asks for too, as a rule
	permission *consent.Permission
}

// maxKept is how many results the memory of a batch that is used again may hold: most batches are no larger.
const maxKept = 1024

func (c *core) borrowBatch(q *wire.BatchQuestions, t *consent.Tenant, answers int) *batch {
	b, ok := c.batches.Get().(*batch)
	if !ok {
		b = &batch{core: c}
		b.written = b.giveBack
	}
	b.asked, b.tenant = q, t
	b.results, b.items = withRoom(b.results, answers), withRoom(b.items, len(q.List))
	return b
}

// withRoom returns an empty list's memory as so many elements, or another list's if it is too small.
func withRoom[T any](list []T, n int) []T {
	if cap(list) < n {
		return make([]T, n)
	}
	return list[:n]
}

func (b *batch) giveBack() {
	clear(b.results)
	clear(b.items)
	kept := batch{core: b.core, written: b.written}
	if cap(b.results) <= maxKept && cap(b.items) <= maxKept {
		kept.results, kept.items = b.results[:0], b.items[:0]
	}
	*b = kept
	b.batches.Put(b)
}

// replyFrom returns the reply if the view was still fresh when the last question was decided.
func (b *batch) replyFrom(ctx context.Context, view consent.View) (*wire.BatchReply, error) {
	if err := b.decide(ctx); err != nil {
		return nil, err
	}
	now := b.now()
	age, fresh := view.Age(now)
	if !fresh {
		return nil, consent.ErrStale
	}
	keepFor(b.results, now, view.Bound-age)
	b.count()
	b.reply = wire.BatchReply{
		Items: b.items, Revision: b.token(view.Revision), PolicyVersion: policyVersion(b.tenant), Age: age, Written: b.written,
	}
	return &b.reply, nil
}

// decide returns errNotNow if a record isn't here.
func (b *batch) decide(ctx context.Context) error {
	block := b.borrowBlock()
	defer b.giveBackBlock(block)
	for next := 0; next < len(b.items); block.empty() {
		if err := ctx.Err(); err != nil {
			return err
		}
		next = b.collect(ctx, block, next)
		switch err := b.read(ctx, b.tenant, block); {
		case errors.Is(err, errNotNow):
			return err
		case err != nil:
			for _, place := range block.places[:block.used] {
				b.items[place].Status = b.itemStatus(ctx, err)
			}
			continue
		}
		now := consent.TimeOf(b.now()) // after the records
		for i, place := range block.places[:block.used] {
			b.items[place].Results = b.answer(&b.asked.List[place], block.Records[i], now)
		}
	}
	return nil
}

// collect fills a block with the subjects of the questions from one on that can be answered, and returns which one is next.
func (b *batch) collect(ctx context.Context, block *block, next int) int {
	for ; next < len(b.items) && !block.full(); next++ {
		if subject, err := b.subject(&b.asked.List[next]); err != nil {
			b.items[next].Status = b.itemStatus(ctx, err)
		} else {
			block.add(subject, next)
		}
	}
	return next
}

// subject returns whose record a question is about, or what is wrong with the question.
func (b *batch) subject(one *wire.BatchQuestion) (string, error) {
	if err := checkPermissions(permissionsOf(b.asked, one)); err != nil {
		return "", err
	}
	if _, err := batchLawOf(b.asked, one); err != nil {
		return "", err
	}
	return subjectOf(one.Subject, b.tenant)
}

// answer returns the results of a question that can be answered.
func (b *batch) answer(one *wire.BatchQuestion, r consent.Record, now consent.Time) []wire.Result {
	law, _ := batchLawOf(b.asked, one) // as was seen when it was collected
	names := permissionsOf(b.asked, one)
	results := b.results[b.used : b.used+len(names)]
	b.used += len(names)
	for i, name := range names {
		if name != b.name || b.permission == nil {
			b.name, b.permission = name, permissionOf(b.tenant, name)
		}
		if b.permission == nil {
			results[i] = wire.Result{Permission: name, Status: unknownPermission(name)}
			continue
		}
		setResult(&results[i], name, consent.Decide(b.permission, r, law, now))
	}
	return results
}

// count adds the decisions to the metrics, those on one permission in a row together.
func (b *batch) count() {
	var counts [reasons]uint64
	given := b.results[:b.used]
	for i := range given {
		if given[i].Answered {
			counts[int(given[i].Reason)%reasons]++
		}
		if i+1 < len(given) && given[i+1].Permission == given[i].Permission {
			continue
		}
		b.decisions.countAll(given[i].Permission, &counts)
		counts = [reasons]uint64{}
	}
}
