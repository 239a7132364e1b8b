package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// The tests of this file run the real binary, as it is shipped.

var buildDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "consentd-bin")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	buildDir = dir
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// build builds the binary once, with the race detector if these tests have it.
var build = sync.OnceValues(func() (string, error) {
	path := filepath.Join(buildDir, "consentd")
	args := []string{"build", "-buildvcs=false", "-o", path}
	if raceDetector {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, ".")...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return path, err
})

func binary(t *testing.T) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// replicaProcess is a running binary.
type replicaProcess struct {
	cmd   *exec.Cmd
	log   *follower
	addr  string
	addrs []string // all of them, that one first
	ops   string
	ended bool
}

// spawn starts the binary and waits until it is ready.
func spawn(t *testing.T, dataDir string, more ...string) *replicaProcess {
	t.Helper()
	return spawnAt(t, "unix://"+filepath.Join(shortDir(t), "s.sock"), dataDir, more...)
}

func spawnAt(t *testing.T, addr, dataDir string, more ...string) *replicaProcess {
	t.Helper()
	p := launch(t, addr, dataDir, append([]string{"--policy", shopPolicy}, more...)...)
	p.awaitReady(t)
	return p
}

// launch starts the binary, and waits for nothing.
func launch(t *testing.T, addr, dataDir string, more ...string) *replicaProcess {
	t.Helper()
	return runServing(t, addr, append([]string{"serve", "--data-dir", dataDir, "--listen", addr, "--ops-listen", "127.0.0.1:0"}, more...)...)
}

// runServing starts the binary for a command that serves.
func runServing(t *testing.T, addr string, args ...string) *replicaProcess {
	t.Helper()
	p := &replicaProcess{addr: addr}
	p.cmd = exec.Command(binary(t), args...)
	logs, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.kill(t) })
	p.log = followLog(t, logs)
	return p
}

func (p *replicaProcess) awaitReady(t *testing.T) {
	t.Helper()
	ready := p.log.wait(t)
	p.addrs, p.ops = ready.Listen, ready.OpsListen
}

