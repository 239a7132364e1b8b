package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	shopPolicy = "../../examples/shop/policy.yaml"
	shopLists  = "../../examples/shop/mailchimp.zip"
)

// patience is how long a test waits for what takes a moment, on a machine that is busy with other tests.
const patience = 60 * time.Second

// startServer runs serve in this process until the test ends, on a unix socket and with the shop's policy.
func startServer(t *testing.T, more ...string) (addr string) {
	t.Helper()
	dir := shortDir(t)
	addr = "unix://" + filepath.Join(dir, "s.sock")
	args := append([]string{
		"serve", "--data-dir", filepath.Join(dir, "data"), "--listen", addr, "--ops-listen", "127.0.0.1:0", "--policy", shopPolicy,
	}, more...)
	ctx, cancel := context.WithCancel(t.Context())
	logs, stderr := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, args, process{
			stdin: strings.NewReader(""), stdout: io.Discard, stderr: stderr, environ: func() []string { return nil },
		})
		stderr.Close()
	}()
	ready := followLog(t, logs)
	t.Cleanup(func() {
		cancel()
		if code := <-ended; code != exitDone {
			t.Errorf("serve ended with exit code %d", code)
		}
	})
	ready.wait(t)
	return addr
}

// logLine is what tests look at in a line of the log.
type logLine struct {
	Message   string   `json:"msg"`
	Listen    []string `json:"listen"`
	OpsListen string   `json:"ops_listen"`
}

// follower reads a server's log to its end, and says when the server is ready.
type follower struct {
	ready chan logLine
	said  chan string // the message of each line
	done  chan struct{}
	text  strings.Builder // readable once done is closed
}

func followLog(t *testing.T, logs io.Reader) *follower {
	t.Helper()
	f := &follower{ready: make(chan logLine, 1), said: make(chan string, 1<<12), done: make(chan struct{})}
	go func() {
		defer close(f.done)
		lines := bufio.NewScanner(logs)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			f.text.WriteString(lines.Text() + "\n")
			var line logLine
			if json.Unmarshal(lines.Bytes(), &line) != nil {
				continue
			}
			select {
			case f.said <- line.Message:
			default: // nobody waits for so many
			}
			if line.Message == "ready" {
				f.ready <- line
			}
		}
	}()
	return f
}

// wait returns the line with the addresses.
func (f *follower) wait(t *testing.T) logLine {
	t.Helper()
	select {
	case line := <-f.ready:
		return line
	case <-f.done:
		t.Fatalf("the server ended before it was ready:\n%s", f.text.String())
	case <-time.After(patience):
		t.Fatal("the server isn't ready")
	}
	return logLine{}
}

// waitFor returns once the log has a line whose message begins so.
func (f *follower) waitFor(t *testing.T, message string) {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case said := <-f.said:
			if strings.HasPrefix(said, message) {
				return
			}
		case <-f.done:
			t.Fatalf("the server ended before it said %q:\n%s", message, f.text.String())
		case <-late:
			t.Fatalf("the server doesn't say %q", message)
		}
	}
}
