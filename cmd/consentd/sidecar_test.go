package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// The tests of this file run sidecars as they are shipped, before replicas that are stopped and killed.

// startSidecar runs a sidecar's binary, and waits for nothing.
func startSidecar(t *testing.T, upstream string, more ...string) *replicaProcess {
	t.Helper()
	addr := "unix://" + filepath.Join(shortDir(t), "c.sock")
	return runServing(t, addr, append([]string{
		"sidecar", "--upstream", upstream, "--listen", addr, "--ops-listen", "127.0.0.1:0", "--cache-size", "16MiB",
	}, more...)...)
}

// spawnSidecar runs one, and waits until it is ready.
func spawnSidecar(t *testing.T, upstream string, more ...string) *replicaProcess {
	t.Helper()
	p := startSidecar(t, upstream, more...)
	p.awaitReady(t)
	return p
}

// TestJourneyThroughASidecar has the same golden file as a replica.
func TestJourneyThroughASidecar(t *testing.T) {
	takeJourney(t, spawnSidecar(t, startServer(t)).addr)
}

// TestForeignClientThroughASidecar is the client of another language.
func TestForeignClientThroughASidecar(t *testing.T) {
	runNodeClient(t, spawnSidecar(t, startServer(t)).addr)
}

// TestASidecarLooksLikeAReplica to those who list services, methods, and health.
func TestASidecarLooksLikeAReplica(t *testing.T) {
	replica := startServer(t)
	sidecar := spawnSidecar(t, replica).addr
	if diff := cmp.Diff(describe(t, replica), describe(t, sidecar)); diff != "" {
		t.Errorf("reflection and health (-replica +sidecar):\n%s", diff)
	}
}

// describe returns what health says of every service, and the files that reflection has of it.
func describe(t *testing.T, addr string) map[string]string {
	t.Helper()
	conn := dial(t, addr)
	stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(r *reflectionpb.ServerReflectionRequest) *reflectionpb.ServerReflectionResponse {
		t.Helper()
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
		reply, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return reply
	}
	listed := ask(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
	services := map[string]string{}
	for _, service := range listed.GetListServicesResponse().GetService() {
		name := service.GetName()
		health, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: name})
		if err != nil {
			t.Fatal(err)
		}
		files := ask(&reflectionpb.ServerReflectionRequest{
			MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: name},
		}).GetFileDescriptorResponse().GetFileDescriptorProto()
		services[name] = fmt.Sprint(health.GetStatus(), " ", len(files), " files of ", len(slices.Concat(files...)), " bytes")
	}
	return services
}

func dial(t *testing.T, addr string) *grpc.ClientConn {
	t.Helper()
	server, err := (&cli{addr: addr}).connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.close)
	return server.conn
}

const consented = "anna@example.com"

// giveConsent has a consent recorded that checks allow.
func giveConsent(t *testing.T, addr string) {
	t.Helper()
	must(t, addr, "record", "grant", consented, "newsletter/email", "--notice-version", "3", "--method", "web_form", "--source", "checkout",
		"--proof", "forms/1", "--at", "2026-01-10T09:00:00Z")
	must(t, addr, "record", "confirm", consented, "newsletter/email", "--at", "2026-01-10T10:00:00Z")
}

// verdict is ALLOW, DENY, or the reason of an error.
func verdict(reply *consentv1.CheckResponse, err error) string {
	if err != nil {
		return reasonOf(status.Convert(err).Proto())
	}
	return nameOf(reply.GetResults()[0].GetAnswer().GetDecision())
}

// checkConsent asks once, for a moment.
func checkConsent(ctx context.Context, conn *grpc.ClientConn) string {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return verdict(consentv1.NewPermissionServiceClient(conn).Check(ctx, &consentv1.CheckRequest{
		Subject: consented, Permissions: []string{"newsletter/email"},
	}))
}

// awaitVerdict asks until a verdict comes, and returns those that came before, each once.
func awaitVerdict(t *testing.T, conn *grpc.ClientConn, want string) (before []string) {
	t.Helper()
	for began := time.Now(); time.Since(began) < patience; {
		got := checkConsent(t.Context(), conn)
		if got == want {
			return before
		}
		if len(before) == 0 || before[len(before)-1] != got {
			before = append(before, got)
		}
	}
	t.Fatalf("the answer never is %s, but %v", want, before)
	return nil
}

