package client

import (
	"context"
	"errors"
	"os"
	"regexp"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// underLoad runs callers that check until the test's doing is done, and returns how many checks there were. None may fail.
func underLoad(t *testing.T, c *Client, doing func(checks *atomic.Int64)) {
	t.Helper()
	var (
		callers sync.WaitGroup
		stop    atomic.Bool
		checks  atomic.Int64
	)
	for i := range 32 {
		subject := []string{anna, nobody}[i%2]
		callers.Go(func() {
			for !stop.Load() {
				answer, err := c.Check(context.Background(), Question{Subject: subject, Permission: newsletter})
				if err != nil || answer.Allowed != (subject == anna) {
					t.Errorf("%s: %+v, %v", subject, answer, err)
					return
				}
				checks.Add(1)
			}
		})
	}
	doing(&checks)
	stop.Store(true)
	callers.Wait()
}

// moreChecks returns once so many more checks were answered.
func moreChecks(t *testing.T, checks *atomic.Int64, n int64) {
	t.Helper()
	until := checks.Load() + n
	awaitNil(t, func() error {
		if t.Failed() || checks.Load() >= until {
			return nil
		}
		return errors.New("no more checks are answered")
	})
}

// TestReplicasDieUnderLoad: two of three are killed, one after the other, and come back. No check fails.
func TestReplicasDieUnderLoad(t *testing.T) {
	for name, opts := range map[string][]Option{"stream": nil, "unary": {WithUnaryCalls()}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 3)
			underLoad(t, r.dial(t, opts...), func(checks *atomic.Int64) {
				for i := range 4 {
					one := r.servers[i%3]
					moreChecks(t, checks, 200)
					one.kill()
					moreChecks(t, checks, 200)
					r.servers[i%3] = r.serve(t, one.address)
				}
				moreChecks(t, checks, 200)
			})
		})
	}
}

// TestReplicasDrainUnderLoad: a rolling restart is no business of the callers'.
func TestReplicasDrainUnderLoad(t *testing.T) {
	r := newRig(t, 2)
	underLoad(t, r.dial(t), func(checks *atomic.Int64) {
		for i := range 4 {
			one := r.servers[i%2]
			moreChecks(t, checks, 200)
			one.stop(t)
			moreChecks(t, checks, 200)
			r.servers[i%2] = r.serve(t, one.address)
			awaitNil(t, func() error { // until it may be asked, or the other would be the last
				return dial(t, one.address).Ready(t.Context())
			})
		}
	})
}

// TestStaleReplicasAreLeft: what one replica can't answer another does, and it stays with that one.
func TestStaleReplicasAreLeft(t *testing.T) {
	r := newRig(t, 2)
	c := r.dial(t)
	for _, stale := range r.servers {
		stale.state.failWith(func(context.Context) error { return consent.ErrStale })
		awaitNil(t, func() error { // the connection to the fresh one may not stand yet
			_, err := c.Check(t.Context(), Question{Subject: anna, Permission: newsletter})
			return err
		})
		for range 50 {
			answer, err := c.Check(t.Context(), Question{Subject: anna, Permission: newsletter})
			if err != nil && r.node.Ready() != nil { // on a slow machine the fresh one is stale for a moment, too
				awaitNil(t, r.node.Ready)
				continue
			}
			if err != nil || !answer.Allowed {
				t.Fatalf("a fresh replica isn't asked: %v", err)
			}
		}
		stale.state.failWith(nil)
	}
	for _, s := range r.servers {
		s.state.failWith(func(context.Context) error { return consent.ErrStale })
	}
	if _, err := c.Check(t.Context(), Question{Subject: anna, Permission: newsletter}); !errors.Is(err, consent.ErrStale) {
		t.Errorf("all are stale: %v", err)
	}
}

// TestSilentStreamsAreLeft: a stream that owes answers and gives none is given up for another.
func TestSilentStreamsAreLeft(t *testing.T) {
	r := newRig(t, 2)
	c := r.dial(t)
	if !c.Allowed(t.Context(), anna, newsletter) {
		t.Fatal("denied")
	}
	release := make(chan struct{})
	defer close(release)
	var hung atomic.Int64
	for _, s := range r.servers { // the one of the stream holds the call
		s.state.failWith(func(ctx context.Context) error {
			if hung.Add(1) > 1 {
				return nil
			}
			select {
			case <-release:
			case <-ctx.Done():
			}
			return nil
		})
	}
	if !c.Allowed(t.Context(), anna, newsletter) || hung.Load() < 2 {
		t.Error("nobody else was asked")
	}
}

// TestWhoGivesUpDisturbsNobody: callers who leave, by cancelling or by their deadline, cost the others nothing, and leave nothing behind.
func TestWhoGivesUpDisturbsNobody(t *testing.T) {
	r := newRig(t, 1)
	c := r.dial(t)
	underLoad(t, c, func(checks *atomic.Int64) {
		var leaving sync.WaitGroup
		for i := range 200 {
			leaving.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*time.Microsecond)
				defer cancel()
				if i%2 == 0 {
					cancel()
				}
				_, err := c.Check(ctx, Question{Subject: anna, Permission: newsletter})
				if err != nil && ctx.Err() == nil || err != nil && !errors.Is(err, ctx.Err()) {
					t.Errorf("caller %d: %v", i, err)
				}
			})
		}
		leaving.Wait()
		moreChecks(t, checks, 100)
	})
	awaitNil(t, func() error {
		if l := c.lanes.current.Load(); l != nil && l.owed() > 0 {
			return errors.New("questions of callers who left are still there")
		}
		return nil
	})
}

