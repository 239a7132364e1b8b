package bench

import (
	"context"
	"errors"

	"google.golang.org/grpc/status"

	"github.com/consentd/consentd/client"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/consentd/consentd/proto/wire"
)

// errUnanswered is counted for a reply that says nothing.
var errUnanswered = errors.New("the reply has no answer")

// openCheck asks by the contract's Check, with nothing of the SDK between that would ask again.
func openCheck(l *load) (request, error) {
	conn := l.conn()
	question := wire.Question{Tenant: l.o.Tenant, Permissions: []string{permission}}
	var reply wire.Reply
	return func(ctx context.Context, i uint64) outcome {
		n := l.draw.at(i)
		question.Subject = l.data.subject(n)
		if err := conn.Invoke(ctx, consentv1.PermissionService_Check_FullMethodName, &question, &reply); err != nil {
			return outcome{err: err}
		}
		return l.judge(reply.Results, n)
	}, nil
}

// judge compares the one answer for a subject with the model's.
func (l *load) judge(results []wire.Result, n uint64) outcome {
	switch {
	case len(results) == 1 && results[0].Status != nil:
		return outcome{err: status.ErrorProto(results[0].Status)}
	case len(results) != 1 || !results[0].Answered:
		return outcome{err: errUnanswered}
	}
	o := outcome{units: 1, checked: 1}
	if results[0].Decision != l.data.wants(n) {
		o.wrong = 1
	}
	return o
}

// openStream asks as an application with the SDK does. The SDK asks again what is safe to: fewer errors are seen than happen.
func openStream(l *load) (request, error) {
	sdk, err := l.shared()
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, i uint64) outcome {
		n := l.draw.at(i)
		answer, err := sdk.Check(ctx, client.Question{Subject: l.data.subject(n), Permission: permission})
		if err != nil {
			return outcome{err: err}
		}
		o := outcome{units: 1, checked: 1}
		if answer.Allowed != l.data.allows(n) {
			o.wrong = 1
		}
		return o
	}, nil
}

// openBatch asks about so many subjects at once.
func openBatch(size uint64) func(*load) (request, error) {
	return func(l *load) (request, error) {
		conn := l.conn()
		question := &consentv1.BatchCheckRequest{Tenant: l.o.Tenant, Permissions: []string{permission}}
		for range size {
			question.Questions = append(question.Questions, &consentv1.CheckQuestion{})
		}
		var reply wire.BatchReply
		return func(ctx context.Context, i uint64) outcome {
			for k, q := range question.GetQuestions() {
				q.Subject = l.data.subject(l.draw.at(i*size + uint64(k))) //nolint:gosec // from 0
			}
			if err := conn.Invoke(ctx, consentv1.PermissionService_BatchCheck_FullMethodName, question, &reply); err != nil {
				return outcome{err: err}
			}
			return l.judgeAll(reply.Items, i*size, size)
		}, nil
	}
}

func (l *load) judgeAll(items []wire.Item, from, size uint64) (all outcome) {
	if uint64(len(items)) != size {
		return outcome{err: errUnanswered}
	}
	for k := range items {
		if items[k].Status != nil {
			return outcome{err: status.ErrorProto(items[k].Status)}
		}
		one := l.judge(items[k].Results, l.draw.at(from+uint64(k))) //nolint:gosec // from 0
		if one.err != nil {
			return one
		}
		all.units, all.checked, all.wrong = all.units+1, all.checked+1, all.wrong+one.wrong
	}
	return all
}

// openBoth asks a check and a batch of 100 in turns. A batch counts as one, and its errors tell that it was one.
func openBoth(l *load) (request, error) {
	check, err := openCheck(l)
	if err != nil {
		return nil, err
	}
	batch, err := openBatch(100)(l)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, i uint64) outcome {
		if i%2 == 0 {
			return check(ctx, i)
		}
		o := batch(ctx, i)
		if o.units = min(o.units, 1); o.err != nil {
			o.kind = "batch: "
		}
		return o
	}, nil
}

// openSegment asks about so many subjects, packed, at most 10,000 in a chunk.
func openSegment(size uint64) func(*load) (request, error) {
	const chunk = 10_000
	return func(l *load) (request, error) {
		client := consentv1.NewPermissionServiceClient(l.conn())
		list := &consentv1.SubjectList{}
		return func(ctx context.Context, i uint64) (all outcome) {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel() // of the stream, however it ends
			stream, err := client.CheckSegment(ctx)
			if err != nil {
				return outcome{err: err}
			}
			segment := &consentv1.Segment{Tenant: l.o.Tenant, Permission: permission, Form: consentv1.SegmentForm_SEGMENT_FORM_BITS}
			if err := stream.Send(&consentv1.CheckSegmentRequest{Message: &consentv1.CheckSegmentRequest_Segment{Segment: segment}}); err != nil {
				return outcome{err: endOf(stream, err)}
			}
			for from := i * size; from < (i+1)*size; from += chunk {
				one := l.askChunk(stream, list, from, chunk)
				all.units, all.checked, all.wrong, all.err = all.units+one.units, all.checked+one.checked, all.wrong+one.wrong, one.err
				if one.err != nil {
					return all
				}
			}
			return all
		}, nil
	}
}

type segmentStream = consentv1.PermissionService_CheckSegmentClient

func (l *load) askChunk(stream segmentStream, list *consentv1.SubjectList, from, size uint64) outcome {
	list.Packed, list.Lengths = list.GetPacked()[:0], list.GetLengths()[:0]
	for k := range size {
		before := len(list.GetPacked())
		list.Packed = appendSubject(list.GetPacked(), l.draw.at(from+k))
		list.Lengths = append(list.GetLengths(), uint32(len(list.GetPacked())-before)) //nolint:gosec // an id is short
	}
	if err := stream.Send(&consentv1.CheckSegmentRequest{Message: &consentv1.CheckSegmentRequest_Subjects{Subjects: list}}); err != nil {
		return outcome{err: endOf(stream, err)}
	}
	reply, err := stream.Recv()
	switch {
	case err != nil:
		return outcome{err: err}
	case uint64(len(reply.GetAnswers())) != (size+7)/8 || len(reply.GetUnusable()) > 0:
		return outcome{err: errUnanswered}
	}
	o := outcome{units: size, checked: size}
	for k := range size {
		if allowed := reply.GetAnswers()[k/8]>>(k%8)&1 == 1; allowed != l.data.allows(l.draw.at(from+k)) {
			o.wrong++
		}
	}
	return o
}

// endOf returns why a stream has ended that takes no more: Send says only that it has.
func endOf(stream segmentStream, sent error) error {
	if _, err := stream.Recv(); err != nil {
		return err
	}
	return sent
}