// TestSidecarLosesItsReplica: it answers from memory until the bound has passed, then STALE for everything, and again when a replica is
// back.
func TestSidecarLosesItsReplica(t *testing.T) {
	data, addr := filepath.Join(t.TempDir(), "data"), "unix://"+filepath.Join(shortDir(t), "s.sock")
	replica := spawnAt(t, addr, data, "--max-staleness", "1s")
	giveConsent(t, replica.addr)
	ready := filepath.Join(t.TempDir(), "ready.json")
	sidecar := spawnSidecar(t, addr, "--ready-file", ready)
	conn := dial(t, sidecar.addr)
	awaitVerdict(t, conn, "ALLOW") // and it is held from now on
	replica.kill(t)
	killed := time.Now()
	if before := awaitVerdict(t, conn, "STALE"); !slices.Equal(before, []string{"ALLOW"}) && len(before) > 0 {
		t.Errorf("before the bound had passed: %v", before)
	}
	if took := time.Since(killed); took > patience/2 {
		t.Errorf("it answered for %s", took)
	}
	awaitReadiness(t, sidecar.ops, http.StatusServiceUnavailable, "last proven the newest")
	for name, args := range map[string][]string{
		"a subject that is held":     {"check", consented, "newsletter/email"},
		"one that isn't":             {"check", "bert@example.com", "newsletter/email"},
		"one whose decision is easy": {"check", consented, "crm_storage"},
		"an explanation":             {"check", consented, "newsletter/email", "--explain"},
		"a record":                   {"subject", "show", consented},
	} {
		if got := ask(t, sidecar.addr, args...); got.code != exitFailed || !strings.Contains(got.stderr, "(STALE)") {
			t.Errorf("%s: %+v", name, got)
		}
	}
	got := ask(t, sidecar.addr, "record", "withdraw", consented, "newsletter/email")
	if got.code != exitFailed || !strings.Contains(got.stderr, "no replica could be asked") || !strings.Contains(got.stderr, "NOT_WRITTEN") {
		t.Errorf("a write: %+v", got)
	}
	sidecar.log.waitFor(t, "checks are STALE")

	spawnAt(t, addr, data)
	if before := awaitVerdict(t, conn, "ALLOW"); slices.Contains(before, "DENY") {
		t.Errorf("before it answered again: %v", before)
	}
	sidecar.log.waitFor(t, "checks are answered again")
	awaitReadiness(t, sidecar.ops, http.StatusOK, "ok")
	must(t, sidecar.addr, "record", "withdraw", consented, "newsletter/email")
	if got := checkConsent(t.Context(), conn); got != "DENY" {
		t.Errorf("after a withdrawal through it: %s", got)
	}
	sidecar.signal(t, syscall.SIGTERM)
	if code := sidecar.wait(t); code != exitDone {
		t.Errorf("SIGTERM: exit code %d:\n%s", code, sidecar.log.text.String())
	}
	for _, path := range []string{ready, strings.TrimPrefix(sidecar.addr, "unix://")} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
}

