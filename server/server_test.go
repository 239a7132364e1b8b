package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
)

// wantLog waits until the log has all the texts, and fails if it has anything of a subject.
func wantLog(t *testing.T, r *rig, texts ...string) {
	t.Helper()
	for _, text := range texts {
		waitFor(t, text+" in the log", func() bool { return strings.Contains(r.log.String(), text) })
	}
	if strings.Contains(r.log.String(), "anna") {
		t.Error("the log names a subject")
	}
}

func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestNewNeedsAState(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("no error without a state")
	}
	registry := prometheus.NewRegistry()
	o := Options{State: newMemory(), Registerer: registry}
	first := must[*Server](t)(New(o))
	t.Cleanup(func() { _ = first.Drain(context.Background()) })
	if _, err := New(o); err == nil {
		t.Error("no error for metrics registered twice")
	}
}

func TestServeNeedsAListener(t *testing.T) {
	s := must[*Server](t)(New(Options{State: newMemory()}))
	if s.Serve() == nil {
		t.Error("no error without a listener")
	}
	if err := s.Drain(background(t)); err != nil {
		t.Error(err)
	}
}

// TestServeOnTCPAndUnix answers on both at once, and is gone from both after draining.
func TestServeOnTCPAndUnix(t *testing.T) {
	memory := newMemory()
	memory.put(t, defaultTenant, testPolicy)
	s := must[*Server](t)(New(Options{State: memory}))
	socket := filepath.Join(t.TempDir(), "s")
	tcp := must[net.Listener](t)(Listen(background(t), "127.0.0.1:0", ListenOptions{}))
	unix := must[net.Listener](t)(Listen(background(t), "unix://"+socket, ListenOptions{}))
	served := make(chan error, 1)
	go func() { served <- s.Serve(tcp, unix) }()
	for _, target := range []string{"unix://" + socket, "passthrough:///" + tcp.Addr().String()} {
		conn := must[*grpc.ClientConn](t)(grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials())))
		t.Cleanup(func() { conn.Close() })
		client := consentv1.NewPermissionServiceClient(conn)
		_, err := client.Check(background(t), &consentv1.CheckRequest{Subject: anna, Permissions: []string{"crm_storage"}})
		if err != nil {
			t.Errorf("%s: %v", target, err)
		}
		_, err = consentv1.NewRecordServiceClient(conn).WriteEvents(background(t), events())
		wantError(t, err, codes.Unimplemented, "UNIMPLEMENTED")
	}
	if err := s.Drain(background(t)); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func TestServeFailsWithItsListener(t *testing.T) {
	s := must[*Server](t)(New(Options{State: newMemory()}))
	good := must[net.Listener](t)(Listen(background(t), "127.0.0.1:0", ListenOptions{}))
	bad := must[net.Listener](t)(Listen(background(t), "127.0.0.1:0", ListenOptions{}))
	if err := bad.Close(); err != nil {
		t.Fatal(err)
	}
	if s.Serve(good, bad) == nil {
		t.Error("no error from a listener that is closed")
	}
}

