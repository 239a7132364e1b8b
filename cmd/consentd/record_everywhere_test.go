package main

import (
	"context"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// slowEverywhere refuses writes to be acknowledged everywhere that don't leave a minute for it.
type slowEverywhere struct {
	consentv1.UnimplementedRecordServiceServer
	written chan written
}

// written is what a write asked for, and how long it would have waited.
type written struct {
	request *consentv1.WriteEventsRequest
	left    time.Duration
}

func (s slowEverywhere) WriteEvents(ctx context.Context, r *consentv1.WriteEventsRequest) (*consentv1.WriteEventsResponse, error) {
	deadline, _ := ctx.Deadline()
	w := written{r, time.Until(deadline)}
	if r.GetWaitFor() == consentv1.WaitFor_WAIT_FOR_EVERYWHERE && !r.GetValidateOnly() && w.left <= time.Minute {
		refused, err := status.New(codes.InvalidArgument, "the deadline is too short").WithDetails(&errdetails.ErrorInfo{
			Domain: "consentd", Reason: "DEADLINE_TOO_SHORT", Metadata: map[string]string{"takes": "1m0s"},
		})
		if err != nil {
			return nil, err
		}
		return nil, refused.Err()
	}
	s.written <- w
	return &consentv1.WriteEventsResponse{Revision: "r", Effects: []consentv1.Effect{consentv1.Effect_EFFECT_APPLIED}}, nil
}

// TestEverywhere asks every kind of event to be in effect everywhere. The timeout is for the write, the wait comes on top of it.
func TestEverywhere(t *testing.T) {
	server := slowEverywhere{written: make(chan written, 1)}
	addr := startFake(t, func(s *grpc.Server) { consentv1.RegisterRecordServiceServer(s, server) })
	arguments := map[scopeRule][]string{permissionsOnly: {"newsletter/email"}, anyScope: {"--all"}}
	for _, v := range verbs() {
		args := append([]string{"record", v.name, "anna", "--addr", addr, "--timeout", "30s"}, arguments[v.scope]...)
		if v.name == "set" {
			args = append(args, "country=DE")
		}
		for _, tt := range []struct {
			flags []string
			wait  consentv1.WaitFor
			least time.Duration
		}{
			{nil, consentv1.WaitFor_WAIT_FOR_UNSPECIFIED, 0},
			{[]string{"--everywhere"}, consentv1.WaitFor_WAIT_FOR_EVERYWHERE, time.Minute},
			{[]string{"--everywhere", "--dry-run"}, consentv1.WaitFor_WAIT_FOR_EVERYWHERE, 0},
		} {
			if got := consentd(t, append(args, tt.flags...)...); got.code != exitDone {
				t.Fatalf("record %s %v: exit code %d:\n%s", v.name, tt.flags, got.code, got.stderr)
			}
			got := <-server.written
			if got.request.GetWaitFor() != tt.wait || got.left <= tt.least || got.left > tt.least+30*time.Second {
				t.Errorf("record %s %v: waits for %v with %s left", v.name, tt.flags, got.request.GetWaitFor(), got.left)
			}
		}
	}
}

// TestEverywhereOfAServer waits for the bound of a real one.
func TestEverywhereOfAServer(t *testing.T) {
	addr := startServer(t, "--max-staleness", "1s")
	for name, args := range map[string][]string{
		"withdraw": {"newsletter/email"}, "object": {"--all"}, "suppress": nil, "grant": {"newsletter/email"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			must(t, addr, append([]string{"record", name, name + "@example.com", "--everywhere", "--timeout", patience.String()}, args...)...)
			if took := time.Since(begun); took < 1010*time.Millisecond {
				t.Errorf("acknowledged after %s", took)
			}
		})
	}
}