// kill ends the process as a crash does.
func (p *replicaProcess) kill(t *testing.T) {
	t.Helper()
	if p.ended {
		return
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	p.wait(t)
}

// wait returns the exit code, which is -1 after a signal.
func (p *replicaProcess) wait(t *testing.T) int {
	t.Helper()
	<-p.log.done // all of the log is read before Wait closes it
	p.ended = true
	var exit *exec.ExitError
	if err := p.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if strings.Contains(p.log.text.String(), "DATA RACE") {
		t.Errorf("a race in the binary:\n%s", p.log.text.String())
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *replicaProcess) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// runBinary runs one command of the binary.
func runBinary(t *testing.T, env []string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(binary(t), args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{code: cmd.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String()}
}

// TestBinary takes the binary through a life: start, write, check, import twice, stop, start again.
func TestBinary(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	ready := filepath.Join(t.TempDir(), "ready.json")
	p := spawn(t, data, "--ready-file", ready, "--listen", "127.0.0.1:0")
	text, err := os.ReadFile(ready)
	if err != nil {
		t.Fatal(err)
	}
	told := decode[readyOutput](t, string(text))
	if len(told.Listen) != 2 || told.OpsListen != p.ops || told.PID != p.cmd.Process.Pid {
		t.Errorf("the ready file says %s", text)
	}
	config := writeFile(t, "consentd.yaml", "addr: 127.0.0.1:1\noutput: json\n")
	env := []string{"CONSENTD_CONFIG=" + config, "CONSENTD_ADDR=" + told.Listen[1]} // the environment overrides the file
	expect := func(code int, args ...string) string {
		t.Helper()
		got := runBinary(t, env, args...)
		if got.code != code {
			t.Fatalf("consentd %s: exit code %d, want %d:\n%s%s", strings.Join(args, " "), got.code, code, got.stdout, got.stderr)
		}
		return got.stdout
	}
	expect(exitDenied, "check", "anna@example.com", "newsletter/email")
	expect(exitDone, "record", "grant", "anna@example.com", "newsletter/email", "--notice-version", "3",
		"--method", "web_form", "--source", "checkout", "--proof", "forms/8812", "--at", "2026-01-10T09:00:00Z")
	expect(exitDenied, "check", "anna@example.com", "newsletter/email")
	expect(exitDone, "record", "confirm", "anna@example.com", "newsletter/email", "--at", "2026-01-10T10:00:00Z")
	expect(exitDone, "check", "anna@example.com", "newsletter/email")
	expect(exitFailed, "check", "anna@example.com", "newsletter/pigeon")
	expect(exitUsage, "check")
	expect(exitFailed, "check", "anna@example.com", "newsletter/email", "--addr", "127.0.0.1:1") // a flag overrides the environment

	list := []string{shopLists, "--format", "mailchimp", "--permission", "newsletter/email", "--notice-version", "3"}
	first := decode[importOutput](t, expect(exitDone, append([]string{"import"}, list...)...))
	second := decode[importOutput](t, expect(exitDone, append([]string{"import"}, list...)...))
	if first.Written == 0 || second.Written != 0 {
		t.Errorf("%d rows were written, and %d the second time", first.Written, second.Written)
	}

	p.signal(t, syscall.SIGTERM)
	if code := p.wait(t); code != exitDone {
		t.Errorf("SIGTERM: exit code %d:\n%s", code, p.log.text.String())
	}
	for _, path := range []string{ready, strings.TrimPrefix(p.addr, "unix://")} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	p = spawn(t, data)
	env[1] = "CONSENTD_ADDR=" + p.addr
	expect(exitDone, "check", "anna@example.com", "newsletter/email")
	checkOps(t, p.ops)
}

func checkOps(t *testing.T, ops string) {
	t.Helper()
	for path, want := range map[string]string{
		"/livez": "ok", "/readyz": "ok", "/metrics": "consentd_applied_index", "/debug/pprof/": "404",
	} {
		reply, err := http.Get("http://" + ops + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(reply.Body)
		reply.Body.Close()
		if err != nil || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s, %v, want %q", path, body, err, want)
		}
	}
}

// TestSecondProcess starts on a directory that another process uses, and on one that is none: the message says so.
func TestSecondProcess(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	ready := filepath.Join(t.TempDir(), "ready.json")
	p := spawn(t, data, "--ready-file", ready)
	file := writeFile(t, "data", "no directory")
	for name, args := range map[string][]string{
		"the same directory": {"--data-dir", data, "--listen", "127.0.0.1:0"},
		"the same socket":    {"--data-dir", filepath.Join(t.TempDir(), "other"), "--listen", p.addr},
		"a file":             {"--data-dir", file, "--listen", "127.0.0.1:0"},
		"a policy with faults": {"--data-dir", filepath.Join(t.TempDir(), "other"), "--listen", "127.0.0.1:0",
			"--policy", "testdata/policy_faulty.yaml"},
		"a policy that isn't there": {"--data-dir", filepath.Join(t.TempDir(), "other"), "--listen", "127.0.0.1:0", "--policy", "nowhere.yaml"},
	} {
		got := runBinary(t, nil, append([]string{"serve", "--ops-listen", "127.0.0.1:0", "--ready-file", ready}, args...)...)
		if got.code != exitFailed || !strings.Contains(got.stderr, "consentd: ") || strings.Contains(got.stderr, "goroutine ") {
			t.Errorf("%s: exit code %d:\n%s", name, got.code, got.stderr)
		}
	}
	if text, err := os.ReadFile(ready); err != nil || decode[readyOutput](t, string(text)).PID != p.cmd.Process.Pid {
		t.Errorf("the ready file of the first process: %s, error %v", text, err)
	}
	if got := runBinary(t, nil, "check", "anna", "crm_storage", "--addr", p.addr); got.code != exitDone {
		t.Errorf("the first process doesn't answer any more: %+v", got)
	}
}

// TestUnreadableDirectory takes away what the process needs to read.
func TestUnreadableDirectory(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root reads everything")
	}
	data := filepath.Join(t.TempDir(), "data")
	spawn(t, data).kill(t)
	if err := os.Chmod(data, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(data, 0o700) })
	got := runBinary(t, nil, "serve", "--data-dir", data, "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0")
	if got.code != exitFailed || !strings.Contains(got.stderr, "permission denied") {
		t.Errorf("exit code %d:\n%s", got.code, got.stderr)
	}
}

// TestDrain stops the binary under load: every call gets an answer or a refusal that says so, and every acknowledged write is there after.
func TestDrain(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	p := spawn(t, data)
	load := startLoad(t, p.addr, "drain")
	load.await(t, 50)
	p.signal(t, syscall.SIGTERM)
	if code := p.wait(t); code != exitDone {
		t.Errorf("exit code %d:\n%s", code, p.log.text.String())
	}
	acknowledged := load.stop()
	for _, err := range load.failures {
		if code := status.Code(err); code != codes.Unavailable && code != codes.Canceled {
			t.Errorf("a call ended with %v", err)
		}
	}
	p = spawn(t, data)
	checkWithdrawn(t, p.addr, acknowledged)
}

// TestImportOverRestarts stops and kills the binary in the middle of an import, and starts it again: the import goes on by itself.
func TestImportOverRestarts(t *testing.T) {
	data, addr := filepath.Join(t.TempDir(), "data"), "unix://"+filepath.Join(shortDir(t), "s.sock")
	p := spawnAt(t, addr, data)
	list, feed := io.Pipe()
	imported := make(chan result, 1)
	go func() {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), []string{"import", "-", "--format", "ndjson", "--addr", addr, "--timeout", patience.String(), "-o", "json"},
			process{stdin: list, stdout: &stdout, stderr: &stderr, environ: func() []string { return nil }})
		list.Close() // or feeding it would wait for ever
		imported <- result{code: code, stdout: stdout.String(), stderr: stderr.String()}
	}()
	const rows = 4 * importRows
	for part, stop := range []os.Signal{syscall.SIGTERM, os.Kill, nil} {
		if _, err := io.WriteString(feed, eventLines(fmt.Sprint("part-", part), rows)); err != nil {
			t.Fatalf("%v: the import said %+v", err, <-imported)
		}
		if stop != nil {
			awaitRecord(t, addr, fmt.Sprintf("part-%d-0", part))
			p.signal(t, stop)
			p.wait(t)
			p = spawnAt(t, addr, data)
		}
	}
	feed.Close()
	got := <-imported
	if got.code != exitDone {
		t.Fatalf("exit code %d:\n%.2000s", got.code, got.stderr)
	}
	out := decode[importOutput](t, got.stdout)
	if out.Rows != 3*rows || out.Written+out.Unchanged != 3*rows || !strings.Contains(got.stderr, "the connection broke") {
		t.Errorf("%+v\n%s", out, got.stderr)
	}
	repeat := call{args: []string{"import", "-", "--format", "ndjson", "--addr", addr, "-o", "json"}, stdin: eventLines("part-0", rows)}.run(t)
	if again := decode[importOutput](t, repeat.stdout); again.Unchanged != rows {
		t.Errorf("the first part again: %+v", again)
	}
}

