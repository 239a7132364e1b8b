package server

import (
	"context"
	"errors"
	"maps"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// upstreams is a scripted connection to replicas.
type upstreams struct {
	grpc.ClientConnInterface
	asked  atomic.Int32
	answer func(ctx context.Context, request, reply proto.Message) error
}

func (u *upstreams) Invoke(ctx context.Context, _ string, request, reply any, _ ...grpc.CallOption) error {
	u.asked.Add(1)
	return u.answer(ctx, request.(proto.Message), reply.(proto.Message))
}

// passer is a sidecar's service before scripted replicas.
type passer struct {
	memory   *memoryBackend
	near     *nearMemory
	replicas *upstreams
	service  *permissionService
}

// newPasser returns a sidecar that holds what held says, and whose clock stands still unless its replica takes time.
func newPasser(t *testing.T, held func(string) bool) *passer {
	t.Helper()
	p := &passer{memory: newMemory(), replicas: &upstreams{}}
	p.memory.put(t, defaultTenant, testPolicy)
	p.near = &nearMemory{State: p.memory, held: held}
	o := Options{State: p.near, Upstream: p.replicas}
	if err := o.validate(); err != nil {
		t.Fatal(err)
	}
	o.setDefaults()
	p.service = &permissionService{core: newCore(o)}
	return p
}

func none(string) bool { return false }

func oneQuestion(subjects ...string) *consentv1.BatchCheckRequest {
	r := &consentv1.BatchCheckRequest{Permissions: []string{"crm_storage"}}
	for _, subject := range subjects {
		r.Questions = append(r.Questions, &consentv1.CheckQuestion{Subject: subject})
	}
	return r
}

// TestBatchesAreAnsweredWhole: here if all is here, and else by a replica, from state no older than what is reached here.
func TestBatchesAreAnsweredWhole(t *testing.T) {
	tests := []struct {
		name     string
		subjects []string
		passed   bool
	}{
		{"all is held", []string{"held 1", "held 2"}, false},
		{"one isn't", []string{"held 1", "other", "held 2"}, true},
		{"an id that can't be used", []string{"held 1", strings.Repeat("x", consent.MaxSubjectBytes+1)}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPasser(t, func(subject string) bool { return strings.HasPrefix(subject, "held") })
			reached := consent.Revision{Epoch: memoryEpoch, Index: p.memory.index}.String()
			p.replicas.answer = func(_ context.Context, request, reply proto.Message) error {
				if got := request.(*consentv1.BatchCheckRequest).GetConsistency().GetAtLeast(); got != reached {
					t.Errorf("asked at %q, want %q", got, reached)
				}
				proto.Merge(reply, &consentv1.BatchCheckResponse{PolicyVersion: 42, Age: durationpb.New(0)})
				return nil
			}
			reply, err := p.service.batchChecked(background(t), t, oneQuestion(tt.subjects...))
			if err != nil {
				t.Fatal(err)
			}
			if passed := reply.GetPolicyVersion() == 42; passed != tt.passed {
				t.Errorf("passed on: %t, want %t", passed, tt.passed)
			}
		})
	}
}

// TestPassedAnswersAgeHere: they are counted from before they were asked for, and never kept past this process's bound.
func TestPassedAnswersAgeHere(t *testing.T) {
	const second = time.Second
	tests := []struct {
		name            string
		told, took      time.Duration // how old the replica calls the answer, and how long it takes
		kept            time.Duration // for how long, as the replica has it
		age, keeps      time.Duration
		stale, unproven bool
	}{
		{name: "fresh", told: 100 * time.Millisecond, took: 200 * time.Millisecond, kept: 30 * second, age: 300 * time.Millisecond,
			keeps: 1700 * time.Millisecond},
		{name: "about to change", told: 0, took: 500 * time.Millisecond, kept: 700 * time.Millisecond, age: 500 * time.Millisecond,
			keeps: 200 * time.Millisecond},
		{name: "changed meanwhile", told: 0, took: 500 * time.Millisecond, kept: 500 * time.Millisecond, age: 500 * time.Millisecond},
		{name: "older than allowed here", told: 1900 * time.Millisecond, took: 100 * time.Millisecond, kept: second, stale: true},
		{name: "late", took: 2 * second, stale: true},
		{name: "of no age", unproven: true, stale: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPasser(t, none)
				p.memory.bound = 2 * second
				p.replicas.answer = func(ctx context.Context, _, reply proto.Message) error {
					select {
					case <-time.After(tt.took):
					case <-ctx.Done():
						return ctx.Err()
					}
					answer := &consentv1.Answer{CacheFor: durationpb.New(tt.kept)}
					r := &consentv1.BatchCheckResponse{Items: []*consentv1.BatchCheckItem{{Results: []*consentv1.CheckResult{
						{Result: &consentv1.CheckResult_Answer{Answer: answer}},
					}}}}
					if !tt.unproven {
						r.Age = durationpb.New(tt.told)
					}
					proto.Merge(reply, r)
					return nil
				}
				reply, err := p.service.batchChecked(t.Context(), t, oneQuestion("anyone"))
				if tt.stale {
					if !errors.Is(err, consent.ErrStale) {
						t.Errorf("%v, error %v, want %v", reply, err, consent.ErrStale)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				keeps := reply.GetItems()[0].GetResults()[0].GetAnswer().GetCacheFor().AsDuration()
				if age := reply.GetAge().AsDuration(); age != tt.age || keeps != tt.keeps {
					t.Errorf("age %s, to be kept for %s, want %s and %s", age, keeps, tt.age, tt.keeps)
				}
			})
		})
	}
}