// owed returns how many questions aren't answered.
func (l *lane) owed() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.table) - len(l.places)
}

// TestDeadlines: a call without a deadline has that of WithTimeout, by whichever way it goes.
func TestDeadlines(t *testing.T) {
	r := newRig(t, 1)
	release := make(chan struct{})
	defer close(release)
	for name, opts := range map[string][]Option{"stream": nil, "unary": {WithUnaryCalls()}} {
		c := r.dial(t, append(opts, WithTimeout(20*time.Millisecond), WithoutWaiting())...)
		awaitNil(t, func() error { return c.Ready(t.Context()) })
		r.servers[0].state.failWith(func(ctx context.Context) error {
			select {
			case <-release:
			case <-ctx.Done():
			}
			return ctx.Err()
		})
		if _, err := c.Check(context.Background(), Question{Subject: anna, Permission: newsletter}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := c.BatchCheck(context.Background(), []Question{{Subject: anna, Permission: newsletter}}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s, a batch: %v", name, err)
		}
		for _, err := range c.CheckSegment(context.Background(), Segment{Permission: newsletter}, slices.Values([]string{anna})) {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s, a segment: %v", name, err)
			}
		}
		r.servers[0].state.failWith(nil)
	}
}

// saying is a server that says one thing of every call.
type saying struct {
	consentv1.UnimplementedPermissionServiceServer
	status *status.Status
	item   bool // of the question in a stream, and not of the stream
	asked  atomic.Int64
}

func (s *saying) Check(context.Context, *consentv1.CheckRequest) (*consentv1.CheckResponse, error) {
	s.asked.Add(1)
	return nil, s.status.Err()
}

func (s *saying) StreamCheck(stream grpc.BidiStreamingServer[consentv1.StreamCheckRequest, consentv1.StreamCheckResponse]) error {
	for {
		message, err := stream.Recv()
		if err != nil || !s.item {
			return s.status.Err()
		}
		s.asked.Add(1)
		err = stream.Send(&consentv1.StreamCheckResponse{
			CorrelationId: message.GetCorrelationId(), Result: &consentv1.StreamCheckResponse_Status{Status: s.status.Proto()},
		})
		if err != nil {
			return err
		}
	}
}

// reasonsOf returns reason and code of every row of the table of errors.
func reasonsOf(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile("../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\| `([A-Z_]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		reasons[row[1]] = row[2]
	}
	if len(reasons) < 20 {
		t.Fatalf("only %d reasons found in the table", len(reasons))
	}
	return reasons
}

// TestNoErrorAllows: every error that there is, by every way, is an error that errors.Is knows, and Allowed is false.
func TestNoErrorAllows(t *testing.T) {
	for reason, name := range reasonsOf(t) {
		if meanings[reason] == nil {
			t.Errorf("%s stands for no error", reason)
			continue
		}
		var code codes.Code
		if err := code.UnmarshalJSON([]byte(`"` + name + `"`)); err != nil {
			t.Fatal(err)
		}
		s, err := status.New(code, "so it is").WithDetails(&errdetails.ErrorInfo{Domain: "consentd", Reason: reason})
		if err != nil {
			t.Fatal(err)
		}
		wantDenied(t, reason, s, meanings[reason])
	}
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		wantDenied(t, code.String(), status.New(code, "so says the library"), nil)
	}
}

func wantDenied(t *testing.T, name string, s *status.Status, want error) {
	t.Helper()
	for _, item := range []bool{true, false} {
		server := &saying{status: s, item: item}
		address := fakeServer(t, func(g *grpc.Server) { consentv1.RegisterPermissionServiceServer(g, server) })
		for _, opts := range [][]Option{nil, {WithUnaryCalls()}} {
			c := dial(t, address, append(opts, WithTimeout(200*time.Millisecond), WithoutWaiting())...)
			if c.Allowed(t.Context(), anna, newsletter) {
				t.Errorf("%s: allowed", name)
			}
			answer, err := c.Check(t.Context(), Question{Subject: anna, Permission: newsletter})
			if err == nil || answer != (Answer{}) || want != nil && item && !errors.Is(err, want) {
				t.Errorf("%s, of the question %t: answer %+v, error %v, want %v", name, item, answer, err, want)
			}
			c.Close()
		}
	}
}

// answering is a server that answers as a test says, whatever it is asked.
type answering struct {
	consentv1.UnimplementedPermissionServiceServer
	answer func(*consentv1.StreamCheckRequest) []*consentv1.StreamCheckResponse
}

