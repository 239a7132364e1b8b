package client

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// scripted is a RecordService that says of one write after the other what a test tells it to, and then writes.
type scripted struct {
	consentv1.UnimplementedRecordServiceServer
	mu     sync.Mutex
	script []error
	ids    []string
}

func (s *scripted) WriteEvents(ctx context.Context, r *consentv1.WriteEventsRequest) (*consentv1.WriteEventsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids = append(s.ids, r.GetRequestId())
	if len(s.script) == 0 {
		return &consentv1.WriteEventsResponse{Revision: consent.Revision{Epoch: 1, Index: 5}.String(), RequestId: r.GetRequestId()}, nil
	}
	next := s.script[0]
	s.script = s.script[1:]
	if next == nil { // no answer
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return nil, next
}

// asked returns the request ids of all writes so far.
func (s *scripted) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ids)
}

func said(t *testing.T, code codes.Code, reason string) error {
	t.Helper()
	s, err := status.New(code, "so it is").WithDetails(&errdetails.ErrorInfo{Domain: "consentd", Reason: reason})
	if err != nil {
		t.Fatal(err)
	}
	return s.Err()
}

// TestWritesAreRepeated with the same request id, as long as they aren't known to have happened, and only then.
func TestWritesAreRepeated(t *testing.T) {
	unavailable := func(reason string) error { return said(t, codes.Unavailable, reason) }
	tests := []struct {
		name    string
		script  []error
		tries   int
		unknown bool
		want    error // nil: written
	}{
		{"at once", nil, 1, false, nil},
		{"all that may pass", []error{
			unavailable("NOT_WRITTEN"), unavailable("OUTCOME_UNKNOWN"), unavailable("NO_LEADER"), unavailable("NOT_READY"),
			said(t, codes.ResourceExhausted, "OVERLOADED"),
		}, 6, false, nil},
		{"a broken connection", []error{status.Error(codes.Unavailable, "the connection broke")}, 2, false, nil},
		{"wrong", []error{said(t, codes.InvalidArgument, "INVALID_ARGUMENT")}, 1, false, ErrInvalid},
		{"full", []error{said(t, codes.ResourceExhausted, "STORAGE_FULL")}, 1, false, consent.ErrStorageFull},
		{"once unknown, then refused", []error{unavailable("OUTCOME_UNKNOWN"), said(t, codes.ResourceExhausted, "STORAGE_FULL")}, 2, true,
			consent.ErrStorageFull},
		{"no answer", []error{nil}, 1, true, context.DeadlineExceeded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := &scripted{script: tt.script}
			c := dial(t, fakeServer(t, func(g *grpc.Server) { consentv1.RegisterRecordServiceServer(g, server) }))
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			if tt.name == "no answer" {
				ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
			}
			defer cancel()
			reply, err := c.Write(ctx, withdrawal(anna))
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			ids := server.asked()
			if len(ids) != tt.tries {
				t.Fatalf("%d attempts, want %d", len(ids), tt.tries)
			}
			for _, id := range ids {
				if id == "" || id != ids[0] {
					t.Errorf("request ids %q", ids)
				}
			}
			if err == nil {
				if newest := c.written.revision(); newest.Index != 5 || reply.GetRequestId() != ids[0] {
					t.Errorf("reply %v, remembered %v", reply, newest)
				}
				return
			}
			var failed *WriteError
			if !errors.As(err, &failed) || failed.RequestID != ids[0] || failed.Unknown != tt.unknown {
				t.Errorf("%+v, want unknown %t", failed, tt.unknown)
			}
			if errors.Is(err, consent.ErrOutcomeUnknown) != tt.unknown {
				t.Errorf("%v: an unknown outcome %t", err, tt.unknown)
			}
		})
	}
}

// TestUnsentWritesAreKnown: what no connection took certainly wasn't written.
func TestUnsentWritesAreKnown(t *testing.T) {
	r := newRig(t, 1)
	r.servers[0].kill()
	c := r.dial(t, WithoutWaiting(), WithTimeout(100*time.Millisecond))
	_, err := c.Write(t.Context(), withdrawal(anna))
	if err == nil || errors.Is(err, consent.ErrOutcomeUnknown) {
		t.Errorf("error %v", err)
	}
}

// TestTryingAWriteOutDemandsNothing: what was only validated isn't there to be read.
func TestTryingAWriteOutDemandsNothing(t *testing.T) {
	c := newRig(t, 1).dial(t)
	request := withdrawal(anna)
	request.ValidateOnly = true
	reply, err := c.Write(t.Context(), request)
	if err != nil || len(reply.GetEffects()) != 1 || c.written.revision() != (consent.Revision{}) {
		t.Errorf("%v, %v, remembered %v", reply, err, c.written.revision())
	}
	if request.GetRequestId() != "" || request.GetTenant() != "" {
		t.Errorf("the caller's own request was changed: %v", request)
	}
	if !c.Allowed(t.Context(), anna, newsletter) {
		t.Error("denied")
	}
}

// TestWrittenRevisions: the newest of an epoch counts, and of epochs the last.
func TestWrittenRevisions(t *testing.T) {
	var w written
	for _, r := range []consent.Revision{{Epoch: 1, Index: 5}, {Epoch: 1, Index: 9}, {Epoch: 1, Index: 7}} {
		w.note(r, w.revision().Epoch)
	}
	if got, own := w.demand(consent.Consistency{}); !own || got.AtLeast != (consent.Revision{Epoch: 1, Index: 9}) {
		t.Errorf("%v, own %t", got, own)
	}
	w.forget(consent.Revision{Epoch: 2, Index: 9})
	w.note(consent.Revision{Epoch: 3, Index: 1}, 1)
	for _, tt := range []struct {
		asked, want consent.Consistency
		own         bool
	}{
		{consent.Consistency{}, consent.Consistency{AtLeast: consent.Revision{Epoch: 3, Index: 1}}, true},
		{consent.Consistency{Full: true}, consent.Consistency{Full: true}, false},
		{consent.Consistency{AtLeast: consent.Revision{Epoch: 3, Index: 4}}, consent.Consistency{AtLeast: consent.Revision{Epoch: 3, Index: 4}}, false},
		{consent.Consistency{AtLeast: consent.Revision{Epoch: 1, Index: 4}}, consent.Consistency{AtLeast: consent.Revision{Epoch: 1, Index: 4}}, false},
	} {
		if got, own := w.demand(tt.asked); got != tt.want || own != tt.own {
			t.Errorf("%+v demands %+v, own %t; want %+v, %t", tt.asked, got, own, tt.want, tt.own)
		}
	}
}
