package server

import (
	"context"
	"testing"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/consentd/consentd/proto/wire"
)

// checked is the handler of the call, for messages of the generated code.
func (s *permissionService) checked(ctx context.Context, tb testing.TB, r *consentv1.CheckRequest) (*consentv1.CheckResponse, error) {
	tb.Helper()
	question, reply := new(wire.Question), new(consentv1.CheckResponse)
	become(tb, r, question)
	got, err := s.check(ctx, question)
	if err == nil {
		become(tb, got, reply)
	}
	return reply, err
}

// batchChecked is the same for a batch.
func (s *permissionService) batchChecked(
	ctx context.Context, tb testing.TB, r *consentv1.BatchCheckRequest,
) (*consentv1.BatchCheckResponse, error) {
	tb.Helper()
	questions := new(wire.BatchQuestions)
	become(tb, r, questions)
	got, err := s.batchCheck(ctx, questions)
	reply := new(consentv1.BatchCheckResponse)
	if err == nil {
		become(tb, got, reply)
	}
	return reply, err
}

// become makes a message of another kind of one, by way of its bytes.
func become(tb testing.TB, one, other any) {
	tb.Helper()
	codec := wire.NewCodec()
	data, err := codec.Marshal(one)
	if err != nil {
		tb.Fatal(err)
	}
	if err := codec.Unmarshal(data, other); err != nil {
		tb.Fatal(err)
	}
}
