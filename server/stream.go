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

// maxWaiting is how many questions of one stream may wait, each of them with a place among the calls that run at once. What comes beyond is
// refused at once: to wait for a place would keep the stream from all that needs none.
const maxWaiting = 1024

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

// answerMessage sends one message with the answers to all questions that needn't wait, or may not, and then starts on the others.
func (a *answering) answerMessage(message *consentv1.StreamCheckRequest) error {
	var reply *consentv1.StreamCheckResponse
	var later []*consentv1.StreamCheckRequest
	for question := range together(message) {
		switch answer := a.answerNow(question); {
		case answer == nil:
			later = append(later, question)
		case reply == nil:
			reply = answer
		default:
			reply.Also = append(reply.Also, answer)
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

// answerNow returns the answer to a question, or nil if it takes longer and there is a place for it among those that wait.
func (a *answering) answerNow(question *consentv1.StreamCheckRequest) *consentv1.StreamCheckResponse {
	reply, err := a.check(question, a.service.checkNow)
	if errors.Is(err, errNotNow) {
		select {
		case a.places <- struct{}{}:
			return nil
		default:
			err = errOverloaded
		}
	}
	return a.answer(question, reply, err)
}

// answerLater has a question that was given a place answered beside the stream.
func (a *answering) answerLater(question *consentv1.StreamCheckRequest) {
	a.waiting.Go(func() {
		defer func() { <-a.places }()
		reply, err := a.check(question, a.service.Check)
		a.note(a.send(a.answer(question, reply, err)))
	})
}

func (a *answering) answer(
	question *consentv1.StreamCheckRequest, reply *consentv1.CheckResponse, err error,
) *consentv1.StreamCheckResponse {
	answer := &consentv1.StreamCheckResponse{CorrelationId: question.GetCorrelationId()}
	if err != nil {
		answer.Result = &consentv1.StreamCheckResponse_Status{Status: a.service.itemStatus(a.stream.Context(), err)}
	} else {
		answer.Result = &consentv1.StreamCheckResponse_Check{Check: reply}
	}
	return answer
}

func (a *answering) send(reply *consentv1.StreamCheckResponse) error {
	a.sending.Lock()
	defer a.sending.Unlock()
	return a.stream.Send(reply)
}

// checker is Check, or checkNow.
type checker func(context.Context, *consentv1.CheckRequest) (*consentv1.CheckResponse, error)

// check decides a question. A panic in it is the question's error, and no other's.
func (a *answering) check(question *consentv1.StreamCheckRequest, check checker) (reply *consentv1.CheckResponse, err error) {
	ctx := a.stream.Context()
	err = a.service.contain(ctx, func() error {
		reply, err = a.admit(ctx, question, check)
		return err
	})
	return reply, err
}

// admit decides a question that has a place among the calls that run at once.
func (a *answering) admit(ctx context.Context, question *consentv1.StreamCheckRequest, check checker) (*consentv1.CheckResponse, error) {
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
	return check(ctx, question.GetCheck())
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
