package bench_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/timestamppb"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// patience is how long a benchmark waits for what takes a moment.
const patience = time.Minute

// process is a replica, or a sidecar, as it is shipped.
type process struct {
	tb      testing.TB
	id      string
	binary  string
	address string
	socket  string // that it listens on as well; empty if it doesn't
	args    []string
	ready   string // the file that says that it answers
	log     string
	cmd     *exec.Cmd // nil while it doesn't run
	checks  consentv1.PermissionServiceClient
	records consentv1.RecordServiceClient
	members consentv1.ClusterServiceClient
}

// startProcesses founds a cluster of so many processes with the example shop's policy, and waits until all are ready.
func startProcesses(tb testing.TB, size int) []*process {
	tb.Helper()
	dir := tb.TempDir()
	binary, key := filepath.Join(dir, "consentd"), filepath.Join(dir, "key")
	run(tb, "go", "build", "-buildvcs=false", "-o", binary, "github.com/consentd/consentd/cmd/consentd")
	run(tb, binary, "keys", "new", key)
	var all []*process
	var addresses []string
	for i := range size {
		addresses = append(addresses, freeAddress(tb))
		all = append(all, newProcess(tb, binary, filepath.Join(dir, fmt.Sprintf("n%d", i+1)), addresses[i]))
	}
	for _, p := range all {
		p.args = append(p.args, "--pseudonym-key-file", key, "--policy", "../examples/shop/policy.yaml")
		if size > 1 {
			p.args = append(p.args, "--bootstrap-expect", strconv.Itoa(size), "--join", strings.Join(addresses, ","))
		}
		p.start()
	}
	for _, p := range all {
		p.awaitReady()
	}
	return all
}

// newAlone prepares a replica that is alone, without subjects, and listens on a unix socket as well.
func newAlone(tb testing.TB) *process {
	tb.Helper()
	dir := tb.TempDir()
	binary := filepath.Join(dir, "consentd")
	run(tb, "go", "build", "-buildvcs=false", "-o", binary, "github.com/consentd/consentd/cmd/consentd")
	p := newDaemon(tb, binary, filepath.Join(shortDir(tb), "alone"), freeAddress(tb))
	p.socket = "unix://" + p.log + ".sock"
	p.args = append([]string{"serve", "--data-dir", filepath.Join(dir, "data"), "--listen", p.socket}, p.args...)
	return p
}

