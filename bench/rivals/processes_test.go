package rivals

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// patience is how long a benchmark waits for what takes a moment.
const patience = time.Minute

// start starts a process that ends with the benchmark, and waits until something listens at an address of its.
func start(tb testing.TB, cmd *exec.Cmd, network, address string) {
	tb.Helper()
	logPath := filepath.Join(tb.TempDir(), "log")
	log, err := os.Create(logPath)
	if err != nil {
		tb.Fatal(err)
	}
	defer log.Close() // the process has its own
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // which says that it was killed
		close(ended)
	}()
	tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	await(tb, cmd.Path+" to listen", func() bool {
		select {
		case <-ended:
			said, _ := os.ReadFile(logPath)
			tb.Fatalf("%s ended:\n%s", cmd.Path, said)
		default:
		}
		conn, err := (&net.Dialer{}).DialContext(tb.Context(), network, address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
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

func freeAddress(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// shortDir returns a temporary folder for sockets, whose paths are limited to a hundred bytes or so.
func shortDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "rivals")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