// awaitRecord asks until something is recorded of a subject.
func awaitRecord(t *testing.T, addr, subject string) {
	t.Helper()
	for began := time.Now(); time.Since(began) < patience; {
		if shown := must(t, addr, "subject", "show", subject, "-o", "json"); !strings.Contains(shown, `"record": null`) {
			return
		}
	}
	t.Fatalf("nothing is recorded of %s", subject)
}

// TestKill kills the binary under load at any moment, again and again on the same data: no acknowledged write is ever lost. Two replicas
// that know nothing of each other take turns with the processor, because a start mostly waits.
func TestKill(t *testing.T) {
	cycles := 25
	if testing.Short() {
		cycles = 3
	}
	for _, name := range []string{"one", "two"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killOften(t, name, cycles)
		})
	}
}

func killOften(t *testing.T, name string, cycles int) {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	var acknowledged []string
	began := time.Now()
	for cycle := range cycles {
		p := spawn(t, data)
		checkWithdrawn(t, p.addr, acknowledged)
		load := startLoad(t, p.addr, fmt.Sprintf("%s-%d", name, cycle))
		load.await(t, 1+cycle*37%100) // so that the moment differs from cycle to cycle
		p.kill(t)
		acknowledged = append(acknowledged, load.stop()...)
	}
	p := spawn(t, data)
	checkWithdrawn(t, p.addr, acknowledged)
	t.Logf("killed %d times in %s: %d acknowledged writes, none lost", cycles, time.Since(began).Round(time.Second), len(acknowledged))
}

