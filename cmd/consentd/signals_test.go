package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/consentd/consentd/consent"
)

// TestSecondSignal ends a drain that waits for a call, one that waits for a revision that nothing brings.
func TestSecondSignal(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	p := spawn(t, data, "--drain-timeout", "1h")
	written := decode[struct{ Revision string }](t, must(t, p.addr, "record", "withdraw", "anna", "newsletter/email", "-o", "json"))
	revision, err := consent.ParseRevision(written.Revision)
	if err != nil {
		t.Fatal(err)
	}
	revision.Index += 1000
	asked := make(chan result, 1)
	go func() {
		asked <- consentd(t, "check", "anna", "newsletter/email", "--at-least", revision.String(), "--addr", p.addr, "--timeout", "1h")
	}()
	p.awaitMetric(t, `grpc_server_started_total{grpc_method="Check",grpc_service="consent.v1.PermissionService",grpc_type="unary"} 1`)
	p.signal(t, syscall.SIGTERM)
	p.log.waitFor(t, "stopping")
	p.signal(t, syscall.SIGTERM)
	p.wait(t)
	if ended, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ended.Signal() != syscall.SIGTERM {
		t.Errorf("the process ended with %v:\n%s", p.cmd.ProcessState, p.log.text.String())
	}
	if got := <-asked; got.code != exitFailed {
		t.Errorf("the call that was waiting: %+v", got)
	}
	p = spawn(t, data)
	checkWithdrawn(t, p.addr, []string{"anna"})
}

// TestSignalWhileWaiting stops a replica that still waits for others: nothing has happened, and it says so by its exit code.
func TestSignalWhileWaiting(t *testing.T) {
	dir := shortDir(t)
	key := newKey(t, dir)
	for name, args := range map[string][]string{
		"for others to found with": {"--bootstrap-expect", "3"},
		"for a cluster to join":    {"--join", "unix://" + filepath.Join(dir, "nobody.sock")},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"--raft-listen", "127.0.0.1:0", "--pseudonym-key-file", key}, args...)
			p := launch(t, "unix://"+filepath.Join(shortDir(t), "s.sock"), filepath.Join(t.TempDir(), "data"), args...)
			p.log.waitFor(t, "waiting")
			if got := runBinary(t, nil, "check", "anna", "newsletter/email", "--addr", p.addr); got.code != exitFailed {
				t.Errorf("a check meanwhile: %+v", got)
			}
			p.signal(t, os.Interrupt)
			if code := p.wait(t); code != exitDone {
				t.Errorf("exit code %d:\n%s", code, p.log.text.String())
			}
		})
	}
}