// awaitReadiness asks until /readyz has a status, and wants words in what it says.
func awaitReadiness(t *testing.T, ops string, status int, words string) {
	t.Helper()
	for began := time.Now(); time.Since(began) < patience; {
		reply, err := http.Get("http://" + ops + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(reply.Body)
		reply.Body.Close()
		if err == nil && reply.StatusCode == status {
			if !strings.Contains(string(body), words) {
				t.Errorf("/readyz says %q", body)
			}
			return
		}
	}
	t.Fatalf("/readyz never has status %d", status)
}

// TestAStoppedSidecarWakesUp past the bound: whoever asked while it slept gets what holds now, or STALE, and never what held before. That
// the bound has passed is known when a withdrawal is acknowledged as in effect everywhere.
func TestAStoppedSidecarWakesUp(t *testing.T) {
	replica := spawn(t, filepath.Join(t.TempDir(), "data"), "--max-staleness", "1s")
	giveConsent(t, replica.addr)
	sidecar := spawnSidecar(t, replica.addr)
	conn := dial(t, sidecar.addr)
	awaitVerdict(t, conn, "ALLOW")
	sidecar.signal(t, syscall.SIGSTOP)
	must(t, replica.addr, "record", "withdraw", consented, "newsletter/email", "--everywhere")
	const callers = 16
	asking, answers := make(chan struct{}, callers), make(chan string, callers)
	for range callers {
		go func() {
			asking <- struct{}{}
			answers <- checkConsent(t.Context(), conn)
		}()
	}
	for range callers {
		<-asking
	}
	sidecar.signal(t, syscall.SIGCONT)
	for range callers {
		if got := <-answers; got != "STALE" && got != "DENY" {
			t.Errorf("after it slept: %s", got)
		}
	}
	if before := awaitVerdict(t, conn, "DENY"); slices.ContainsFunc(before, func(v string) bool { return v != "STALE" }) {
		t.Errorf("after it slept: %v", before)
	}
}

// TestSidecarOfACluster: a replica that is killed is no loss to those who ask a sidecar, not even for a check.
func TestSidecarOfACluster(t *testing.T) {
	c := foundCluster(t, 3)
	giveConsent(t, c.members[0].addr)
	sidecar := spawnSidecar(t, strings.Join(c.addrs(), ","))
	conn := dial(t, sidecar.addr)
	awaitVerdict(t, conn, "ALLOW")
	for _, m := range c.members {
		m.kill(t)
		for began := time.Now(); time.Since(began) < 2500*time.Millisecond; { // longer than the bound, after which what was held is gone
			got := checkConsent(t.Context(), conn)
			if got != "ALLOW" && (!raceDetector || got != "STALE") { // with which an election may take longer than the bound
				t.Fatalf("%s after %s was killed", got, m.id)
			}
		}
		m.launch(t)
		m.awaitReady(t)
	}
	must(t, sidecar.addr, "record", "withdraw", consented, "newsletter/email", "--timeout", patience.String())
	if got := checkConsent(t.Context(), conn); got != "DENY" {
		t.Errorf("after a withdrawal through it: %s", got)
	}
}

// TestSidecarWaitsForAReplica: it says that it isn't ready and why, and ends in good order.
func TestSidecarWaitsForAReplica(t *testing.T) {
	nobody := "unix://" + filepath.Join(shortDir(t), "nobody.sock")
	sidecar := startSidecar(t, nobody)
	sidecar.log.waitFor(t, "no replica tells yet")
	if got := checkConsent(t.Context(), dial(t, sidecar.addr)); got != "NOT_READY" {
		t.Errorf("a check meanwhile: %s", got)
	}
	health, err := healthpb.NewHealthClient(dial(t, sidecar.addr)).Check(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil || health.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("health says %v, error %v", health, err)
	}
	sidecar.signal(t, os.Interrupt)
	if code := sidecar.wait(t); code != exitDone {
		t.Errorf("exit code %d:\n%s", code, sidecar.log.text.String())
	}
	for _, words := range []string{"starting: waiting for a replica", "nobody.sock", `"stopped"`} {
		if !strings.Contains(sidecar.log.text.String(), words) {
			t.Errorf("the log lacks %s:\n%s", words, sidecar.log.text.String())
		}
	}
}

// TestSidecarRefuses settings that can't be, before it listens.
func TestSidecarRefuses(t *testing.T) {
	notPEM := writeFile(t, "ca.pem", "no certificate")
	tests := []struct {
		name  string
		args  []string
		words string
	}{
		{"nobody to ask", nil, "--upstream n1:7433"},
		{"an address without a port", []string{"--upstream", "localhost"}, "host:port"},
		{"a URL", []string{"--upstream", "http://localhost:7433"}, "host:port"},
		{"another machine", []string{"--upstream", "192.0.2.1:7433"}, "--allow-plaintext-upstream"},
		{"itself", []string{"--upstream", "dns:///127.0.0.1:7433"}, "can't ask itself"},
		{"a size without a unit", []string{"--upstream", "localhost:1", "--cache-size", "256"}, "as 512MiB"},
		{"a size in another unit", []string{"--upstream", "localhost:1", "--cache-size", "256MB"}, "KiB, MiB or GiB"},
		{"a huge cache", []string{"--upstream", "localhost:1", "--cache-size", "2000GiB"}, "at most 1024GiB"},
		{"a small cache", []string{"--upstream", "localhost:1", "--cache-size", "15MiB"}, "at least 16MiB"},
		{"a short bound", []string{"--upstream", "localhost:1", "--max-staleness", "1ms"}, "100ms"},
		{"an argument", []string{"localhost:1"}, "argument"},
		{"half a certificate", []string{"--upstream", "localhost:1", "--upstream-tls-cert", "c.pem"}, "go together"},
		{"a certificate without TLS", []string{"--upstream", "localhost:1", "--upstream-tls-cert", "c.pem", "--upstream-tls-key", "k.pem"},
			"--upstream-tls-ca FILE"},
		{"a CA without a certificate", []string{"--upstream", "localhost:1", "--upstream-tls-ca", notPEM}, "no certificate in PEM"},
		{"both", []string{"--upstream", "localhost:1", "--upstream-tls-ca", notPEM, "--allow-plaintext-upstream"}, "leave one of them out"},
		{"one tenant", []string{"--upstream", "localhost:1", "--tenant", "shop"}, "--tenants"},
		{"no port", []string{"--upstream", "localhost:nothing"}, "number up to 65535"},
		{"a path without its slash", []string{"--upstream", "unix://run/consentd.sock"}, "unix:run/consentd.sock"},
		{"an empty tenant", []string{"--upstream", "localhost:1", "--tenants", "shop,"}, "empty name"},
		{"other commands' flag", []string{"--upstream", "localhost:1", "--addr", "localhost:2"}, "--upstream"},
		{"an address of all", []string{"--upstream", "localhost:1", "--listen", "0.0.0.0:0"}, dangerFlag},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := consentd(t, append([]string{"sidecar", "--ops-listen", "127.0.0.1:0"}, tt.args...)...)
			if got.code != exitUsage || !strings.Contains(got.stderr, tt.words) {
				t.Errorf("exit code %d, want %d and %q:\n%s", got.code, exitUsage, tt.words, got.stderr)
			}
		})
	}
	got := consentd(t, "sidecar", "--upstream", "localhost:1", "--ops-listen", "127.0.0.1:0", "--upstream-tls-ca", "nowhere.pem")
	if got.code != exitFailed || !strings.Contains(got.stderr, "nowhere.pem") {
		t.Errorf("a file that isn't there: %+v", got)
	}
}