// load is some callers that write without a pause.
type load struct {
	cancel  func()
	callers sync.WaitGroup
	count   chan struct{} // one for each write

	mutex        sync.Mutex
	acknowledged []string
	failures     []error
}

// startLoad lets eight callers withdraw the consents of ever new subjects.
func startLoad(t *testing.T, addr, name string) *load {
	t.Helper()
	c := &cli{addr: addr}
	server, err := c.connect()
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	l := &load{count: make(chan struct{}, 1<<20)}
	l.cancel = sync.OnceFunc(func() { close(stop) })
	for caller := range 8 {
		l.callers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if subject := fmt.Sprintf("%s-%d-%d", name, caller, i); !l.write(t.Context(), server, subject) {
					return
				}
			}
		})
	}
	t.Cleanup(func() {
		l.stop()
		server.close()
	})
	return l
}

// write returns false once the server is gone.
func (l *load) write(ctx context.Context, server *connection, subject string) bool {
	_, err := server.records.WriteEvents(ctx, &consentv1.WriteEventsRequest{Events: []*consentv1.Event{{
		Subject: subject, Kind: consentv1.EventKind_EVENT_KIND_WITHDRAWN, Scope: &consentv1.Scope{Permissions: []string{"newsletter/email"}},
	}}})
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if err != nil {
		l.failures = append(l.failures, err)
		return false
	}
	l.acknowledged = append(l.acknowledged, subject)
	l.count <- struct{}{}
	return true
}

// await waits for a number of acknowledged writes.
func (l *load) await(t *testing.T, writes int) {
	t.Helper()
	late := time.After(patience)
	for range writes {
		select {
		case <-l.count:
		case <-late:
			t.Fatal("too few writes are acknowledged")
		}
	}
}

// stop returns the subjects whose withdrawal was acknowledged.
func (l *load) stop() []string {
	l.cancel()
	l.callers.Wait()
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.acknowledged
}

// awaitMetric asks until the metrics have a line.
func (p *replicaProcess) awaitMetric(t *testing.T, line string) {
	t.Helper()
	for began := time.Now(); time.Since(began) < patience; {
		reply, err := http.Get("http://" + p.ops + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(reply.Body)
		reply.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(body), line+"\n") {
			return
		}
	}
	t.Fatalf("the metrics never have %s", line)
}

// checkWithdrawn makes sure that every subject's consent is withdrawn, as any replica has to know that is asked for what is newest.
func checkWithdrawn(t *testing.T, addr string, subjects []string) {
	t.Helper()
	c := &cli{addr: addr}
	server, err := c.connect()
	if err != nil {
		t.Fatal(err)
	}
	defer server.close()
	for len(subjects) > 0 {
		chunk := subjects[:min(len(subjects), 10_000)]
		subjects = subjects[len(chunk):]
		request := &consentv1.BatchCheckRequest{
			Permissions: []string{"newsletter/email"},
			Consistency: &consentv1.Consistency{Requirement: &consentv1.Consistency_FullyConsistent{FullyConsistent: true}},
		}
		for _, subject := range chunk {
			request.Questions = append(request.Questions, &consentv1.CheckQuestion{Subject: subject})
		}
		reply, err := server.permissions.BatchCheck(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		for i, item := range reply.GetItems() {
			if got := item.GetResults()[0].GetAnswer().GetReason(); got != consentv1.Reason_REASON_WITHDRAWN {
				t.Fatalf("the acknowledged withdrawal of %s is lost: %v", chunk[i], got)
			}
		}
	}
}
