package server

import (
	"context"
	"errors"
	"iter"
	"sync"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// maxWaiting is how many questions of one stream may wait for newer state. With so many, the next is read when one is answered.
const maxWaiting = 64

// maxTogether is how many questions a message may carry: with more, the first would wait too long for the last.
const maxTogether = 64

type checkStream = grpc.BidiStreamingServer[consentv1.StreamCheckRequest, consentv1.StreamCheckResponse]

// StreamCheck carries the checks of many callers. A question that can be answered from what is here is answered where it was read: it
// takes about a microsecond, less than handing it to another goroutine. One that may have to wait is answered beside, so that those
// after it overtake it. A message takes several times as long as a check, so questions that come together are answered together.
func (s *permissionService) StreamCheck(stream checkStream) error {
	a := answering{service: s, stream: stream, places: make(chan struct{}, maxWaiting)}
	err := a.readAll()
	a.waiting.Wait()
	return errors.Join(ended(err), a.failed())
}

// answering is one stream of checks.
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
		message, err := a.stream.Recv()
		if err != nil {
			return err
		}
		if err := checkTogether(message); err != nil {
			return err
		}
		if err := a.answerMessage(message); err != nil {
			return err
		}
	}
}

func checkTogether(message *consentv1.StreamCheckRequest) error {
	if n := len(message.GetAlso()) + 1; n > maxTogether {
		return invalid("also", "%d questions in a message: send at most %d", n, maxTogether)
	}
	for _, question := range message.GetAlso() {
		if len(question.GetAlso()) > 0 {
			return invalid("also.also", "questions below a question below a question: send them beside it")
		}
	}
	return nil
}

// answerMessage sends one message with the answers to all questions that needn't wait, and only then starts on the others, whose place may be
// long in coming.
func (a *answering) answerMessage(message *consentv1.StreamCheckRequest) error {
	var reply *consentv1.StreamCheckResponse
	var later []*consentv1.StreamCheckRequest
	for question := range together(message) {
		switch {
		case a.service.mayWait(a.stream.Context(), question.GetCheck()):
			later = append(later, question)
		case reply == nil:
			reply = a.answer(question)
		default:
			reply.Also = append(reply.Also, a.answer(question))
		}
	}
	if reply != nil {
		if err := a.send(reply); err != nil {
			return err
		}
	}
	for _, question := range later {
		a.answerLater(question)
	}
	return nil
}

// together returns all questions of a message.
func together(message *consentv1.StreamCheckRequest) iter.Seq[*consentv1.StreamCheckRequest] {
	return func(yield func(*consentv1.StreamCheckRequest) bool) {
		if !yield(message) {
			return
		}
		for _, question := range message.GetAlso() {
			if !yield(question) {
				return
			}
		}
	}
}

func (a *answering) answerLater(question *consentv1.StreamCheckRequest) {
	a.places <- struct{}{}
	a.waiting.Go(func() {
		defer func() { <-a.places }()
		a.note(a.send(a.answer(question)))
	})
}

// answer decides a question.
func (a *answering) answer(question *consentv1.StreamCheckRequest) *consentv1.StreamCheckResponse {
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
	return reply
}

func (a *answering) send(reply *consentv1.StreamCheckResponse) error {
	a.sending.Lock()
	defer a.sending.Unlock()
	return a.stream.Send(reply)
}

func (a *answering) check(ctx context.Context, question *consentv1.StreamCheckRequest) (*consentv1.CheckResponse, error) {
	if question.GetCheck() == nil {
		return nil, invalid("check", "it is missing: give subject and permissions")
	}
	if err := checkTooLarge(proto.Size(question.GetCheck())); err != nil {
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