func TestByteSizes(t *testing.T) {
	for text, want := range map[string]byteSize{"16MiB": 16 << 20, "2GiB": 2 << 30, "20480KiB": 20 << 20} {
		var got byteSize
		if err := got.Set(text); err != nil || got != want {
			t.Errorf("%s is %d, error %v", text, got, err)
		}
		var again byteSize
		if err := again.Set(got.String()); err != nil || again != got {
			t.Errorf("%s becomes %s", text, &got)
		}
	}
	for _, text := range []string{"", "16", "MiB", "-1MiB", "0MiB", "1.5GiB", "16MB", "16 MiB", "9999999999GiB"} {
		var got byteSize
		if err := got.Set(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}

// TestRestoreBehindASidecar takes a backup and brings it back through the sidecar: from then on nothing counts that it held, and a revision
// of before is of another epoch.
func TestRestoreBehindASidecar(t *testing.T) {
	sidecar := spawnSidecar(t, spawn(t, filepath.Join(t.TempDir(), "data")).addr)
	conn := dial(t, sidecar.addr)
	giveConsent(t, sidecar.addr)
	awaitVerdict(t, conn, "ALLOW")
	backup := filepath.Join(t.TempDir(), "consentd.backup")
	must(t, sidecar.addr, "cluster", "backup", backup)
	written := decode[struct{ Revision string }](t,
		must(t, sidecar.addr, "record", "withdraw", consented, "newsletter/email", "-o", "json"))
	if got := checkConsent(t.Context(), conn); got != "DENY" {
		t.Fatalf("after the withdrawal: %s", got)
	}
	if got := ask(t, sidecar.addr, "cluster", "restore", backup); got.code != exitFailed || !strings.Contains(got.stderr, "--replace") {
		t.Errorf("without --replace: %+v", got)
	}
	must(t, sidecar.addr, "cluster", "restore", backup, "--replace")
	awaitVerdict(t, conn, "ALLOW")
	got := ask(t, sidecar.addr, "check", consented, "newsletter/email", "--at-least", written.Revision)
	if got.code != exitFailed || !strings.Contains(got.stderr, "EPOCH_CHANGED") {
		t.Errorf("at the revision of before: %+v", got)
	}
	sidecar.awaitMetric(t, "consentd_watch_resets_total 2")
	must(t, sidecar.addr, "record", "withdraw", consented, "newsletter/email")
	if got := checkConsent(t.Context(), conn); got != "DENY" {
		t.Errorf("after a withdrawal in the new epoch: %s", got)
	}
}
