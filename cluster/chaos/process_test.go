package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// patience is how long a test waits for what takes a moment, on a machine that is busy with other tests.
const patience = 60 * time.Second

var buildDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "consentd-chaos")
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

// binary builds consentd once, with the race detector if these tests have it.
var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(buildDir, "consentd")
	args := []string{"build", "-buildvcs=false", "-o", path}
	if raceDetector {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "github.com/consentd/consentd/cmd/consentd")...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return path, err
})

// replica is a process of a cluster, running or not.
type replica struct {
	t        *testing.T
	id       string
	dir      string
	args     []string
	api      string
	proxy    *Proxy
	conn     *grpc.ClientConn
	records  consentv1.RecordServiceClient
	checks   consentv1.PermissionServiceClient
	policies consentv1.PolicyServiceClient
	members  consentv1.ClusterServiceClient
	odd      *oddErrors

	process *exec.Cmd // nil while it doesn't run
	log     *os.File
	stopped bool // by SIGSTOP
}

// host is an address of this machine that no other process of tests uses, so that nobody takes a port between two starts of a replica. Only
// Linux has one for every process.
var host = sync.OnceValue(func() string {
	pid := os.Getpid()
	own := net.IPv4(127, byte(1+pid>>16%254), byte(pid>>8), byte(pid)).String()
	listener, err := net.Listen("tcp", net.JoinHostPort(own, "0"))
	if err != nil {
		return "127.0.0.1"
	}
	listener.Close()
	return own
})

// nextPort counts through ports below those that the system gives out by itself.
var nextPort atomic.Int32

const firstPort, ports = 10_000, 20_000

// freeAddress returns an address of this machine that nobody listens on now, and that is returned once.
func freeAddress(t *testing.T) string {
	t.Helper()
	nextPort.CompareAndSwap(0, rand.Int32N(ports)+1)
	for {
		address := net.JoinHostPort(host(), fmt.Sprint(firstPort+nextPort.Add(1)%ports))
		if listener, err := net.Listen("tcp", address); err == nil {
			listener.Close()
			return address
		}
	}
}

// newReplica prepares one that isn't started yet. Its peers reach it through a proxy only.
func newReplica(t *testing.T, links *Links, odd *oddErrors, id, dir string) *replica {
	t.Helper()
	r := newProcess(t, odd, id, dir)
	port := freeAddress(t)
	var err error
	if r.proxy, err = NewProxy(t.Context(), links, port); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.proxy.Close() })
	r.args = []string{
		"serve", "--node-id", id, "--data-dir", filepath.Join(r.dir, "data"), "--listen", r.api, "--ops-listen", "127.0.0.1:0",
		"--raft-listen", port, "--advertise", r.proxy.Address(), "--ready-file", r.readyFile(),
	}
	return r
}

// newProcess prepares whatever answers at an address. Its arguments are still missing.
func newProcess(t *testing.T, odd *oddErrors, id, dir string) *replica {
	t.Helper()
	r := &replica{t: t, id: id, dir: filepath.Join(dir, id), api: freeAddress(t), odd: odd}
	t.Cleanup(r.end)
	var err error
	if r.conn, err = grpc.NewClient(r.api, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithConnectParams(grpc.ConnectParams{
		Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: 100 * time.Millisecond}, MinConnectTimeout: time.Second,
	})); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.conn.Close() })
	r.records = consentv1.NewRecordServiceClient(r.conn)
	r.checks = consentv1.NewPermissionServiceClient(r.conn)
	r.policies = consentv1.NewPolicyServiceClient(r.conn)
	r.members = consentv1.NewClusterServiceClient(r.conn)
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *replica) readyFile() string { return filepath.Join(r.dir, "ready") }

func (r *replica) logFile() string { return filepath.Join(r.dir, "log") }

// start starts the process, and doesn't wait for it.
func (r *replica) start() {
	r.t.Helper()
	path, err := binary()
	if err != nil {
		r.t.Fatal(err)
	}
	if r.log, err = os.OpenFile(r.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
		r.t.Fatal(err)
	}
	os.Remove(r.readyFile())
	r.process = exec.Command(path, r.args...)
	r.process.Stderr = r.log
	if err := r.process.Start(); err != nil {
		r.t.Fatal(err)
	}
}

// kill ends the process as a crash does.
func (r *replica) kill() {
	if r.process == nil {
		return
	}
	r.process.Process.Kill()
	r.reap()
}

func (r *replica) reap() {
	r.process.Wait()
	r.process, r.stopped = nil, false
	r.log.Close()
}

// end ends the process, and tells what of it is worth telling.
func (r *replica) end() {
	r.kill()
	if r.racy() {
		r.t.Errorf("a race in %s:\n%s", r.id, r.lastWords())
	}
	if r.t.Failed() && testing.Verbose() {
		r.t.Logf("the end of the log of %s:\n%s", r.id, r.lastWords())
	}
}

