package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	peerv1 "github.com/consentd/consentd/proto/peer/v1"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testPolicy = `
notice: {current: 3, min_material: 2}
purposes:
  newsletter:
    direct_marketing: true
    channels:
      email:
        bases: [consent, existing_customer]
        double_opt_in: true
      phone:
        bases: [consent]
  recommendations:
    bases: [consent]
    channels:
      web:
        expires_after: 30d
  crm_storage:
    bases: [contract]
    necessary_for_contract: true
`

// rig is a server over bufconn with a memory backend behind it.
type rig struct {
	memory      *memoryBackend
	replica     *memoryCluster
	server      *Server
	conn        *grpc.ClientConn
	replicaConn *grpc.ClientConn // the same, unless the server is a sidecar
	permissions consentv1.PermissionServiceClient
	records     consentv1.RecordServiceClient
	policies    consentv1.PolicyServiceClient
	cluster     consentv1.ClusterServiceClient
	watch       consentv1.WatchServiceClient
	discovery   peerv1.DiscoveryServiceClient
	registry    *prometheus.Registry
	log         *safeText
}

// safeText is a log that several goroutines write to.
type safeText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *safeText) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *safeText) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// newRig starts a server whose default tenant has testPolicy.
func newRig(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	memory := newMemory()
	memory.put(t, defaultTenant, testPolicy)
	replica := &memoryCluster{memoryBackend: memory, backup: []byte("a backup")}
	r := &rig{memory: memory, replica: replica, registry: prometheus.NewRegistry(), log: new(safeText)}
	o := Options{
		State: memory, Records: memory, Policies: memory, Cluster: replica, Discovery: replica, Watching: memory,
		Registerer: r.registry, Logger: slog.New(slog.NewTextHandler(r.log, nil)),
	}
	for _, f := range change {
		f(&o)
	}
	if behindASidecar(t) {
		replica := o
		replica.Registerer, replica.MaxInFlight, replica.Ready = nil, 0, nil
		_, r.replicaConn = serve(t, replica)
		o.Upstream = r.replicaConn
		o.State, o.Records, o.Policies, o.Cluster, o.Discovery = &nearMemory{State: o.State}, nil, nil, nil, nil
		o.Watching = nil
	}
	r.server, r.conn = serve(t, o)
	if r.replicaConn == nil {
		r.replicaConn = r.conn
	}
	r.discovery = peerv1.NewDiscoveryServiceClient(r.replicaConn) // which a sidecar doesn't have
	r.connect(r.conn)
	return r
}

// connect makes the clients of what a sidecar has too.
func (r *rig) connect(conn *grpc.ClientConn) {
	r.permissions = consentv1.NewPermissionServiceClient(conn)
	r.records = consentv1.NewRecordServiceClient(conn)
	r.policies = consentv1.NewPolicyServiceClient(conn)
	r.cluster = consentv1.NewClusterServiceClient(conn)
	r.watch = consentv1.NewWatchServiceClient(conn)
}