// TestAStaleSidecarAsksNobody: what it is asked may not be older than what it has answered before, and it doesn't know what that is.
func TestAStaleSidecarAsksNobody(t *testing.T) {
	p := newPasser(t, none)
	p.memory.freshAsOf = func() time.Time { return time.Now().Add(-2 * time.Hour) }
	calls := map[string]func() error{
		"BatchCheck": func() error { _, err := p.service.batchChecked(t.Context(), t, oneQuestion("anyone")); return err },
		"Explain": func() error {
			_, err := p.service.Explain(t.Context(), &consentv1.ExplainRequest{Subject: "anyone"})
			return err
		},
		"Check of a strange tenant": func() error {
			_, err := p.service.checked(t.Context(), t, &consentv1.CheckRequest{Tenant: "other", Subject: "a", Permissions: []string{"crm_storage"}})
			return err
		},
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, consent.ErrStale) {
			t.Errorf("%s: error %v, want %v", name, err, consent.ErrStale)
		}
	}
	if n := p.replicas.asked.Load(); n != 0 {
		t.Errorf("replicas were asked %d times", n)
	}
}

// TestOwnDemandsAreNotTheCallers: a revision that the caller hasn't named can't be of the wrong epoch for them.
func TestOwnDemandsAreNotTheCallers(t *testing.T) {
	p := newPasser(t, none)
	p.replicas.answer = func(context.Context, proto.Message, proto.Message) error { return statusOf(consent.ErrEpoch).Err() }
	request := oneQuestion("anyone")
	_, err := p.service.batchChecked(t.Context(), t, request)
	wantStatus(t, statusOf(err), codes.Unavailable, "NOT_READY")
	request.Consistency = noOlderThan(consent.Revision{Epoch: memoryEpoch, Index: 1}.String())
	_, err = p.service.batchChecked(t.Context(), t, request)
	wantStatus(t, statusOf(err), codes.FailedPrecondition, "EPOCH_CHANGED")
}

// TestOtherTenantsAreAskedFor: a sidecar may be told of some tenants only.
func TestOtherTenantsAreAskedFor(t *testing.T) {
	p := newPasser(t, none)
	p.replicas.answer = func(_ context.Context, _, reply proto.Message) error {
		proto.Merge(reply, &consentv1.CheckResponse{PolicyVersion: 42, Age: durationpb.New(0)})
		return nil
	}
	reply, err := p.service.checked(t.Context(), t, &consentv1.CheckRequest{Tenant: "other", Subject: "a", Permissions: []string{"crm_storage"}})
	if err != nil || reply.GetPolicyVersion() != 42 {
		t.Errorf("%v, error %v", reply, err)
	}
}

// TestWhatIsWrittenIsReached: who wrote through a sidecar is answered only when it knows, for a while.
func TestWhatIsWrittenIsReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPasser(t, none)
		p.memory.bound = 2 * time.Second
		slow := &slowlyReached{State: p.memory, takes: 100 * time.Millisecond}
		c := p.service.core
		c.state = slow
		at := func(index uint64) string { return consent.Revision{Epoch: memoryEpoch, Index: index}.String() }
		written := func(index uint64) proto.Message { return &consentv1.WriteEventsResponse{Revision: at(index)} }
		for name, tt := range map[string]struct {
			reply proto.Message
			ctx   time.Duration
			takes time.Duration
		}{
			"soon reached":            {written(1), time.Hour, 100 * time.Millisecond},
			"never reached":           {written(99), time.Hour, 250 * time.Millisecond},
			"for a caller in a hurry": {written(99), 300 * time.Millisecond, 150 * time.Millisecond},
			"a policy":                {&consentv1.PutPolicyResponse{Policy: &consentv1.Policy{Revision: at(1)}}, time.Hour, 100 * time.Millisecond},
			"nothing written":         {&consentv1.GetPolicyResponse{}, time.Hour, 0},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), tt.ctx)
			began := time.Now()
			c.catchUp(ctx, tt.reply)
			if took := time.Since(began); took != tt.takes {
				t.Errorf("%s: %s, want %s", name, took, tt.takes)
			}
			cancel()
		}
	})
}

