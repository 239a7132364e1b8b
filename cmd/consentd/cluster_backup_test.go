package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// brokenBackup streams what isn't a whole backup.
type brokenBackup struct {
	consentv1.UnimplementedClusterServiceServer
	err error
}

func (b *brokenBackup) BackUp(_ *consentv1.BackUpRequest, stream grpc.ServerStreamingServer[consentv1.BackUpResponse]) error {
	for range 3 {
		if err := stream.Send(&consentv1.BackUpResponse{Chunk: []byte("half a backup")}); err != nil {
			return err
		}
	}
	return b.err
}

// TestBrokenBackup leaves the file alone that is there, and nothing beside it, when the server breaks off or sends what isn't whole.
func TestBrokenBackup(t *testing.T) {
	for name, fake := range map[string]*brokenBackup{
		"an error":  {err: refusal(t, codes.Unavailable, "NOT_READY", "shutting down")},
		"not whole": {},
	} {
		t.Run(name, func(t *testing.T) {
			addr := startFake(t, func(s *grpc.Server) { consentv1.RegisterClusterServiceServer(s, fake) })
			dir := t.TempDir()
			file := filepath.Join(dir, "backup")
			if err := os.WriteFile(file, []byte("yesterday's"), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := consentd(t, "cluster", "backup", file, "--force", "--addr", addr); got.code != exitFailed || got.stdout != "" {
				t.Errorf("%+v", got)
			}
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) != 1 {
				t.Errorf("beside the file: %v, %v", entries, err)
			}
			if text, err := os.ReadFile(file); err != nil || string(text) != "yesterday's" {
				t.Errorf("the file has %q, %v", text, err)
			}
			if got := consentd(t, "cluster", "backup", "-", "--addr", addr); got.code != exitFailed {
				t.Errorf("on standard output: %+v", got)
			}
		})
	}
	unwritable := filepath.Join(t.TempDir(), "no", "such", "directory")
	if got := consentd(t, "cluster", "backup", unwritable, "--addr", "127.0.0.1:1"); got.code != exitFailed ||
		!strings.Contains(got.stderr, "can't be written") {
		t.Errorf("where nothing can be written: %+v", got)
	}
}

// TestEmptyBackup doesn't trouble a server with nothing.
func TestEmptyBackup(t *testing.T) {
	addr := startFakeCluster(t, &fakeCluster{})
	empty := writeFile(t, "empty", "")
	for _, got := range []result{consentd(t, "cluster", "restore", empty, "--addr", addr), consentd(t, "cluster", "inspect", empty)} {
		if got.code != exitFailed || got.stdout != "" || !strings.Contains(got.stderr, "is cut short") {
			t.Errorf("%+v", got)
		}
	}
}

// TestStuckRestore gives up where the index doesn't move.
func TestStuckRestore(t *testing.T) {
	c := &cli{process: process{stderr: io.Discard}, addr: startFakeCluster(t, &fakeCluster{status: &consentv1.GetClusterStatusResponse{
		NodeId: "n1", Members: []*consentv1.Member{{Id: "n1", Applied: 7}},
	}})}
	server, err := c.connect()
	if err != nil {
		t.Fatal(err)
	}
	defer server.close()
	var why error
	watchRestore(t.Context(), server, time.Millisecond, c.newProgress(), func(err error) { why = err })
	var stuck *stuckError
	if !errors.As(why, &stuck) || !strings.Contains(why.Error(), "no progress for 1ms") {
		t.Errorf("given up for %v", why)
	}
}

func TestKeysNew(t *testing.T) {
	path := newKey(t, t.TempDir())
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if got := consentd(t, "keys", "new", path); got.code != exitFailed || !strings.Contains(got.stderr, path) {
		t.Errorf("over a key that is there: %+v", got)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the key was changed: %v", err)
	}
	if got := consentd(t, "keys", "new"); got.code != exitUsage {
		t.Errorf("without a file: %+v", got)
	}
}
