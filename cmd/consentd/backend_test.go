package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// TestCallsWhileStarting holds a start where it reads the key, which is a pipe here, and calls: every service says that it isn't ready.
func TestCallsWhileStarting(t *testing.T) {
	dir := shortDir(t)
	key := filepath.Join(dir, "key")
	if err := syscall.Mkfifo(key, 0o600); err != nil {
		t.Fatal(err)
	}
	c := &cli{addr: "unix://" + filepath.Join(dir, "s.sock"), timeout: patience}
	args := []string{
		"serve", "--data-dir", filepath.Join(dir, "data"), "--listen", c.addr, "--ops-listen", "127.0.0.1:0", "--policy", shopPolicy,
		"--pseudonym-key-file", key,
	}
	logs, stderr := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, args, process{
			stdin: strings.NewReader(""), stdout: io.Discard, stderr: stderr, environ: func() []string { return nil },
		})
		stderr.Close()
	}()
	log := followLog(t, logs)
	server, err := c.connect()
	if err != nil {
		t.Fatal(err)
	}
	defer server.close()
	callWhileStarting(t, server)

	if err := os.WriteFile(key, []byte(strings.Repeat("ab", 16)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	log.wait(t)
	health, err := healthpb.NewHealthClient(server.conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil || health.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("health once ready: %v, %v", health, err)
	}
	if _, err := server.policies.GetPolicy(t.Context(), &consentv1.GetPolicyRequest{}); err != nil {
		t.Errorf("a call once ready: %v", err)
	}
	cancel()
	if code := <-ended; code != exitDone {
		t.Errorf("exit code %d:\n%s", code, log.text.String())
	}
}

func callWhileStarting(t *testing.T, server *connection) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	wait := grpc.WaitForReady(true) // for the socket, which is there in a moment
	health, err := healthpb.NewHealthClient(server.conn).Check(ctx, &healthpb.HealthCheckRequest{}, wait)
	if err != nil || health.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("health while starting: %v, %v", health, err)
	}
	_, checked := server.permissions.Check(ctx, &consentv1.CheckRequest{Subject: "anna", Permissions: []string{"crm_storage"}})
	_, written := server.records.WriteEvents(ctx, &consentv1.WriteEventsRequest{Events: []*consentv1.Event{
		{Subject: "anna", Kind: consentv1.EventKind_EVENT_KIND_WITHDRAWN},
	}})
	_, read := server.policies.GetPolicy(ctx, &consentv1.GetPolicyRequest{})
	for name, err := range map[string]error{"check": checked, "write": written, "policy": read} {
		if s := status.Convert(err); s.Code() != codes.Unavailable || reasonOf(s.Proto()) != "NOT_READY" {
			t.Errorf("%s while starting: %v", name, err)
		}
	}
}
