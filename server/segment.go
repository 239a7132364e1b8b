package server

import (
	"context"
	"errors"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
)

const maxChunk = 100_000 // subjects

type segmentStream = grpc.BidiStreamingServer[consentv1.CheckSegmentRequest, consentv1.CheckSegmentResponse]

// CheckSegment decides one permission for the subjects of each chunk.
func (s *permissionService) CheckSegment(stream segmentStream) error {
	first, err := stream.Recv()
	if err != nil {
		return ended(err)
	}
	segment, err := s.segmentOf(first)
	if err != nil {
		return err
	}
	for {
		message, err := stream.Recv()
		if err != nil {
			return ended(err)
		}
		reply, err := segment.decide(stream.Context(), message)
		if err != nil {
			return err
		}
		if err := stream.Send(reply); err != nil {
			return err
		}
	}
}

// segment is what is asked of every subject.
type segment struct {
	*core
	asked    *consentv1.Segment
	question consent.Question
}

func (c *core) segmentOf(first *consentv1.CheckSegmentRequest) (*segment, error) {
	asked := first.GetSegment()
	if asked == nil {
		return nil, invalid("segment", "the first message has to say what is asked")
	}
	question, err := questionOf(asked.GetSubjectType(), asked.GetSimilarGoods())
	if err != nil {
		return nil, err
	}
	switch asked.GetForm() {
	case consentv1.SegmentForm_SEGMENT_FORM_UNSPECIFIED, consentv1.SegmentForm_SEGMENT_FORM_BITS,
		consentv1.SegmentForm_SEGMENT_FORM_REASONS:
	default:
		return nil, invalid("segment.form", "%d is no form: take one of the list, or leave it out for bits", asked.GetForm())
	}
	return &segment{core: c, asked: asked, question: question}, nil
}

// decide answers one chunk. It allocates a few pieces for the chunk, and nothing for a subject whose id is in form.
func (s *segment) decide(ctx context.Context, message *consentv1.CheckSegmentRequest) (*consentv1.CheckSegmentResponse, error) {
	if message.GetSubjects() == nil {
		return nil, invalid("subjects", "every message after the first has to hold subjects")
	}
	ids, err := idsOf("subjects", message.GetSubjects(), maxChunk)
	if err != nil {
		return nil, err
	}
	weight, err := s.gate.enterLarge(ids.len())
	if err != nil {
		return nil, err
	}
	defer s.gate.leave(weight)
	view, tenant, err := s.look(ctx, s.asked.GetTenant(), s.asked.GetConsistency())
	if s.isElsewhere(err) {
		return s.passChunk(ctx, view, message)
	}
	if err != nil {
		return nil, err
	}
	permission := permissionOf(tenant, s.asked.GetPermission())
	if permission == nil {
		return nil, &unknownPermissionError{s.asked.GetPermission()}
	}
	chunk := s.newChunk(tenant, permission, ids.len())
	switch err := chunk.decide(ctx, ids); {
	case errors.Is(err, errNotNow):
		return s.passChunk(ctx, view, message)
	case err != nil:
		return nil, err
	}
	return chunk.reply(view)
}

// chunk is a chunk being decided.
type chunk struct {
	*core
	tenant      *consent.Tenant
	permission  *consent.Permission
	question    consent.Question
	bits        bool
	answers     []byte
	subjects    int
	unusable    []uint32
	counts      [reasons]uint64
	changeAt    consent.Time
	obligations consent.Obligations
}

func (s *segment) newChunk(t *consent.Tenant, p *consent.Permission, subjects int) *chunk {
	c := &chunk{core: s.core, tenant: t, permission: p, question: s.question, subjects: subjects}
	c.bits = s.asked.GetForm() != consentv1.SegmentForm_SEGMENT_FORM_REASONS
	size := subjects
	if c.bits {
		size = (subjects + 7) / 8
	}
	c.answers = make([]byte, size)
	return c
}

// decide returns errNotNow if a record isn't here.
func (c *chunk) decide(ctx context.Context, ids idList) error {
	b := c.borrowBlock()
	defer c.giveBackBlock(b)
	for next := 0; next < c.subjects; b.empty() {
		if err := ctx.Err(); err != nil {
			return err
		}
		next = c.collect(b, &ids, next)
		if err := c.read(ctx, c.tenant, b); err != nil {
			return err
		}
		now := consent.TimeOf(c.now()) // after the records
		for i, place := range b.places[:b.used] {
			c.note(place, consent.Decide(c.permission, b.Records[i], c.question, now))
		}
	}
	return nil
}

// collect fills a block with the subjects from one on, and returns which one is next.
func (c *chunk) collect(b *block, ids *idList, next int) int {
	keepCase := c.tenant.KeepsCase()
	for ; next < c.subjects && !b.full(); next++ {
		if subject, usable := consent.Door(ids.next(next), keepCase); usable {
			b.add(subject, next)
		} else {
			c.unusable = append(c.unusable, uint32(next))
		}
	}
	return next
}

// note packs the decision on a subject.
func (c *chunk) note(i int, d consent.Decision) {
	c.counts[int(d.Reason)%reasons]++
	c.obligations |= d.Obligations
	if d.NextChange != 0 && (c.changeAt == 0 || d.NextChange < c.changeAt) {
		c.changeAt = d.NextChange
	}
	switch {
	case !c.bits:
		c.answers[i] = byte(d.Reason)
	case d.Allowed:
		c.answers[i/8] |= 1 << (i % 8)
	}
}

// reply is given only if the view was still fresh when the last subject was decided.
func (c *chunk) reply(view consent.View) (*consentv1.CheckSegmentResponse, error) {
	now := c.now()
	age, fresh := view.Age(now)
	if !fresh {
		return nil, consent.ErrStale
	}
	reply := &consentv1.CheckSegmentResponse{
		Answers:       c.answers,
		Subjects:      uint32(c.subjects),
		Unusable:      c.unusable,
		Counts:        c.list(),
		Revision:      c.token(view.Revision),
		PolicyVersion: policyVersion(c.tenant),
		Age:           durationpb.New(age),
		NextChange:    timestamp(c.changeAt),
		Obligations:   obligationsOf(c.obligations),
	}
	if keep := cacheFor(c.changeAt.Std(), now, view.Bound-age); keep > 0 {
		reply.CacheFor = durationpb.New(keep)
	}
	return reply, nil
}

// list returns the counts per reason, and adds them to the metrics.
func (c *chunk) list() []*consentv1.ReasonCount {
	given := 0
	for _, n := range &c.counts {
		if n > 0 {
			given++
		}
	}
	counts := make([]consentv1.ReasonCount, 0, given)
	for reason, n := range &c.counts {
		if n > 0 {
			counts = counts[:len(counts)+1]
			last := &counts[len(counts)-1]
			last.Reason, last.Count = consentv1.Reason(reason), int64(n) //nolint:gosec // of the subjects of a chunk
		}
	}
	c.decisions.countAll(c.permission.Name, &c.counts)
	return pointers(counts)
}