// TestDrainEndsStreamsAndFinishesCalls has one call of each kind open.
func TestDrainEndsStreamsAndFinishesCalls(t *testing.T) {
	release := make(chan struct{})
	r := newRig(t, func(o *Options) {
		memory, _ := o.State.(*memoryBackend)
		o.State = waitingState{memory, release}
	})
	checks := must[consentv1.PermissionService_StreamCheckClient](t)(r.permissions.StreamCheck(background(t)))
	segment := must[consentv1.PermissionService_CheckSegmentClient](t)(r.permissions.CheckSegment(background(t)))
	imports := must[consentv1.RecordService_ImportEventsClient](t)(r.records.ImportEvents(background(t)))
	health := must[healthpb.Health_WatchClient](t)(healthpb.NewHealthClient(r.conn).Watch(background(t), &healthpb.HealthCheckRequest{}))
	if err := checks.Send(ask(1, &consentv1.CheckRequest{Subject: anna, Permissions: []string{"crm_storage"}})); err != nil {
		t.Fatal(err)
	}
	must[*consentv1.StreamCheckResponse](t)(checks.Recv())
	answered := make(chan error, 1)
	go func() {
		_, err := r.permissions.Check(background(t), &consentv1.CheckRequest{
			Subject: anna, Permissions: []string{"crm_storage"},
			Consistency: &consentv1.Consistency{Requirement: &consentv1.Consistency_FullyConsistent{FullyConsistent: true}},
		})
		answered <- err
	}()
	waitFor(t, "the check and the streams to run", func() bool {
		return r.started(t, "Check") == 1 && r.started(t, "ImportEvents") == 1 &&
			r.started(t, "CheckSegment") == 1
	})
	drained := make(chan error, 1)
	go func() { drained <- r.server.Drain(background(t)) }()
	for _, recv := range []func() error{
		func() error { _, err := checks.Recv(); return err },
		func() error { _, err := segment.Recv(); return err },
		func() error { _, err := imports.Recv(); return err },
		func() error {
			for {
				if _, err := health.Recv(); err != nil {
					return err
				}
			}
		},
	} {
		wantError(t, recv(), codes.Unavailable, "NOT_READY")
	}
	select {
	case err := <-drained:
		t.Errorf("drained while a call runs: %v", err)
	default:
	}
	close(release)
	if err := <-answered; err != nil {
		t.Errorf("a running call wasn't finished: %v", err)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// started returns how many calls to a method of any service began.
func (r *rig) started(t *testing.T, method string) float64 {
	t.Helper()
	for name, m := range r.server.metrics.methods {
		if name.method == method {
			var metric dto.Metric
			if err := m.started.Write(&metric); err != nil {
				t.Fatal(err)
			}
			return metric.GetCounter().GetValue()
		}
	}
	t.Fatalf("no method %s", method)
	return 0
}

func TestDrainIsBounded(t *testing.T) {
	r := newRig(t, func(o *Options) {
		memory, _ := o.State.(*memoryBackend)
		o.State = waitingState{memory, nil}
	})
	failed := make(chan error, 1)
	go func() {
		_, err := r.permissions.Check(background(t), &consentv1.CheckRequest{
			Subject: anna, Permissions: []string{"crm_storage"},
			Consistency: &consentv1.Consistency{Requirement: &consentv1.Consistency_FullyConsistent{FullyConsistent: true}},
		})
		failed <- err
	}()
	waitFor(t, "the check to run", func() bool { return r.started(t, "Check") == 1 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.server.Drain(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Drain: %v", err)
	}
	if <-failed == nil {
		t.Error("the call was answered")
	}
}

func TestHealthFollowsReady(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	r := newRig(t, func(o *Options) {
		o.Ready = func() error {
			if down.Load() {
				return errors.New("no proof yet")
			}
			return nil
		}
	})
	client := healthpb.NewHealthClient(r.conn)
	for _, service := range []string{"", "consent.v1.PermissionService", "consent.v1.RecordService", "consent.v1.PolicyService"} {
		watch := must[healthpb.Health_WatchClient](t)(client.Watch(background(t), &healthpb.HealthCheckRequest{Service: service}))
		down.Store(true)
		for _, want := range []healthpb.HealthCheckResponse_ServingStatus{
			healthpb.HealthCheckResponse_NOT_SERVING, healthpb.HealthCheckResponse_SERVING,
		} {
			for {
				if reply := must[*healthpb.HealthCheckResponse](t)(watch.Recv()); reply.GetStatus() == want {
					break
				}
			}
			down.Store(false)
		}
	}
}

func TestReflection(t *testing.T) {
	r := newRig(t)
	stream := must[reflectionpb.ServerReflection_ServerReflectionInfoClient](t)(
		reflectionpb.NewServerReflectionClient(r.conn).ServerReflectionInfo(background(t)))
	if err := stream.Send(&reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{},
	}); err != nil {
		t.Fatal(err)
	}
	reply := must[*reflectionpb.ServerReflectionResponse](t)(stream.Recv())
	var names []string
	for _, s := range reply.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	if !slices.Contains(names, "consent.v1.PermissionService") {
		t.Errorf("services %v", names)
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func TestLimits(t *testing.T) {
	r := newRig(t)
	big := &consentv1.CheckRequest{Subject: anna, Permissions: []string{strings.Repeat("x", 64<<10)}}
	_, err := r.permissions.Check(background(t), big)
	wantError(t, err, codes.ResourceExhausted, "MESSAGE_TOO_LARGE")

	stream := must[consentv1.PermissionService_StreamCheckClient](t)(r.permissions.StreamCheck(background(t)))
	if err := stream.Send(ask(1, big)); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, status.FromProto(must[*consentv1.StreamCheckResponse](t)(stream.Recv()).GetStatus()), codes.ResourceExhausted, "MESSAGE_TOO_LARGE")

	// What is over 4 MiB never reaches us: the library refuses it, without an ErrorInfo.
	_, err = segmentOnce(t, r, &consentv1.Segment{Permission: "crm_storage"}, packed(strings.Repeat("x", 4<<20)))
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a chunk over 4 MiB: %v", err)
	}
	_, err = r.permissions.BatchCheck(background(t), &consentv1.BatchCheckRequest{Permissions: []string{strings.Repeat("x", 4<<20)}})
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a batch over 4 MiB: %v", err)
	}
	ctx := metadata.AppendToOutgoingContext(background(t), "x", strings.Repeat("y", 9<<10))
	if _, err = r.permissions.Check(ctx, &consentv1.CheckRequest{Subject: anna, Permissions: []string{"crm_storage"}}); err == nil {
		t.Error("9 KiB of headers are taken")
	}
}

// TestStreamsOfAConnectionAreBounded: one more waits until another has ended.
func TestStreamsOfAConnectionAreBounded(t *testing.T) {
	r := newRig(t)
	good := ask(1, &consentv1.CheckRequest{Subject: anna, Permissions: []string{"crm_storage"}})
	var last consentv1.PermissionService_StreamCheckClient
	for range maxStreams {
		last = must[consentv1.PermissionService_StreamCheckClient](t)(r.permissions.StreamCheck(background(t)))
		if err := last.Send(good); err != nil {
			t.Fatal(err)
		}
		must[*consentv1.StreamCheckResponse](t)(last.Recv())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.permissions.Check(ctx, good.GetCheck()); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("one stream too many: %v", err)
	}
	if err := last.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.permissions.Check(background(t), good.GetCheck()); err != nil {
		t.Errorf("after one has ended: %v", err)
	}
}

// TestShedding fills the places: large calls are refused first, single checks when all are taken.
func TestShedding(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxInFlight = 4 })
	check := func() error {
		_, err := r.permissions.Check(background(t), &consentv1.CheckRequest{Subject: anna, Permissions: []string{"crm_storage"}})
		return err
	}
	batch := func() error {
		_, err := r.permissions.BatchCheck(background(t), &consentv1.BatchCheckRequest{
			Permissions: []string{"crm_storage"}, Questions: []*consentv1.CheckQuestion{{Subject: anna}},
		})
		return err
	}
	if err := errors.Join(check(), batch()); err != nil {
		t.Fatal(err)
	}
	gate := &r.server.core.gate
	gate.running.Add(2)
	if err := check(); err != nil {
		t.Errorf("a check while half is taken: %v", err)
	}
	wantError(t, batch(), codes.ResourceExhausted, "OVERLOADED")
	gate.running.Add(2)
	wantError(t, check(), codes.ResourceExhausted, "OVERLOADED")
	if _, err := healthpb.NewHealthClient(r.conn).Check(background(t), &healthpb.HealthCheckRequest{}); err != nil {
		t.Errorf("health while all is taken: %v", err)
	}
	gate.running.Add(-4)
	if err := errors.Join(check(), batch()); err != nil {
		t.Errorf("after all have left: %v", err)
	}
	waitFor(t, "all places to be free", func() bool { return gate.running.Load() == 0 })
}