// slowlyReached is a state that takes time to come to revisions, and never comes to those beyond 10.
type slowlyReached struct {
	State
	takes time.Duration
}

func (s *slowlyReached) View(ctx context.Context, c consent.Consistency) (consent.View, error) {
	if c.AtLeast.Index > 0 {
		takes := s.takes
		if c.AtLeast.Index > 10 {
			takes = time.Hour
		}
		select {
		case <-time.After(takes):
		case <-ctx.Done():
			return consent.View{}, ctx.Err()
		}
	}
	return s.State.View(context.Background(), consent.Consistency{})
}

// TestLostReplicas: of a call that can't have arrived it is said that nothing was done, and of any other that it isn't known.
func TestLostReplicas(t *testing.T) {
	tests := []struct {
		name                 string
		cut                  bool // after the call has arrived
		read, write          string
		readWords, saidTwice string
	}{
		{"nobody is there", false, "NOT_READY", "NOT_WRITTEN", "no replica could be asked (", "connection refused"},
		{"the connection is cut", true, "NOT_READY", "OUTCOME_UNKNOWN", "gave no answer (", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			memory := newMemory()
			memory.put(t, defaultTenant, testPolicy)
			r := &rig{memory: memory}
			_, conn := serve(t, Options{State: &nearMemory{State: memory, held: none}, Upstream: brokenReplica(t, tt.cut)})
			r.connect(conn)
			calls := everyCall(r, "", "bob", "crm_storage", nil)
			maps.Copy(calls, everyClusterCall(r, "b", "localhost:1", "file"))
			for method, call := range calls {
				if method == "Introduce" || method == "Promise" || method == "Enrol" || method == "Check" {
					continue // which aren't passed on
				}
				want := tt.write
				for name := range reads {
					if strings.HasSuffix(name, "/"+method) {
						want = tt.read
					}
				}
				s := wantError(t, call(background(t)), codes.Unavailable, want)
				if want == tt.read && !strings.Contains(s.Message(), tt.readWords) || !strings.Contains(s.Message(), tt.saidTwice) {
					t.Errorf("%s says %q", method, s.Message())
				}
			}
		})
	}
}

// brokenReplica returns a connection to a replica that isn't there, or one that is cut by each call.
func brokenReplica(t *testing.T, cut bool) *grpc.ClientConn {
	t.Helper()
	listener := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	if !cut {
		listener.Close()
	} else {
		cutting := &cuttingListener{Listener: listener}
		replica := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
			cutting.cut()
			<-stream.Context().Done()
			return nil
		}))
		served := make(chan error, 1)
		go func() { served <- replica.Serve(cutting) }()
		t.Cleanup(func() {
			replica.Stop()
			<-served
		})
	}
	conn := must[*grpc.ClientConn](t)(grpc.NewClient("passthrough:///"+listener.Addr().String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{BaseDelay: time.Millisecond, MaxDelay: time.Millisecond}, MinConnectTimeout: time.Second,
		})))
	t.Cleanup(func() { conn.Close() })
	return conn
}

// cuttingListener can cut the connections that it has accepted.
type cuttingListener struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func (l *cuttingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.conns = append(l.conns, conn)
	}
	return conn, err
}

func (l *cuttingListener) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range l.conns {
		conn.Close()
	}
	l.conns = nil
}

// TestReadsAreKnown: a method that is new, or renamed, counts as one that writes until it is said to read.
func TestReadsAreKnown(t *testing.T) {
	known := map[string]bool{}
	c := newCore(Options{State: newMemory()})
	for _, service := range append(passedServices, &consentv1.PermissionService_ServiceDesc) {
		desc := must[*grpc.ServiceDesc](t)(c.passedService(service))
		for _, m := range desc.Methods {
			known["/"+desc.ServiceName+"/"+m.MethodName] = true
		}
		for _, m := range desc.Streams {
			known["/"+desc.ServiceName+"/"+m.StreamName] = true
		}
	}
	for name := range reads {
		if !known[name] {
			t.Errorf("%s is said to read, and there is no such method", name)
		}
	}
}

