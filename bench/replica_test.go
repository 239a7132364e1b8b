package bench_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/consentd/consentd/cluster"
	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/consentd/consentd/server"
)

const (
	tenant     = "default"
	permission = "newsletter/email"
	subjects   = 10_000
)

// transports are the ways between client and server that are measured.
var transports = []string{"memory", "unix"}

// service is a running PermissionService, ours or the empty one, and a client of it.
type service struct {
	client consentv1.PermissionServiceClient
	conn   *grpc.ClientConn
	ids    []string
}

// subjectID returns the id of the n-th subject. The even ones are allowed, the odd ones denied.
func subjectID(n int) string { return fmt.Sprintf("subject%d@example.com", n) }

// subjectIDs returns the ids of all subjects, in an order that is no order in memory.
func subjectIDs() []string {
	ids := make([]string, subjects)
	for i, n := range shuffled(subjects) {
		ids[i] = subjectID(n)
	}
	return ids
}

// shuffled returns the numbers from 0 on in an order that is the same each time.
func shuffled(size int) []int { return rand.New(rand.NewPCG(1, 2)).Perm(size) }

// startReplica runs a replica with the example shop's policy and half of the subjects confirmed, behind the default interceptors.
func startReplica(tb testing.TB, transport string) service {
	tb.Helper()
	node := startNode(tb)
	return serve(tb, transport, replicaOptions(node))
}

// startNode runs what a replica is without its server.
func startNode(tb testing.TB) *cluster.Node {
	tb.Helper()
	node, err := cluster.Open(tb.Context(), cluster.Options{DataDir: filepath.Join(tb.TempDir(), "data"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := node.Close(); err != nil {
			tb.Error(err)
		}
	})
	awaitReady(tb, node)
	fill(tb, node)
	return node
}

func replicaOptions(node *cluster.Node) server.Options {
	return server.Options{
		State: node, Records: node, Policies: node, Watching: node, Ready: node.Ready, Logger: slog.New(slog.DiscardHandler),
	}
}

// serve runs a server, and returns it with a client.
func serve(tb testing.TB, transport string, o server.Options) service {
	tb.Helper()
	listener, dial := listen(tb, transport)
	startServer(tb, listener, o)
	return connect(tb, dial)
}

func startServer(tb testing.TB, listener net.Listener, o server.Options) {
	tb.Helper()
	srv, err := server.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(listener) }()
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := srv.Drain(ctx); err != nil {
			tb.Error(err)
		}
		if err := <-served; err != nil {
			tb.Error(err)
		}
	})
}

// awaitReady returns once the replica leads and has proven its state fresh.
func awaitReady(tb testing.TB, node *cluster.Node) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for node.Ready() != nil {
		select {
		case <-look.C:
		case <-ctx.Done():
			tb.Fatal(node.Ready())
		}
	}
}

// fill puts the policy and writes the subjects.
func fill(tb testing.TB, node *cluster.Node) {
	tb.Helper()
	document, err := os.ReadFile("../examples/shop/policy.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	if _, _, err := node.PutPolicy(ctx, consent.PolicyPut{Tenant: tenant, RequestID: newRequestID(), Document: document}); err != nil {
		tb.Fatal(err)
	}
	began := time.Now().Add(-time.Hour)
	write := consent.Write{Tenant: tenant}
	for n := 0; n < subjects; n += 2 {
		scope := consent.Scope{Permissions: []string{permission}}
		write.Events = append(write.Events,
			consent.SubjectEvent{Subject: subjectID(n), Event: consent.Event{
				Kind: consent.Granted, OccurredAt: consent.TimeOf(began), Scope: scope,
				Evidence: consent.Evidence{NoticeVersion: 3, Method: consent.MethodWebForm, Source: "bench", Reference: "forms/1"},
			}},
			consent.SubjectEvent{Subject: subjectID(n), Event: consent.Event{
				Kind: consent.Confirmed, OccurredAt: consent.TimeOf(began.Add(time.Minute)), Scope: scope,
			}})
		if len(write.Events) < 1000 && n+2 < subjects {
			continue
		}
		write.RequestID = newRequestID()
		if _, err := node.Write(ctx, write); err != nil {
			tb.Fatal(err)
		}
		write.Events = write.Events[:0]
	}
}

// startEmpty runs a handler that decodes the same question and encodes an answer of the same size, with no interceptor.
func startEmpty(tb testing.TB, transport string) service {
	tb.Helper()
	srv := grpc.NewServer()
	consentv1.RegisterPermissionServiceServer(srv, newEmptyHandler())
	listener, dial := listen(tb, transport)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(listener) }()
	tb.Cleanup(func() {
		srv.Stop()
		if err := <-served; err != nil {
			tb.Error(err)
		}
	})
	return connect(tb, dial)
}

type emptyHandler struct {
	consentv1.UnimplementedPermissionServiceServer
	reply *consentv1.CheckResponse
}

func newEmptyHandler() emptyHandler {
	return emptyHandler{reply: &consentv1.CheckResponse{
		Results: []*consentv1.CheckResult{{Permission: permission, Result: &consentv1.CheckResult_Answer{Answer: &consentv1.Answer{
			Decision: consentv1.Decision_DECISION_ALLOW, Reason: consentv1.Reason_REASON_CONSENT, Basis: consentv1.Basis_BASIS_CONSENT,
		}}}},
		Revision: consent.Revision{Epoch: 1, Index: 1}.String(), PolicyVersion: 1,
	}}
}

func (h emptyHandler) Check(context.Context, *consentv1.CheckRequest) (*consentv1.CheckResponse, error) {
	return h.reply, nil
}

type dialer func(context.Context, string) (net.Conn, error)

func listen(tb testing.TB, transport string) (net.Listener, dialer) {
	tb.Helper()
	if transport == "memory" {
		l := bufconn.Listen(1 << 20)
		return l, func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }
	}
	path := filepath.Join(shortDir(tb), "s")
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "unix", path)
	if err != nil {
		tb.Fatal(err)
	}
	return l, func(ctx context.Context, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
}

func connect(tb testing.TB, dial dialer) service {
	tb.Helper()
	conn, err := grpc.NewClient("passthrough:///bench", grpc.WithContextDialer(dial),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return service{client: consentv1.NewPermissionServiceClient(conn), conn: conn, ids: subjectIDs()}
}

// shortDir returns a temporary folder for sockets, whose paths are limited to a hundred bytes or so.
func shortDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