// ended reports whether the process has ended by itself.
func (r *replica) ended() bool {
	if r.process == nil {
		return false
	}
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(r.process.Process.Pid, &status, syscall.WNOHANG, nil)
	return err != nil || pid != 0
}

func (r *replica) signal(s syscall.Signal) {
	if r.process != nil {
		r.process.Process.Signal(s)
		r.stopped = s == syscall.SIGSTOP
	}
}

// waitReady waits until the process says that it answers.
func (r *replica) waitReady() {
	r.t.Helper()
	waitFor(r.t, r.id+" to be ready", func() bool {
		if r.ended() {
			r.t.Fatalf("%s has ended:\n%s", r.id, r.lastWords())
		}
		_, err := os.Stat(r.readyFile())
		return err == nil
	})
}

// lastWords returns the end of the log.
func (r *replica) lastWords() string {
	text, err := os.ReadFile(r.logFile())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}

// racy reports whether the race detector has found something in the process.
func (r *replica) racy() bool {
	text, err := os.ReadFile(r.logFile())
	return err == nil && bytes.Contains(text, []byte("DATA RACE"))
}

// waitFor waits until a condition holds.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %s for %s", patience, what)
		}
	}
}

// runBinary runs one command of the binary.
func runBinary(t *testing.T, args ...string) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		t.Fatalf("consentd %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// processes is a cluster of real processes.
type processes struct {
	t        *testing.T
	dir      string
	links    *Links
	odd      *oddErrors
	replicas []*replica
	common   []string
	bound    time.Duration
}

const chaosPolicy = "purposes: {newsletter: {channels: {email: {bases: [consent]}}}}\n"

// newProcesses starts so many voters and so many learners, and waits until all answer.
func newProcesses(t *testing.T, voters, learners int) *processes {
	t.Helper()
	p := &processes{t: t, dir: t.TempDir(), links: NewLinks(), odd: &oddErrors{}, bound: time.Second}
	key, policy := filepath.Join(p.dir, "key"), filepath.Join(p.dir, "policy.yaml")
	runBinary(t, "keys", "new", key)
	if err := os.WriteFile(policy, []byte(chaosPolicy), 0o644); err != nil {
		t.Fatal(err)
	}
	p.common = []string{"--pseudonym-key-file", key, "--policy", policy, "--max-staleness", p.bound.String()}
	for i := range voters {
		p.replicas = append(p.replicas, newReplica(t, p.links, p.odd, fmt.Sprintf("n%d", i+1), p.dir))
	}
	founders := p.addresses()
	for _, r := range p.replicas {
		r.args = append(append(r.args, p.common...), "--bootstrap-expect", fmt.Sprint(voters), "--join", founders)
		r.start()
	}
	p.waitReady()
	for i := range learners {
		p.add(fmt.Sprintf("l%d", i+1), "--learner")
	}
	return p
}

func (p *processes) addresses() string {
	var all []string
	for _, r := range p.replicas {
		all = append(all, r.api)
	}
	return strings.Join(all, ",")
}

// add has a new replica join, and waits until it answers.
func (p *processes) add(id string, more ...string) *replica {
	p.t.Helper()
	r := newReplica(p.t, p.links, p.odd, id, p.dir)
	r.args = append(append(append(r.args, p.common...), "--join", p.addresses()), more...)
	p.replicas = append(p.replicas, r)
	r.start()
	r.waitReady()
	return r
}

func (p *processes) waitReady() {
	p.t.Helper()
	for _, r := range p.replicas {
		r.waitReady()
	}
}

func (p *processes) running() []*replica {
	var running []*replica
	for _, r := range p.replicas {
		if r.process != nil && !r.stopped {
			running = append(running, r)
		}
	}
	return running
}

// status asks whoever answers first. An answer takes half a second where a member is silent.
func (p *processes) status() *consentv1.GetClusterStatusResponse {
	for _, r := range p.running() {
		ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
		status, err := r.members.GetClusterStatus(ctx, &consentv1.GetClusterStatusRequest{})
		cancel()
		if err == nil && status.GetLeader() != "" {
			return status
		}
	}
	return nil
}

// known returns who leads, or nil if nobody knows.
func (p *processes) known() *replica {
	status := p.status()
	for _, r := range p.running() {
		if r.id == status.GetLeader() {
			return r
		}
	}
	return nil
}

// leader returns who leads, or anyone that runs, or nil.
func (p *processes) leader() *replica {
	if r := p.known(); r != nil {
		return r
	}
	for _, r := range p.running() {
		return r
	}
	return nil
}

// oddErrors are errors that no fault explains.
type oddErrors struct {
	restored atomic.Bool // a backup is restored, so that the epoch may change

	mu  sync.Mutex
	all []error
}

func (o *oddErrors) add(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.all) < maxFaults {
		o.all = append(o.all, err)
	}
}

func (o *oddErrors) err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return errors.Join(o.all...)
}
