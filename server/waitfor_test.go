package server

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// writing is a write as the server takes it: with all that stands before and after the handler, and without a connection.
type writing struct {
	core   *core
	memory *memoryBackend
	call   grpc.UnaryServerInterceptor
}

func newWriting(t *testing.T, bound time.Duration) *writing {
	t.Helper()
	memory := newMemory()
	memory.put(t, defaultTenant, testPolicy)
	memory.bound = bound
	o := Options{State: memory, Records: memory}
	o.setDefaults()
	c := newCore(o)
	m := newCallMetrics(c.logSlow)
	m.resolve(map[string]grpc.ServiceInfo{"consent.v1.RecordService": {Methods: []grpc.MethodInfo{{Name: "WriteEvents"}}}})
	return &writing{c, memory, c.unaryInterceptor(m)}
}

// write returns how long the write took to be acknowledged.
func (w *writing) write(ctx context.Context, r *consentv1.WriteEventsRequest) (time.Duration, error) {
	service, begun := &recordService{core: w.core}, time.Now()
	info := &grpc.UnaryServerInfo{FullMethod: consentv1.RecordService_WriteEvents_FullMethodName}
	_, err := w.call(ctx, r, info, func(ctx context.Context, r any) (any, error) {
		return service.WriteEvents(ctx, r.(*consentv1.WriteEventsRequest))
	})
	return time.Since(begun), err
}

func withdrawal(wait consentv1.WaitFor) *consentv1.WriteEventsRequest {
	return &consentv1.WriteEventsRequest{WaitFor: wait, Events: []*consentv1.Event{{
		Subject: anna, Kind: consentv1.EventKind_EVENT_KIND_WITHDRAWN, Scope: &consentv1.Scope{Permissions: []string{"newsletter/email"}},
	}}}
}

func TestWaitFor(t *testing.T) {
	everywhere := consentv1.WaitFor_WAIT_FOR_EVERYWHERE
	tried := withdrawal(everywhere)
	tried.ValidateOnly = true
	tests := []struct {
		name     string
		request  *consentv1.WriteEventsRequest
		bound    time.Duration
		deadline time.Duration
		took     time.Duration
	}{
		{"unspecified", withdrawal(consentv1.WaitFor_WAIT_FOR_UNSPECIFIED), 2 * time.Second, time.Second, 0},
		{"committed", withdrawal(consentv1.WaitFor_WAIT_FOR_COMMITTED), 2 * time.Second, time.Second, 0},
		{"everywhere", withdrawal(everywhere), 2 * time.Second, 3 * time.Second, 2020 * time.Millisecond},
		{"everywhere, another bound", withdrawal(everywhere), time.Hour, 2 * time.Hour, time.Hour + 36*time.Second},
		{"everywhere, but only tried", tried, 2 * time.Second, time.Second, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tt.deadline)
				defer cancel()
				took, err := newWriting(t, tt.bound).write(ctx, tt.request)
				if err != nil || took != tt.took {
					t.Errorf("acknowledged after %s (%v), want %s", took, err, tt.took)
				}
			})
		})
	}
}

// TestWaitForWithoutDeadline: who sets none waits as long as it takes.
func TestWaitForWithoutDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took, err := newWriting(t, time.Minute).write(t.Context(), withdrawal(consentv1.WaitFor_WAIT_FOR_EVERYWHERE))
		if err != nil || took != time.Minute+600*time.Millisecond {
			t.Errorf("acknowledged after %s (%v)", took, err)
		}
	})
}

// TestWaitForRefuses: what can't be acknowledged as asked for isn't written.
func TestWaitForRefuses(t *testing.T) {
	everywhere := consentv1.WaitFor_WAIT_FOR_EVERYWHERE
	tests := []struct {
		name     string
		request  *consentv1.WriteEventsRequest
		bound    time.Duration
		deadline time.Duration
		code     codes.Code
		reason   string
	}{
		{"no such wait", withdrawal(77), 2 * time.Second, time.Hour, codes.InvalidArgument, "INVALID_ARGUMENT"},
		{"a deadline as the wait ends", withdrawal(everywhere), 2 * time.Second, 2020 * time.Millisecond, codes.InvalidArgument, "DEADLINE_TOO_SHORT"},
		{"a deadline long before it", withdrawal(everywhere), time.Hour, 10 * time.Second, codes.InvalidArgument, "DEADLINE_TOO_SHORT"},
		{"no bound yet", withdrawal(everywhere), 0, time.Hour, codes.Unavailable, "NOT_READY"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tt.deadline)
				defer cancel()
				w := newWriting(t, tt.bound)
				took, err := w.write(ctx, tt.request)
				s := wantError(t, err, tt.code, tt.reason)
				if n := len(w.memory.sizes()); n != 0 || took != 0 {
					t.Errorf("%d writes, after %s", n, took)
				}
				if info, ok := s.Details()[0].(*errdetails.ErrorInfo); tt.reason == "DEADLINE_TOO_SHORT" &&
					(!ok || info.GetMetadata()["takes"] != (tt.bound+tt.bound/100).String()) {
					t.Errorf("details %v don't say how long it takes", s.Details())
				}
			})
		})
	}
}

// TestWaitIsNoLoad: calls that only wait keep no other from being admitted.
func TestWaitIsNoLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriting(t, 2*time.Second)
		w.core.gate.most = 1
		var calls sync.WaitGroup
		defer calls.Wait()
		for range 10 {
			calls.Go(func() {
				if _, err := w.write(t.Context(), withdrawal(consentv1.WaitFor_WAIT_FOR_EVERYWHERE)); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		if n := len(w.memory.sizes()); n != 10 || w.core.gate.running.Load() != 0 {
			t.Errorf("%d were written, %d places are taken", n, w.core.gate.running.Load())
		}
	})
}

// TestWaitEndsWithItsCaller: a write that took so long that the deadline passes in the wait isn't acknowledged; repeated, it waits anew.
func TestWaitEndsWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriting(t, 2*time.Second)
		w.memory.failWith(func(call string) error {
			if call == "Write" {
				time.Sleep(time.Second)
			}
			return nil
		})
		request := withdrawal(consentv1.WaitFor_WAIT_FOR_EVERYWHERE)
		id, err := requestID("")
		if err != nil {
			t.Fatal(err)
		}
		request.RequestId = uuid.UUID(id).String()
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		if took, err := w.write(ctx, request); took != 2500*time.Millisecond {
			t.Errorf("ended after %s", took)
		} else {
			wantError(t, err, codes.DeadlineExceeded, "DEADLINE_EXCEEDED")
		}
		w.memory.failWith(func(string) error { return nil })
		if took, err := w.write(t.Context(), request); err != nil || took != 2020*time.Millisecond {
			t.Errorf("the repeat was acknowledged after %s (%v)", took, err)
		}
		if n := len(w.memory.sizes()); n != 1 {
			t.Errorf("%d writes", n)
		}
		ctx, cancelled := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancelled)
		_, err = w.write(ctx, request)
		wantError(t, err, codes.Canceled, "CANCELLED")
	})
}

// TestFailedWriteDoesntWait: what wasn't written has nothing to wait for.
func TestFailedWriteDoesntWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriting(t, 2*time.Second)
		w.memory.failWith(func(call string) error {
			if call == "Write" {
				return consent.ErrNotWritten
			}
			return nil
		})
		took, err := w.write(t.Context(), withdrawal(consentv1.WaitFor_WAIT_FOR_EVERYWHERE))
		wantError(t, err, codes.Unavailable, "NOT_WRITTEN")
		if took != 0 {
			t.Errorf("ended after %s", took)
		}
	})
}