// serve runs a server until the test ends, and returns a connection to it.
func serve(t *testing.T, o Options) (*Server, *grpc.ClientConn) {
	t.Helper()
	server := must[*Server](t)(New(o))
	listener := bufconn.Listen(1 << 20)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn := must[*grpc.ClientConn](t)(grpc.NewClient("passthrough:///rig", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20))))
	t.Cleanup(func() {
		conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Drain(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return server, conn
}

func background(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// wantError fails unless the error is a status with the code, exactly one ErrorInfo of ours with the reason, a BadRequest where there
// has to be one, and nothing of the subject.
func wantError(t *testing.T, err error, code codes.Code, reason string) *status.Status {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", reason)
	}
	var given interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &given) {
		t.Fatalf("error %v is no status, want %s", err, reason)
	}
	s := given.GRPCStatus()
	wantStatus(t, s, code, reason)
	return s
}

func wantStatus(t *testing.T, s *status.Status, code codes.Code, reason string) {
	t.Helper()
	var infos []*errdetails.ErrorInfo
	var bad *errdetails.BadRequest
	var retry *errdetails.RetryInfo
	for _, detail := range s.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			infos = append(infos, d)
		case *errdetails.BadRequest:
			bad = d
		case *errdetails.RetryInfo:
			retry = d
		}
	}
	if s.Code() != code || len(infos) != 1 || infos[0].GetReason() != reason || infos[0].GetDomain() != "consentd" {
		t.Errorf("status %v with %v, want %v and one ErrorInfo %s", s, infos, code, reason)
	}
	if wants := reason == "INVALID_ARGUMENT" || reason == "INVALID_POLICY"; wants != (len(bad.GetFieldViolations()) > 0) {
		t.Errorf("%s: violations %v", reason, bad)
	}
	if wants := reason == "OVERLOADED"; wants != (retry.GetRetryDelay() != nil) {
		t.Errorf("%s: RetryInfo %v", reason, retry)
	}
	if strings.Contains(strings.ToLower(s.Proto().String()), "anna") {
		t.Errorf("%v names the subject", s)
	}
}

// wantViolation fails unless the request was refused for a field.
func wantViolation(t *testing.T, err error, field string) {
	t.Helper()
	s := wantError(t, err, codes.InvalidArgument, "INVALID_ARGUMENT")
	for _, detail := range s.Details() {
		if bad, ok := detail.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				if v.GetField() == field {
					return
				}
			}
		}
	}
	t.Errorf("%v has no violation of %s", s.Proto(), field)
}

const anna = "anna@example.org"

func ago(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(time.Now().Add(-d)) }

// grant is a proven grant that can be changed.
func grant(subject, permission string, change ...func(*consentv1.Event)) *consentv1.Event {
	e := &consentv1.Event{
		Subject: subject, Kind: consentv1.EventKind_EVENT_KIND_GRANTED, OccurredAt: ago(time.Hour),
		Scope: &consentv1.Scope{Permissions: []string{permission}},
		Evidence: &consentv1.Evidence{
			NoticeVersion: 3, Method: consentv1.Method_METHOD_WEB_FORM, Source: "checkout", Reference: "forms/1",
		},
	}
	for _, f := range change {
		f(e)
	}
	return e
}

func event(subject string, kind consentv1.EventKind, permissions ...string) *consentv1.Event {
	return &consentv1.Event{Subject: subject, Kind: kind, Scope: &consentv1.Scope{Permissions: permissions}}
}

func (r *rig) write(t *testing.T, events ...*consentv1.Event) *consentv1.WriteEventsResponse {
	t.Helper()
	return must[*consentv1.WriteEventsResponse](t)(r.records.WriteEvents(background(t), &consentv1.WriteEventsRequest{Events: events}))
}

func (r *rig) check(t *testing.T, subject string, permissions ...string) *consentv1.CheckResponse {
	t.Helper()
	return must[*consentv1.CheckResponse](t)(r.permissions.Check(background(t), &consentv1.CheckRequest{
		Subject: subject, Permissions: permissions,
	}))
}

// reasonOf returns the reason of the only result.
func reasonOf(t *testing.T, r *consentv1.CheckResponse) consentv1.Reason {
	t.Helper()
	if len(r.GetResults()) != 1 || r.GetResults()[0].GetAnswer() == nil {
		t.Fatalf("results %v, want one answer", r.GetResults())
	}
	return r.GetResults()[0].GetAnswer().GetReason()
}

func (r *rig) checkTenant(t *testing.T, tenant, subject string, permissions ...string) *consentv1.CheckResponse {
	t.Helper()
	return must[*consentv1.CheckResponse](t)(r.permissions.Check(background(t), &consentv1.CheckRequest{
		Tenant: tenant, Subject: subject, Permissions: permissions,
	}))
}
