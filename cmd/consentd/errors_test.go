package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// refusing answers every check and write with an error.
type refusing struct {
	consentv1.UnimplementedPermissionServiceServer
	consentv1.UnimplementedRecordServiceServer
	err error
}

func (r refusing) Check(context.Context, *consentv1.CheckRequest) (*consentv1.CheckResponse, error) {
	return nil, r.err
}

func (r refusing) WriteEvents(context.Context, *consentv1.WriteEventsRequest) (*consentv1.WriteEventsResponse, error) {
	return nil, r.err
}

func TestErrorsInWords(t *testing.T) {
	violation := func(field, text string) *errdetails.BadRequest_FieldViolation {
		return &errdetails.BadRequest_FieldViolation{Field: field, Description: text}
	}
	tests := []struct {
		name string
		err  error
		code int
		want string
	}{
		{
			"unknown permission", refusal(t, codes.NotFound, "UNKNOWN_PERMISSION", `the policy doesn't declare "a/b"`), exitFailed,
			`consentd: the policy doesn't declare "a/b" (UNKNOWN_PERMISSION): 'consentd policy show' prints the permissions that there are` + "\n",
		},
		{
			"one fault", refusal(t, codes.InvalidArgument, "INVALID_ARGUMENT", "subject: too long",
				&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{violation("subject", "too long")}}),
			exitUsage, "consentd: subject: too long (INVALID_ARGUMENT)\nSee 'consentd check --help'.\n",
		},
		{
			"a field of an event", refusal(t, codes.InvalidArgument, "INVALID_ARGUMENT", "events[0].attributes.birth_date: nobody",
				&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
					violation("events[0].attributes.birth_date", "nobody"), violation("events[0].occurred_at", "never")}}),
			exitUsage, "consentd: birth_date: nobody (INVALID_ARGUMENT)\n  occurred_at: never\nSee 'consentd check --help'.\n",
		},
		{
			"two faults", refusal(t, codes.InvalidArgument, "INVALID_ARGUMENT", "subject: too long",
				&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
					violation("subject", "too long"), violation("permissions[0]", "empty")}}),
			exitUsage, "consentd: subject: too long (INVALID_ARGUMENT)\n  permissions[0]: empty\nSee 'consentd check --help'.\n",
		},
		{
			"shed", refusal(t, codes.ResourceExhausted, "OVERLOADED", "too much to do",
				&errdetails.RetryInfo{RetryDelay: durationpb.New(100 * time.Millisecond)}),
			exitFailed, "consentd: too much to do (OVERLOADED)\n  wait 100ms first\n",
		},
		{"no reason", refusal(t, codes.Internal, "", "boom"), exitFailed, "consentd: boom (Internal)\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			addr := startFake(t, func(s *grpc.Server) { consentv1.RegisterPermissionServiceServer(s, refusing{err: tt.err}) })
			got := consentd(t, "check", "anna", "a/b", "--addr", addr)
			if diff := cmp.Diff(result{code: tt.code, stderr: tt.want}, got, cmp.AllowUnexported(result{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestUnknownOutcome fails writes in ways that leave open whether they happened: the message names the request id to repeat them with.
func TestUnknownOutcome(t *testing.T) {
	tests := []struct {
		name string
		err  error
		open bool
	}{
		{"leadership lost", refusal(t, codes.Unavailable, "OUTCOME_UNKNOWN", "it isn't known"), true},
		{"too slow", refusal(t, codes.DeadlineExceeded, "DEADLINE_EXCEEDED", "too slow"), true},
		{"broken", refusal(t, codes.Internal, "INTERNAL", "boom"), true},
		{"never started", refusal(t, codes.Unavailable, "NOT_WRITTEN", "not written"), false},
		{"refused", refusal(t, codes.InvalidArgument, "INVALID_ARGUMENT", "no"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			addr := startFake(t, func(s *grpc.Server) { consentv1.RegisterRecordServiceServer(s, refusing{err: tt.err}) })
			got := consentd(t, "record", "withdraw", "anna", "--all", "--addr", addr)
			if open := strings.Contains(got.stderr, "repeat the command with --request-id 0"); open != tt.open || got.code == exitDone {
				t.Errorf("exit code %d, says so: %t, want %t:\n%s", got.code, open, tt.open, got.stderr)
			}
		})
	}
	if got := consentd(t, "record", "withdraw", "anna", "--all", "--addr", "127.0.0.1:1"); strings.Contains(got.stderr, "--request-id") {
		t.Errorf("nothing was sent, so nothing is open:\n%s", got.stderr)
	}
}

// stuck never answers.
type stuck struct {
	consentv1.UnimplementedPermissionServiceServer
}

func (stuck) Check(ctx context.Context, _ *consentv1.CheckRequest) (*consentv1.CheckResponse, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (stuck) CheckSegment(s consentv1.PermissionService_CheckSegmentServer) error {
	<-s.Context().Done()
	return s.Context().Err()
}

func TestTimeout(t *testing.T) {
	addr := startFake(t, func(s *grpc.Server) { consentv1.RegisterPermissionServiceServer(s, stuck{}) })
	for _, args := range [][]string{{"check", "anna", "a/b"}, {"segment", "a/b", "--in", "-"}} {
		got := call{args: append(args, "--addr", addr, "--timeout", "50ms"), stdin: "anna\n"}.run(t)
		if want := "gave no answer within 50ms"; got.code != exitFailed || !strings.Contains(got.stderr, want) {
			t.Errorf("%v: exit code %d, standard error %q, want %q", args, got.code, got.stderr, want)
		}
	}
}

// vague answers with what this version doesn't know, or with nothing.
type vague struct {
	consentv1.UnimplementedPermissionServiceServer
	answer *consentv1.CheckResult
}

func (v vague) Check(context.Context, *consentv1.CheckRequest) (*consentv1.CheckResponse, error) {
	return &consentv1.CheckResponse{Results: []*consentv1.CheckResult{v.answer}}, nil
}

// TestNeverAllowedByAccident answers with everything but a clear ALLOW.
func TestNeverAllowedByAccident(t *testing.T) {
	answer := func(decision consentv1.Decision) *consentv1.CheckResult {
		return &consentv1.CheckResult{Permission: "a/b", Result: &consentv1.CheckResult_Answer{Answer: &consentv1.Answer{Decision: decision}}}
	}
	tests := []struct {
		name   string
		answer *consentv1.CheckResult
		code   int
	}{
		{"nothing", &consentv1.CheckResult{Permission: "a/b"}, exitFailed},
		{"unspecified", answer(consentv1.Decision_DECISION_UNSPECIFIED), exitDenied},
		{"of a later version", answer(77), exitDenied},
		{"deny", answer(consentv1.Decision_DECISION_DENY), exitDenied},
		{"allow", answer(consentv1.Decision_DECISION_ALLOW), exitDone},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			addr := startFake(t, func(s *grpc.Server) { consentv1.RegisterPermissionServiceServer(s, vague{answer: tt.answer}) })
			got := consentd(t, "check", "anna", "a/b", "--addr", addr, "-o", "json")
			if got.code != tt.code || strings.Contains(got.stdout, `"ALLOW"`) != (tt.code == exitDone) {
				t.Errorf("exit code %d, want %d:\n%s", got.code, tt.code, got.stdout)
			}
		})
	}
}
