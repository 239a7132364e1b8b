package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/consentd/consentd/consent"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestStatusOf(t *testing.T) {
	_, policyError := consent.ParsePolicy([]byte("purposes: {a: {bases: [wishful_thinking]}}\nnonsense: 1"))
	tests := []struct {
		err    error
		code   codes.Code
		reason string
	}{
		{consent.ErrStale, codes.Unavailable, "STALE"},
		{consent.ErrNotReady, codes.Unavailable, "NOT_READY"},
		{consent.ErrEpoch, codes.FailedPrecondition, "EPOCH_CHANGED"},
		{consent.ErrNotWritten, codes.Unavailable, "NOT_WRITTEN"},
		{consent.ErrOutcomeUnknown, codes.Unavailable, "OUTCOME_UNKNOWN"},
		{consent.ErrOverloaded, codes.ResourceExhausted, "OVERLOADED"},
		{consent.ErrRequestReused, codes.AlreadyExists, "REQUEST_ID_REUSED"},
		{consent.ErrRequestExpired, codes.FailedPrecondition, "REQUEST_ID_EXPIRED"},
		{consent.ErrRequestFuture, codes.FailedPrecondition, "REQUEST_ID_FUTURE"},
		{consent.ErrETag, codes.Aborted, "ETAG_MISMATCH"},
		{consent.ErrUnknownTenant, codes.NotFound, "UNKNOWN_TENANT"},
		{consent.ErrUnknownVersion, codes.NotFound, "UNKNOWN_VERSION"},
		{errNoPolicy, codes.NotFound, "UNKNOWN_VERSION"},
		{consent.ErrStorageFull, codes.ResourceExhausted, "STORAGE_FULL"},
		{consent.ErrTooManyNames, codes.FailedPrecondition, "TOO_MANY_NAMES"},
		{policyError, codes.InvalidArgument, "INVALID_POLICY"},
		{&consent.EventError{Field: "kind", Message: "no"}, codes.InvalidArgument, "INVALID_ARGUMENT"},
		{invalid("subject", "no"), codes.InvalidArgument, "INVALID_ARGUMENT"},
		{&unknownPermissionError{"a/b"}, codes.NotFound, "UNKNOWN_PERMISSION"},
		{&shortDeadlineError{time.Second, time.Minute}, codes.InvalidArgument, "DEADLINE_TOO_SHORT"},
		{errOverloaded, codes.ResourceExhausted, "OVERLOADED"},
		{errFutureTime, codes.FailedPrecondition, "FUTURE_TIME"},
		{errTooLarge, codes.ResourceExhausted, "MESSAGE_TOO_LARGE"},
		{errUnimplemented, codes.Unimplemented, "UNIMPLEMENTED"},
		{errDraining, codes.Unavailable, "NOT_READY"},
		{errPanic, codes.Internal, "INTERNAL"},
		{context.Canceled, codes.Canceled, "CANCELLED"},
		{context.DeadlineExceeded, codes.DeadlineExceeded, "DEADLINE_EXCEEDED"},
		{errors.New("anna@example.org isn't there"), codes.Internal, "INTERNAL"},

		{errors.Join(consent.ErrNotWritten, consent.ErrNotReady), codes.Unavailable, "NOT_WRITTEN"},
		{errors.Join(context.DeadlineExceeded, consent.ErrOutcomeUnknown), codes.Unavailable, "OUTCOME_UNKNOWN"},

		{status.Error(codes.ResourceExhausted, "grpc: received message larger than max"), codes.ResourceExhausted, "MESSAGE_TOO_LARGE"},
		{status.Error(codes.NotFound, "unknown service"), codes.NotFound, "UNKNOWN_SERVICE"},
		{status.Error(codes.Canceled, "context canceled"), codes.Canceled, "CANCELLED"},
		{status.Error(codes.DeadlineExceeded, "late"), codes.DeadlineExceeded, "DEADLINE_EXCEEDED"},
		{status.Error(codes.Unavailable, "transport is closing"), codes.Canceled, "CANCELLED"},
		{status.Error(codes.Internal, "failed to unmarshal"), codes.Internal, "INTERNAL"},
		{statusOf(consent.ErrStale).Err(), codes.Unavailable, "STALE"},
		{fmt.Errorf("%w (%w)", consent.ErrNotReady, status.Error(codes.Unavailable, "gone")), codes.Unavailable, "NOT_READY"},
		{fmt.Errorf("%w (%w)", consent.ErrNotReady, statusOf(consent.ErrEpoch).Err()), codes.Unavailable, "NOT_READY"},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			wantStatus(t, statusOf(tt.err), tt.code, tt.reason)
			wantStatus(t, statusOf(fmt.Errorf("asking: %w", tt.err)), tt.code, tt.reason)
		})
	}
}

func TestPolicyFaultsHaveLines(t *testing.T) {
	_, err := consent.ParsePolicy([]byte("purposes:\n  a: {bases: [contract], necessary_for_contract: true}\nnonsense: 1\nmore: 2\n"))
	for _, detail := range statusOf(err).Details() {
		if bad, ok := detail.(*errdetails.BadRequest); ok {
			if len(bad.GetFieldViolations()) != 2 {
				t.Errorf("violations %v, want two", bad.GetFieldViolations())
			}
			for i, v := range bad.GetFieldViolations() {
				if v.GetField() != "document" || !strings.Contains(v.GetDescription(), fmt.Sprintf("line %d", i+3)) {
					t.Errorf("violation %v", v)
				}
			}
		}
	}
}

// TestErrorsAreDocumented compares docs/errors.md with what can be returned.
func TestErrorsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for line := range bytes.Lines(text) {
		if cells := strings.Split(string(line), "|"); len(cells) == 6 && strings.Contains(cells[1], "`") {
			documented[strings.Trim(cells[1], " `")] = strings.Trim(cells[2], " `")
		}
	}
	want := map[string]string{
		"DEADLINE_TOO_SHORT": "INVALID_ARGUMENT",
		"INVALID_ARGUMENT":   "INVALID_ARGUMENT", "INVALID_POLICY": "INVALID_ARGUMENT", "UNKNOWN_PERMISSION": "NOT_FOUND",
		internal.reason: codeName(internal.code),
	}
	for _, o := range outcomes {
		want[o.reason] = codeName(o.code)
	}
	for reason, code := range want {
		if documented[reason] != code {
			t.Errorf("%s is documented with code %q, want %s", reason, documented[reason], code)
		}
	}
	for reason := range documented {
		if want[reason] == "" {
			t.Errorf("%s is documented, but never returned", reason)
		}
	}
}

// codeName spells a code as the specification does.
func codeName(c codes.Code) string {
	var name strings.Builder
	for i, r := range c.String() {
		if i > 0 && r >= 'A' && r <= 'Z' {
			name.WriteByte('_')
		}
		name.WriteRune(r)
	}
	if c == codes.Canceled {
		return "CANCELLED"
	}
	return strings.ToUpper(name.String())
}