func run(tb testing.TB, name string, args ...string) {
	tb.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		tb.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

func freeAddress(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// newProcess prepares a replica whose files lie at a path.
func newProcess(tb testing.TB, binary, path, address string) *process {
	tb.Helper()
	p := newDaemon(tb, binary, path, address)
	p.args = append([]string{"serve", "--node-id", p.id, "--data-dir", path, "--raft-listen", freeAddress(tb)}, p.args...)
	return p
}

// newSidecar prepares a sidecar of replicas, which listens on a unix socket as well.
func newSidecar(tb testing.TB, number int, replicas []*process) *process {
	tb.Helper()
	var upstream []string
	for _, r := range replicas {
		upstream = append(upstream, r.address)
	}
	p := newDaemon(tb, replicas[0].binary, filepath.Join(shortDir(tb), fmt.Sprintf("s%d", number)), freeAddress(tb))
	p.socket = "unix://" + p.log + ".sock"
	p.args = append([]string{"sidecar", "--upstream", strings.Join(upstream, ","), "--listen", p.socket, "--cache-size", "64MiB"}, p.args...)
	return p
}

// startAside runs a replica that knows the subjects, and a sidecar that holds their records, and returns where that listens by network.
func startAside(tb testing.TB) map[string]string {
	tb.Helper()
	replicas := startProcesses(tb, 1)
	replicas[0].know(subjects)
	sidecar := newSidecar(tb, 1, replicas)
	sidecar.start()
	sidecar.awaitReady()
	for _, id := range subjectIDs() {
		ctx, cancel := context.WithTimeout(tb.Context(), patience)
		_, err := sidecar.checks.Check(ctx, &consentv1.CheckRequest{Subject: id, Permissions: []string{permission}})
		cancel()
		if err != nil {
			tb.Fatal(err)
		}
	}
	return map[string]string{"unix": sidecar.socket, "tcp": sidecar.address}
}

// know writes the subjects, half of them confirmed.
func (p *process) know(subjects int) {
	p.tb.Helper()
	ctx, cancel := context.WithTimeout(p.tb.Context(), patience)
	defer cancel()
	const together = 500
	for from := 0; from < subjects; from += together {
		request := &consentv1.WriteEventsRequest{}
		for n := from; n < from+together; n += 2 {
			request.Events = append(request.Events, grantOf(subjectID(n), time.Hour)...)
		}
		if _, err := p.records.WriteEvents(ctx, request); err != nil {
			p.tb.Fatal(err)
		}
	}
}

// grantOf is a grant of so long ago, and its confirmation.
func grantOf(subject string, ago time.Duration) []*consentv1.Event {
	at, scope := time.Now().Add(-ago), &consentv1.Scope{Permissions: []string{permission}}
	return []*consentv1.Event{
		{
			Subject: subject, Kind: consentv1.EventKind_EVENT_KIND_GRANTED, OccurredAt: timestamppb.New(at), Scope: scope,
			Evidence: &consentv1.Evidence{NoticeVersion: 3, Method: consentv1.Method_METHOD_WEB_FORM, Source: "bench", Reference: "forms/1"},
		},
		{
			Subject: subject, Kind: consentv1.EventKind_EVENT_KIND_CONFIRMED, OccurredAt: timestamppb.New(at.Add(ago / 2)), Scope: scope,
		},
	}
}

// newDaemon prepares a process that listens at an address.
func newDaemon(tb testing.TB, binary, path, address string) *process {
	tb.Helper()
	p := &process{tb: tb, id: filepath.Base(path), binary: binary, address: address, ready: path + ".ready", log: path + ".log"}
	p.args = []string{"--listen", address, "--ops-listen", "127.0.0.1:0", "--ready-file", p.ready}
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: 100 * time.Millisecond}, MinConnectTimeout: time.Second,
		}))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	p.checks, p.records = consentv1.NewPermissionServiceClient(conn), consentv1.NewRecordServiceClient(conn)
	p.members = consentv1.NewClusterServiceClient(conn)
	tb.Cleanup(p.kill)
	return p
}

// start starts the process, and doesn't wait for it.
func (p *process) start() {
	p.tb.Helper()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.tb.Fatal(err)
	}
	defer log.Close() // the process has its own
	_ = os.Remove(p.ready)
	p.cmd = exec.Command(p.binary, p.args...)
	p.cmd.Stderr = log
	if err := p.cmd.Start(); err != nil {
		p.tb.Fatal(err)
	}
}

// kill ends the process as a crash does.
func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // which says that it was killed
	p.cmd = nil
}

func (p *process) awaitReady() {
	p.tb.Helper()
	await(p.tb, p.id+" to be ready", func() bool {
		_, err := os.Stat(p.ready)
		return err == nil
	})
}

// awaitHealthy waits until every replica knows the same leader, and that one of three may fail. It returns the leader.
func awaitHealthy(tb testing.TB, all []*process) (leader *process) {
	tb.Helper()
	await(tb, "the cluster to be healthy", func() bool {
		leader = nil
		for _, p := range all {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			status, err := p.members.GetClusterStatus(ctx, &consentv1.GetClusterStatusRequest{})
			cancel()
			if err != nil || status.GetFailuresTolerated() != 1 || leader != nil && leader.id != status.GetLeader() {
				return false
			}
			for _, m := range status.GetMembers() {
				if !m.GetHealthy() {
					return false
				}
			}
			for _, one := range all {
				if one.id == status.GetLeader() {
					leader = one
				}
			}
		}
		return leader != nil
	})
	return leader
}

// await waits until a condition holds.
func await(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	late := time.After(patience)
	for !holds() {
		select {
		case <-look.C:
		case <-late:
			tb.Fatalf("waited %s for %s", patience, what)
		}
	}
}
