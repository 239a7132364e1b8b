package server

import (
	"errors"
	"slices"
	"sync"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/consentd/consentd/proto/wire"
	"google.golang.org/grpc"
)

// maxWaiting is how many questions of one stream may wait, each of them with a place among the calls that run at once. What comes beyond is
// refused at once: to wait for a place would keep the stream from all that needs none.
const maxWaiting = 1024

// maxTogether is how many questions a message may carry: with more, the first would wait too long for the last.
const maxTogether = 64

// streamCheck carries the checks of many callers. A question that can be answered from what is here is answered where it was read: it
// takes about a microsecond, less than handing it to another goroutine. One that may have to wait is answered beside, so that those
// after it overtake it. A message takes several times as long as a check, so questions that come together are answered together.
func (s *permissionService) streamCheck(stream grpc.ServerStream) error {
	a := answering{service: s, stream: stream, places: make(chan struct{}, maxWaiting)}
	err := a.readAll()
	a.waiting.Wait()
	return errors.Join(ended(err), a.failed())
}

// answering is one stream of checks.
type answering struct {
	service *permissionService
	stream  grpc.ServerStream
	places  chan struct{}
	waiting sync.WaitGroup

	// The reader's own, used for message after message, and empty while it waits for one.
	questions wire.Questions
	answers   wire.Answers
	later     []int // places of the questions that take longer

	sending sync.Mutex // the library allows one sender at a time
	err     error      // of the first answer that couldn't be sent
}

func (a *answering) readAll() error {
	for {
		if err := a.stream.RecvMsg(&a.questions); err != nil {
			return err
		}
		if err := checkTogether(&a.questions); err != nil {
			return err
		}
		if err := a.answerMessage(); err != nil {
			return err
		}
		a.questions.Reset()
		a.answers.Reset()
	}
}

func checkTogether(q *wire.Questions) error {
	if n := len(q.List); n > maxTogether {
		return invalid("also", "%d questions in a message: send at most %d", n, maxTogether)
	}
	if q.Deep {
		return invalid("also.also", "questions below a question below a question: send them beside it")
	}
	return nil
}

// answerMessage sends one message with the answers to all questions that needn't wait, or may not, and then starts on the others.
func (a *answering) answerMessage() error {
	a.later = a.later[:0]
	for i := range a.questions.List {
		if question := &a.questions.List[i]; !a.answerNow(question) {
			a.later = append(a.later, i)
		}
	}
	if len(a.answers.List) > 0 {
		if err := a.send(&a.answers); err != nil {
			return err
		}
	}
	for _, i := range a.later {
		a.answerLater(a.questions.List[i])
	}
	return nil
}

// answerNow adds the answer to a question, unless it takes longer and there is a place for it among those that wait.
func (a *answering) answerNow(question *wire.Asked) bool {
	answer := a.answers.Add(question.ID, roomFor(question))
	err := a.check(question, &answer.Check)
	if errors.Is(err, errNotNow) {
		select {
		case a.places <- struct{}{}:
			a.answers.Drop()
			return false
		default:
			err = errOverloaded
		}
	}
	a.conclude(answer, err)
	return true
}

// roomFor returns how many results a question has, unless it asks for too many.
func roomFor(question *wire.Asked) int {
	if n := len(question.Check.Permissions); n <= maxPermissions {
		return n
	}
	return 0
}

// answerLater has a question that was given a place answered beside the stream.
func (a *answering) answerLater(question wire.Asked) {
	question.Check.Permissions = slices.Clone(question.Check.Permissions) // the next message takes the place of the list
	a.waiting.Go(func() {
		defer func() { <-a.places }()
		a.note(a.send(a.answerSlowly(&question)))
	})
}

// answerSlowly returns the answer to one question, which it may wait for.
func (a *answering) answerSlowly(question *wire.Asked) any {
	reply, err := a.checkSlowly(question)
	if passed, ok := reply.(*consentv1.CheckResponse); ok && err == nil {
		return &consentv1.StreamCheckResponse{
			CorrelationId: question.ID, Result: &consentv1.StreamCheckResponse_Check{Check: passed},
		}
	}
	answer := wire.Answer{ID: question.ID}
	if own, ok := reply.(*wire.Reply); ok {
		answer.Check = *own
	}
	a.conclude(&answer, err)
	return &wire.Answers{List: []wire.Answer{answer}}
}

// conclude makes an error the answer, if there is one.
func (a *answering) conclude(answer *wire.Answer, err error) {
	if err != nil {
		*answer = wire.Answer{ID: answer.ID, Status: a.service.itemStatus(a.stream.Context(), err)}
	}
}

func (a *answering) send(message any) error {
	a.sending.Lock()
	defer a.sending.Unlock()
	return a.stream.SendMsg(message)
}

// check decides a question from what is here. A panic in it is the question's error, and no other's.
func (a *answering) check(question *wire.Asked, reply *wire.Reply) (err error) {
	ctx := a.stream.Context()
	defer a.service.rescue(ctx, &err)
	weight, err := a.admit(question)
	if err != nil {
		return err
	}
	defer a.service.gate.leave(weight)
	return a.service.checkNow(ctx, &question.Check, reply)
}

// checkSlowly is the same for a question that may wait.
func (a *answering) checkSlowly(question *wire.Asked) (reply any, err error) {
	ctx := a.stream.Context()
	defer a.service.rescue(ctx, &err)
	weight, err := a.admit(question)
	if err != nil {
		return nil, err
	}
	defer a.service.gate.leave(weight)
	return a.service.check(ctx, &question.Check)
}

// admit gives a question that can be one a place among the calls that run at once.
func (a *answering) admit(question *wire.Asked) (weight int64, err error) {
	if question.None {
		return 0, invalid("check", "it is missing: give subject and permissions")
	}
	if err := checkTooLarge(question.Check.Size()); err != nil {
		return 0, err
	}
	return a.service.gate.enter()
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