func TestUnknownMethod(t *testing.T) {
	r := newRig(t)
	for _, method := range []string{"/consent.v1.PermissionService/Guess", "/no.such.Service/Method"} {
		err := r.conn.Invoke(background(t), method, &consentv1.CheckRequest{}, &consentv1.CheckResponse{})
		wantError(t, err, codes.Unimplemented, "UNIMPLEMENTED")
	}
}

func TestMetrics(t *testing.T) {
	r := newRig(t)
	r.write(t, grant(anna, "recommendations/web"))
	r.check(t, anna, "recommendations/web", "crm_storage", "no/such")
	if _, err := segmentOnce(t, r, &consentv1.Segment{Permission: "crm_storage"}, packed("a", "b")); err != nil {
		t.Fatal(err)
	}
	_, err := r.permissions.Check(background(t), &consentv1.CheckRequest{})
	wantError(t, err, codes.InvalidArgument, "INVALID_ARGUMENT")
	server := httptest.NewServer(OpsHandler(OpsOptions{Gatherer: r.registry, Ready: func() error { return nil }}))
	defer server.Close()
	_, text := fetch(t, server, "/metrics")
	for _, line := range []string{
		`consentd_decisions_total{decision="ALLOW",permission="recommendations/web",reason="CONSENT"} 1`,
		`consentd_decisions_total{decision="DENY",permission="crm_storage",reason="NO_CONTRACT"} 3`,
		`grpc_server_handled_total{grpc_code="OK",grpc_method="Check",grpc_service="consent.v1.PermissionService",grpc_type="unary"} 1`,
		`grpc_server_handled_total{grpc_code="InvalidArgument",grpc_method="Check",grpc_service="consent.v1.PermissionService",grpc_type="unary"} 1`,
		`grpc_server_handling_seconds_bucket{grpc_method="Check",grpc_service="consent.v1.PermissionService",grpc_type="unary",le="1e-05"}`,
	} {
		if !strings.Contains(text, line) {
			t.Errorf("/metrics lacks %s", line)
		}
	}
	for _, secret := range []string{"anna", "no/such"} {
		if strings.Contains(text, secret) {
			t.Errorf("/metrics has a label from a caller: %s", secret)
		}
	}
}