func (s *answering) StreamCheck(stream grpc.BidiStreamingServer[consentv1.StreamCheckRequest, consentv1.StreamCheckResponse]) error {
	for {
		message, err := stream.Recv()
		if err != nil {
			return err
		}
		for _, reply := range s.answer(message) {
			if err := stream.Send(reply); err != nil {
				return err
			}
		}
	}
}

// allow is an ALLOW for a question.
func allow(id uint64, permission string) *consentv1.StreamCheckResponse {
	return &consentv1.StreamCheckResponse{CorrelationId: id, Result: &consentv1.StreamCheckResponse_Check{Check: &consentv1.CheckResponse{
		Revision: consent.Revision{Epoch: 1, Index: 1}.String(), Results: []*consentv1.CheckResult{{
			Permission: permission, Result: &consentv1.CheckResult_Answer{Answer: &consentv1.Answer{Decision: consentv1.Decision_DECISION_ALLOW}},
		}},
	}}}
}

// TestAnswersOfOthers: an answer counts only for the question that it was given to, and only if it fits.
func TestAnswersOfOthers(t *testing.T) {
	var last atomic.Uint64
	deny := func(q *consentv1.StreamCheckRequest) *consentv1.StreamCheckResponse {
		reply := allow(q.GetCorrelationId(), newsletter)
		reply.GetCheck().GetResults()[0].GetAnswer().Decision = consentv1.Decision_DECISION_DENY
		return reply
	}
	tests := []struct {
		name   string
		answer func(*consentv1.StreamCheckRequest) []*consentv1.StreamCheckResponse
	}{
		{"of another question", func(q *consentv1.StreamCheckRequest) []*consentv1.StreamCheckResponse {
			return []*consentv1.StreamCheckResponse{allow(q.GetCorrelationId()+1, newsletter), allow(q.GetCorrelationId()+1<<32, newsletter), deny(q)}
		}},
		{"of the question before", func(q *consentv1.StreamCheckRequest) []*consentv1.StreamCheckResponse {
			return []*consentv1.StreamCheckResponse{allow(last.Swap(q.GetCorrelationId()), newsletter), deny(q)}
		}},
		{"for another permission", func(q *consentv1.StreamCheckRequest) []*consentv1.StreamCheckResponse {
			return []*consentv1.StreamCheckResponse{allow(q.GetCorrelationId(), "newsletter/phone")}
		}},
		{"without a result", func(q *consentv1.StreamCheckRequest) []*consentv1.StreamCheckResponse {
			return []*consentv1.StreamCheckResponse{{CorrelationId: q.GetCorrelationId()}}
		}},
		{"older than demanded", func(q *consentv1.StreamCheckRequest) []*consentv1.StreamCheckResponse {
			return []*consentv1.StreamCheckResponse{allow(q.GetCorrelationId(), newsletter)}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			address := fakeServer(t, func(g *grpc.Server) { consentv1.RegisterPermissionServiceServer(g, &answering{answer: tt.answer}) })
			c := dial(t, address, WithTimeout(time.Second))
			for range 3 {
				q := Question{Subject: anna, Permission: newsletter}
				if tt.name == "older than demanded" {
					q.Consistency.AtLeast = consent.Revision{Epoch: 1, Index: 2}
				}
				if answer, _ := c.Check(t.Context(), q); answer.Allowed {
					t.Fatalf("allowed: %+v", answer)
				}
			}
		})
	}
}

// TestClientsLeaveNothing: a hundred of them, closed amid checks.
func TestClientsLeaveNothing(t *testing.T) {
	r := newRig(t, 2)
	before := runtime.NumGoroutine()
	for range 20 {
		c := r.dial(t)
		var callers sync.WaitGroup
		for range 8 {
			callers.Go(func() {
				for c.Allowed(t.Context(), anna, newsletter) {
				}
			})
		}
		c.Close()
		callers.Wait()
	}
	awaitNil(t, func() error {
		if now := runtime.NumGoroutine(); now > before+20 { // of the servers, for connections that end
			return errors.New("goroutines are left")
		}
		return nil
	})
}

// TestSegmentsOutliveReplicas: a segment goes on where its stream broke, with nothing left out and nothing twice.
func TestSegmentsOutliveReplicas(t *testing.T) {
	r := newRig(t, 2)
	c := r.dial(t)
	const subjects = 12 * chunkSubjects
	read := 0
	ids := func(yield func(string) bool) {
		for ; read < subjects && yield([]string{anna, nobody}[read%2]); read++ {
		}
	}
	seen, chunks := 0, 0
	for chunk, err := range c.CheckSegment(t.Context(), Segment{Permission: newsletter}, ids) {
		if err != nil {
			t.Fatal(err)
		}
		for i := range chunk.Subjects {
			if chunk.Allowed(i) != (seen%2 == 0) {
				t.Fatalf("subject %d: %v", seen, chunk.Reason(i))
			}
			seen++
		}
		if chunks++; chunks%3 == 0 {
			one := r.servers[chunks/3%2]
			one.kill()
			r.servers[chunks/3%2] = r.serve(t, one.address)
		}
	}
	if seen != subjects || read != subjects {
		t.Errorf("%d subjects were read, %d answered, want %d", read, seen, subjects)
	}
}
