package server

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func ask(id uint64, check *consentv1.CheckRequest) *consentv1.StreamCheckRequest {
	return &consentv1.StreamCheckRequest{CorrelationId: id, Check: check}
}

func TestStreamCheck(t *testing.T) {
	r := newRig(t)
	stream := must[consentv1.PermissionService_StreamCheckClient](t)(r.permissions.StreamCheck(background(t)))
	good := &consentv1.CheckRequest{Subject: anna, Permissions: []string{"crm_storage"}}
	full := &consentv1.CheckRequest{
		Subject: anna, Permissions: []string{"crm_storage"},
		Consistency: &consentv1.Consistency{Requirement: &consentv1.Consistency_FullyConsistent{FullyConsistent: true}},
	}
	questions := []*consentv1.StreamCheckRequest{
		ask(0, good), ask(1, full), ask(2, &consentv1.CheckRequest{}), ask(3, nil), ask(4, good),
		ask(5, &consentv1.CheckRequest{Subject: anna, Permissions: []string{"crm_storage"}, Tenant: "nobody"}),
	}
	for _, q := range questions {
		if err := stream.Send(q); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	answers := map[uint64]*consentv1.StreamCheckResponse{}
	for range questions {
		answer := must[*consentv1.StreamCheckResponse](t)(stream.Recv())
		answers[answer.GetCorrelationId()] = answer
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v", err)
	}
	for _, id := range []uint64{0, 1, 4} {
		if got := reasonOf(t, answers[id].GetCheck()); got != consentv1.Reason_REASON_NO_CONTRACT {
			t.Errorf("answer %d: %v", id, got)
		}
	}
	for _, id := range []uint64{2, 3} {
		wantStatus(t, status.FromProto(answers[id].GetStatus()), codes.InvalidArgument, "INVALID_ARGUMENT")
	}
	wantStatus(t, status.FromProto(answers[5].GetStatus()), codes.NotFound, "UNKNOWN_TENANT")
}

// TestQuestionsTogether asks several questions in a message: answers come in one, save that of a question that may have to wait.
func TestQuestionsTogether(t *testing.T) {
	r := newRig(t)
	stream := must[consentv1.PermissionService_StreamCheckClient](t)(r.permissions.StreamCheck(background(t)))
	good := &consentv1.CheckRequest{Subject: anna, Permissions: []string{"crm_storage"}}
	full := &consentv1.CheckRequest{
		Subject: anna, Permissions: []string{"crm_storage"},
		Consistency: &consentv1.Consistency{Requirement: &consentv1.Consistency_FullyConsistent{FullyConsistent: true}},
	}
	message := ask(0, full)
	message.Also = []*consentv1.StreamCheckRequest{ask(1, good), ask(2, &consentv1.CheckRequest{}), ask(3, good)}
	if err := stream.Send(message); err != nil {
		t.Fatal(err)
	}
	reply := must[*consentv1.StreamCheckResponse](t)(stream.Recv())
	if reply.GetCorrelationId() != 1 || len(reply.GetAlso()) != 2 || reply.GetAlso()[1].GetCorrelationId() != 3 {
		t.Fatalf("answers %v, want 1, 2 and 3", reply)
	}
	for _, answer := range []*consentv1.StreamCheckResponse{reply, reply.GetAlso()[1]} {
		if got := reasonOf(t, answer.GetCheck()); got != consentv1.Reason_REASON_NO_CONTRACT {
			t.Errorf("answer %d: %v", answer.GetCorrelationId(), got)
		}
	}
	wantStatus(t, status.FromProto(reply.GetAlso()[0].GetStatus()), codes.InvalidArgument, "INVALID_ARGUMENT")
	if last := must[*consentv1.StreamCheckResponse](t)(stream.Recv()); last.GetCorrelationId() != 0 || last.GetCheck() == nil {
		t.Errorf("answer %v, want that of question 0", last)
	}
}

// TestReachedRevisionsDontWait: a caller who reads its own write, where that is in effect already, is answered with the others.
func TestReachedRevisionsDontWait(t *testing.T) {
	r := newRig(t)
	at := r.write(t, event(anna, consentv1.EventKind_EVENT_KIND_WITHDRAWN, "newsletter/email")).GetRevision()
	stream := must[consentv1.PermissionService_StreamCheckClient](t)(r.permissions.StreamCheck(background(t)))
	reached := &consentv1.CheckRequest{
		Subject: anna, Permissions: []string{"newsletter/email"},
		Consistency: &consentv1.Consistency{Requirement: &consentv1.Consistency_AtLeast{AtLeast: at}},
	}
	message := ask(0, reached)
	message.Also = []*consentv1.StreamCheckRequest{ask(1, reached)}
	if err := stream.Send(message); err != nil {
		t.Fatal(err)
	}
	reply := must[*consentv1.StreamCheckResponse](t)(stream.Recv())
	if reply.GetCorrelationId() != 0 || len(reply.GetAlso()) != 1 || reasonOf(t, reply.GetCheck()) != consentv1.Reason_REASON_WITHDRAWN {
		t.Errorf("answers %v, want 0 and 1 together", reply)
	}
}

func TestTooManyQuestionsTogether(t *testing.T) {
	r := newRig(t)
	good := &consentv1.CheckRequest{Subject: anna, Permissions: []string{"crm_storage"}}
	many, nested := ask(0, good), ask(0, good)
	for id := range uint64(maxTogether) {
		many.Also = append(many.Also, ask(id+1, good))
	}
	nested.Also = []*consentv1.StreamCheckRequest{{CorrelationId: 1, Check: good, Also: []*consentv1.StreamCheckRequest{ask(2, good)}}}
	for name, message := range map[string]*consentv1.StreamCheckRequest{"too many": many, "nested": nested} {
		stream := must[consentv1.PermissionService_StreamCheckClient](t)(r.permissions.StreamCheck(background(t)))
		if err := stream.Send(message); err != nil {
			t.Fatal(err)
		}
		_, err := stream.Recv()
		t.Log(name)
		wantError(t, err, codes.InvalidArgument, "INVALID_ARGUMENT")
	}
	last := many.Also[:maxTogether-1]
	stream := must[consentv1.PermissionService_StreamCheckClient](t)(r.permissions.StreamCheck(background(t)))
	if err := stream.Send(&consentv1.StreamCheckRequest{Check: good, Also: last}); err != nil {
		t.Fatal(err)
	}
	if reply := must[*consentv1.StreamCheckResponse](t)(stream.Recv()); len(reply.GetAlso()) != len(last) {
		t.Errorf("%d answers below the first, want %d", len(reply.GetAlso()), len(last))
	}
}

// waitingState lets questions that ask for everything wait until it is released.
type waitingState struct {
	*memoryBackend
	release chan struct{}
}

func (s waitingState) View(ctx context.Context, c consent.Consistency) (consent.View, error) {
	if c.Full {
		select {
		case <-s.release:
		case <-ctx.Done():
			return consent.View{}, ctx.Err()
		}
	}
	return s.memoryBackend.View(ctx, c)
}

// TestAnswersOvertake asks what has to wait first.
func TestAnswersOvertake(t *testing.T) {
	release := make(chan struct{})
	r := newRig(t, func(o *Options) {
		memory, _ := o.State.(*memoryBackend)
		o.State = waitingState{memory, release}
	})
	stream := must[consentv1.PermissionService_StreamCheckClient](t)(r.permissions.StreamCheck(background(t)))
	full := &consentv1.Consistency{Requirement: &consentv1.Consistency_FullyConsistent{FullyConsistent: true}}
	for id, consistency := range []*consentv1.Consistency{full, nil} {
		q := ask(uint64(id), &consentv1.CheckRequest{Subject: anna, Permissions: []string{"crm_storage"}, Consistency: consistency})
		if err := stream.Send(q); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []uint64{1, 0} {
		if answer := must[*consentv1.StreamCheckResponse](t)(stream.Recv()); answer.GetCorrelationId() != want {
			t.Errorf("answer %d, want %d", answer.GetCorrelationId(), want)
		}
		if want == 1 {
			close(release)
		}
	}
}

// TestPanicsAreOneCalls: the process and the stream go on, the log has the stack, the caller learns nothing of it.
func TestPanicsAreOneCalls(t *testing.T) {
	r := newRig(t)
	blow := func(on bool) {
		r.memory.failWith(func(call string) error {
			if on && call != "View" {
				panic("rotten bits")
			}
			return nil
		})
	}
	good := &consentv1.CheckRequest{Subject: anna, Permissions: []string{"crm_storage"}}
	stream := must[consentv1.PermissionService_StreamCheckClient](t)(r.permissions.StreamCheck(background(t)))
	next := func(id uint64) *consentv1.StreamCheckResponse {
		if err := stream.Send(ask(id, good)); err != nil {
			t.Fatal(err)
		}
		return must[*consentv1.StreamCheckResponse](t)(stream.Recv())
	}
	blow(true)
	_, err := r.permissions.Check(background(t), good)
	wantError(t, err, codes.Internal, "INTERNAL")
	wantStatus(t, status.FromProto(next(1).GetStatus()), codes.Internal, "INTERNAL")
	_, err = segmentOnce(t, r, &consentv1.Segment{Permission: "crm_storage"}, packed(anna))
	wantError(t, err, codes.Internal, "INTERNAL")
	_, err = importAll(t, r, importStart(&consentv1.Import{}), importRows(1, 1, subjectGrant))
	wantError(t, err, codes.Internal, "INTERNAL")
	blow(false)
	if next(2).GetCheck() == nil {
		t.Error("the stream doesn't go on after a panic")
	}
	if _, err := r.permissions.Check(background(t), good); err != nil {
		t.Errorf("the process doesn't go on after a panic: %v", err)
	}
	wantLog(t, r, "rotten bits", "goroutine", "a call panicked", "check.go")
}

// TestGarbageIsTheCallersMistake: it's logged, for it has a cause somewhere, but nothing failed here.
func TestGarbageIsTheCallersMistake(t *testing.T) {
	r := newRig(t)
	stream := must[grpc.ClientStream](t)(r.conn.NewStream(background(t), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
		consentv1.PermissionService_CheckSegment_FullMethodName))
	if err := stream.SendMsg(wrapperspb.Bytes([]byte{0xff, 0xff})); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(new(consentv1.CheckSegmentResponse)); status.Code(err) != codes.Internal {
		t.Errorf("error %v", err)
	}
	wantLog(t, r, "a caller sent what can't be read")
	if strings.Contains(r.log.String(), "level=ERROR") {
		t.Errorf("logged as an error: %s", r.log)
	}
}

// TestWaitersDontBlock asks for so much that has to wait that there is no place for more: that is refused at once, and the rest answered.
func TestWaitersDontBlock(t *testing.T) {
	release := make(chan struct{})
	r := newRig(t, func(o *Options) {
		memory, _ := o.State.(*memoryBackend)
		o.State = waitingState{memory, release}
	})
	stream := must[consentv1.PermissionService_StreamCheckClient](t)(r.permissions.StreamCheck(background(t)))
	good := &consentv1.CheckRequest{Subject: anna, Permissions: []string{"crm_storage"}}
	full := &consentv1.CheckRequest{
		Subject: anna, Permissions: []string{"crm_storage"},
		Consistency: &consentv1.Consistency{Requirement: &consentv1.Consistency_FullyConsistent{FullyConsistent: true}},
	}
	if err := stream.Send(ask(0, good)); err != nil { // a sidecar holds the record from now on
		t.Fatal(err)
	}
	must[*consentv1.StreamCheckResponse](t)(stream.Recv())
	for id := range uint64(maxWaiting) {
		if err := stream.Send(ask(id, full)); err != nil {
			t.Fatal(err)
		}
	}
	last := ask(maxWaiting, full)
	last.Also = []*consentv1.StreamCheckRequest{ask(maxWaiting+1, good)}
	if err := stream.Send(last); err != nil {
		t.Fatal(err)
	}
	reply := must[*consentv1.StreamCheckResponse](t)(stream.Recv())
	if reply.GetCorrelationId() != maxWaiting || len(reply.GetAlso()) != 1 {
		t.Fatalf("answers %v, want those of the last two questions", reply)
	}
	wantStatus(t, status.FromProto(reply.GetStatus()), codes.ResourceExhausted, "OVERLOADED")
	if got := reasonOf(t, reply.GetAlso()[0].GetCheck()); got != consentv1.Reason_REASON_NO_CONTRACT {
		t.Errorf("the answer that needn't wait: %v", got)
	}
	waitFor(t, "all that wait to count as running", func() bool { return r.server.core.gate.running.Load() == maxWaiting })
	close(release)
	for range maxWaiting {
		if answer := must[*consentv1.StreamCheckResponse](t)(stream.Recv()); answer.GetCheck() == nil {
			t.Fatalf("answer %v of what has waited", answer)
		}
	}
}

// TestIdleStreamsHoldLittle: what the largest message took isn't held by a stream that waits for the next.
func TestIdleStreamsHoldLittle(t *testing.T) {
	r := newRig(t)
	before := liveHeap()
	for range 2 {
		stream := must[consentv1.PermissionService_StreamCheckClient](t)(r.permissions.StreamCheck(background(t)))
		if err := stream.Send(ask(0, &consentv1.CheckRequest{Subject: anna, Permissions: make([]string, maxMessageBytes/2-100)})); err != nil {
			t.Fatal(err)
		}
		if answer := must[*consentv1.StreamCheckResponse](t)(stream.Recv()); answer.GetStatus() == nil {
			t.Fatalf("answer %v of a question that is too large", answer)
		}
	}
	waitFor(t, "nothing of what was asked to be held", func() bool { return liveHeap()-before < maxMessageBytes })
}

func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // which empties pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