// TestDecisionLabelsAreBounded counts more permissions than are counted apart.
func TestDecisionLabelsAreBounded(t *testing.T) {
	var d decisionCounts
	for i := range maxCounted + 10 {
		d.count(fmt.Sprint(i), 1)
	}
	collected := make(chan prometheus.Metric, 2*maxCounted)
	d.Collect(collected)
	if n := len(collected); n != maxCounted+1 {
		t.Errorf("%d series, want %d", n, maxCounted+1)
	}
}

func TestSlowCallsAreLogged(t *testing.T) {
	r := newRig(t)
	r.server.core.logSlow("x/Fast", nil, time.Millisecond)
	r.server.core.logSlow("x/Slow", nil, time.Minute)
	wantLog(t, r, "x/Slow")
	if strings.Contains(r.log.String(), "x/Fast") {
		t.Error("a fast call is logged")
	}
}

func fetch(t *testing.T, server *httptest.Server, path string) (int, string) {
	t.Helper()
	reply, err := server.Client().Get(server.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	body := must[[]byte](t)(io.ReadAll(reply.Body))
	server.Client().CloseIdleConnections()
	return reply.StatusCode, string(body)
}

func TestOps(t *testing.T) {
	var ready error
	o := OpsOptions{Gatherer: prometheus.NewRegistry(), Ready: func() error { return ready }}
	server := httptest.NewServer(OpsHandler(o))
	defer server.Close()
	o.Profiling = true
	profiled := httptest.NewServer(OpsHandler(o))
	defer profiled.Close()
	want := func(s *httptest.Server, path string, code int, text string) {
		t.Helper()
		if got, body := fetch(t, s, path); got != code || !strings.Contains(body, text) {
			t.Errorf("%s: %d %s, want %d and %q", path, got, body, code, text)
		}
	}
	want(server, "/livez", http.StatusOK, "ok")
	want(server, "/readyz", http.StatusOK, "ok")
	want(server, "/debug/pprof/", http.StatusNotFound, "")
	want(profiled, "/debug/pprof/", http.StatusOK, "goroutine")
	ready = errors.New("no proof of freshness yet")
	want(server, "/readyz", http.StatusServiceUnavailable, "no proof of freshness yet")
	want(server, "/livez", http.StatusOK, "ok")
}

func TestListen(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "file")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	live := filepath.Join(dir, "live")
	defer must[net.Listener](t)(Listen(background(t), "unix://"+live, ListenOptions{})).Close()
	tests := []struct {
		address string
		want    error
	}{
		{"127.0.0.1:0", nil}, {"localhost:0", nil}, {"[::1]:0", nil},
		{":0", ErrNotLoopback}, {"0.0.0.0:0", ErrNotLoopback}, {"[::]:0", ErrNotLoopback}, {"192.0.2.1:0", ErrNotLoopback},
		{"unix://" + live, ErrSocketInUse}, {"unix://" + plain, ErrSocketInUse},
	}
	for _, tt := range tests {
		l, err := Listen(background(t), tt.address, ListenOptions{})
		if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("%s: %v, want %v", tt.address, err, tt.want)
		}
		if l != nil {
			l.Close()
		}
	}
	nowhere := filepath.Join(dir, "no", "dir")
	for address, want := range map[string]string{
		"nonsense": "give host:port", "unix://relative": "give an absolute path", "127.0.0.1:999999": "give host:port",
		"unix://" + nowhere:                   "there is no folder " + filepath.Dir(nowhere),
		"unix:///" + strings.Repeat("a", 107): "choose a shorter one",
	} {
		if _, err := Listen(background(t), address, ListenOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", address, err, want)
		}
	}
	danger := must[net.Listener](t)(Listen(background(t), ":0", ListenOptions{AllowNonLoopback: true}))
	if err := danger.Close(); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(live); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode of the socket %v, error %v", info.Mode(), err)
	}
}

// TestListenReplacesAStaleSocket leaves a socket file as a killed process does.
func TestListenReplacesAStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	dead := must[*net.UnixListener](t)(net.ListenUnix("unix", &net.UnixAddr{Name: path}))
	dead.SetUnlinkOnClose(false)
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	l := must[net.Listener](t)(Listen(background(t), "unix://"+path, ListenOptions{}))
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
