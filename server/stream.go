package server

import (
	"context"
	"errors"
	"sync"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// maxWaiting is how many questions of one stream may wait for newer state. With so many, the next is read when one is answered.
const maxWaiting = 64

type checkStream = grpc.BidiStreamingServer[consentv1.StreamCheckRequest, consentv1.StreamCheckResponse]

// StreamCheck carries the checks of many callers. A question that asks for no newer state than is here is answered where it was read: it
// takes about a microsecond, less than handing it to another goroutine. One that may have to wait is answered beside, so that those
// after it overtake it.
func (s *permissionService) StreamCheck(stream checkStream) error {
	a := answering{service: s, stream: stream, places: make(chan struct{}, maxWaiting)}
	err := a.readAll()
	a.waiting.Wait()
	return errors.Join(ended(err), a.failed())
}

// answering is one stream of checks. The library batches what is sent on a connection, so each answer is sent as it comes.
type answering struct {
	service *permissionService
	stream  checkStream
	places  chan struct{}
	waiting sync.WaitGroup

	sending sync.Mutex // the library allows one sender at a time
	err     error      // of the first answer that couldn't be sent
}

func (a *answering) readAll() error {
	for {
		question, err := a.stream.Recv()
		if err != nil {
			return err
		}
		if !mayWait(question.GetCheck().GetConsistency()) {
			if err := a.answer(question); err != nil {
				return err
			}
			continue
		}
		a.places <- struct{}{}
		a.waiting.Go(func() {
			defer func() { <-a.places }()
			a.note(a.answer(question))
		})
	}
}

func mayWait(c *consentv1.Consistency) bool { return c.GetAtLeast() != "" || c.GetFullyConsistent() }

// answer decides a question and sends the answer. It returns why that couldn't be sent.
func (a *answering) answer(question *consentv1.StreamCheckRequest) error {
	reply := &consentv1.StreamCheckResponse{CorrelationId: question.GetCorrelationId()}
	ctx := a.stream.Context()
	err := a.service.contain(ctx, func() error {
		check, err := a.check(ctx, question)
		reply.Result = &consentv1.StreamCheckResponse_Check{Check: check}
		return err
	})
	if err != nil {
		reply.Result = &consentv1.StreamCheckResponse_Status{Status: a.service.itemStatus(ctx, err)}
	}
	a.sending.Lock()
	defer a.sending.Unlock()
	return a.stream.Send(reply)
}

func (a *answering) check(ctx context.Context, question *consentv1.StreamCheckRequest) (*consentv1.CheckResponse, error) {
	if question.GetCheck() == nil {
		return nil, invalid("check", "it is missing: give subject and permissions")
	}
	if err := checkTooLarge(proto.Size(question)); err != nil {
		return nil, err
	}
	weight, err := a.service.gate.enter()
	if err != nil {
		return nil, err
	}
	defer a.service.gate.leave(weight)
	return a.service.Check(ctx, question.GetCheck())
}

func (a *answering) note(err error) {
	a.sending.Lock()
	defer a.sending.Unlock()
	if a.err == nil {
		a.err = err
	}
}

func (a *answering) failed() error {
	a.sending.Lock()
	defer a.sending.Unlock()
	return a.err
}