// TestAMissHoldsUpNobody: on a shared stream, a question whose record has to be fetched is overtaken by those that are held.
func TestAMissHoldsUpNobody(t *testing.T) {
	memory := newMemory()
	memory.put(t, defaultTenant, testPolicy)
	fetch := make(chan struct{})
	near := &nearMemory{State: memory, held: func(subject string) bool { return subject == "held" }, fetch: func() { <-fetch }}
	_, conn := serve(t, Options{State: near, Upstream: &upstreams{}})
	stream := must[consentv1.PermissionService_StreamCheckClient](t)(consentv1.NewPermissionServiceClient(conn).StreamCheck(background(t)))
	for id, subject := range map[uint64]string{1: "away", 2: "held"} {
		question := &consentv1.StreamCheckRequest{
			CorrelationId: id, Check: &consentv1.CheckRequest{Subject: subject, Permissions: []string{"crm_storage"}},
		}
		if err := stream.Send(question); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []uint64{2, 1} {
		if got := must[*consentv1.StreamCheckResponse](t)(stream.Recv()); got.GetCorrelationId() != want || got.GetCheck() == nil {
			t.Errorf("%v, want the answer to question %d", got, want)
		}
		if want == 2 {
			close(fetch)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
}

// TestSlowWritesArentASidecars: replicas tell of them, and waiting until a write is in effect everywhere isn't slow.
func TestSlowWritesArentASidecars(t *testing.T) {
	s, _ := serve(t, Options{State: &nearMemory{State: newMemory()}, Upstream: &upstreams{}})
	for name, method := range s.metrics.methods {
		if want := name.service == "consent.v1.PermissionService" || strings.HasPrefix(name.service, "grpc."); method.timed && !want {
			t.Errorf("%s is timed", name)
		}
	}
}

func TestSidecarOptions(t *testing.T) {
	memory := newMemory()
	for name, o := range map[string]Options{
		"a state of everything": {State: memory, Upstream: &upstreams{}},
		"records":               {State: &nearMemory{State: memory}, Upstream: &upstreams{}, Records: memory},
		"policies":              {State: &nearMemory{State: memory}, Upstream: &upstreams{}, Policies: memory},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestUnreachedInWords: what the library says of a call that got nowhere is for its authors.
func TestUnreachedInWords(t *testing.T) {
	const preface, dialing = "error reading server preface: ", "transport: Error while dialing: "
	for _, tt := range []struct{ message, want string }{
		{"no children to pick from", "the upstream's name leads to no address"},
		{"pickfirst: health check failure: connection active but health check failed. status=NOT_SERVING",
			"those that are there say that they aren't ready"},
		{`connection error: desc = "` + dialing + `dial tcp 127.0.0.1:1: connect: connection refused"`,
			"dial tcp 127.0.0.1:1: connect: connection refused"},
		{`connection error: desc = "` + preface + `remote error: tls: certificate required"`, "remote error: tls: certificate required"},
		{`connection error: desc = "` + preface + `http2: frame too large"`, errWrongPort.Error()},
	} {
		if got := unreached(tt.message).Error(); got != tt.want {
			t.Errorf("%s becomes %q, want %q", tt.message, got, tt.want)
		}
	}
}

// TestWritesThatWaitAreNoLoad: while a replica has a write take effect everywhere, the sidecar goes on answering.
func TestWritesThatWaitAreNoLoad(t *testing.T) {
	p := newPasser(t, func(string) bool { return true })
	begun, release := make(chan struct{}), make(chan struct{})
	p.replicas.answer = func(context.Context, proto.Message, proto.Message) error {
		close(begun)
		<-release
		return nil
	}
	_, conn := serve(t, Options{State: p.near, Upstream: p.replicas, MaxInFlight: 1})
	written := make(chan error, 1)
	go func() {
		_, err := consentv1.NewRecordServiceClient(conn).WriteEvents(background(t), withdrawal(consentv1.WaitFor_WAIT_FOR_EVERYWHERE))
		written <- err
	}()
	<-begun
	_, err := consentv1.NewPermissionServiceClient(conn).Check(background(t), &consentv1.CheckRequest{
		Subject: anna, Permissions: []string{"crm_storage"},
	})
	if err != nil {
		t.Errorf("a check while a write waits: %v", err)
	}
	close(release)
	if err := <-written; err != nil {
		t.Error(err)
	}
}
