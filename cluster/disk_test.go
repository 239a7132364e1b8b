package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/consentd/consentd/consent"
	"github.com/google/uuid"
)

func TestFullDiskRefusesWrites(t *testing.T) {
	fs := vfs.NewMem()
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 10 << 20, TotalBytes: 100 << 20})
	o := memoryOptions(t, fs)
	o.MinFreeBytes = 4 << 20
	n := openNode(t, o)
	ballast := func() bool {
		_, err := fs.Stat("data/" + ballastFile)
		return err == nil
	}
	free := func(bytes uint64) {
		t.Helper()
		fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: bytes, TotalBytes: 100 << 20})
		if err := n.space.check(); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name          string
		free          uint64
		full, ballast bool
	}{
		{"plenty", 10 << 20, false, true},
		{"under the floor", 4<<20 - 1, true, true},
		{"nothing for the databases to tidy up in", 1<<20 - 1, true, false},
		{"a little, from the ballast", 2 << 20, true, false},
		{"the floor, but no room for the ballast", 4 << 20, false, false},
		{"plenty again", 5 << 20, false, true},
		{"nothing at all", 0, true, false},
	}
	for _, tt := range tests {
		free(tt.free)
		_, err := n.Write(t.Context(), grant(t, "anna"))
		if full := errors.Is(err, consent.ErrStorageFull); full != tt.full || !full && err != nil {
			t.Errorf("%s: write returned %v, refused for want of space: %t", tt.name, err, tt.full)
		}
		if got := n.Stats().FreeBytes; got != int64(tt.free) {
			t.Errorf("%s: %d bytes are said to be free, want %d", tt.name, got, tt.free)
		}
		status, err := n.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if m := status.GetMembers()[0]; m.GetHealthy() == tt.full || strings.Contains(m.GetUnhealthyBecause(), "disk") != tt.full {
			t.Errorf("%s: the status says healthy %t, %q", tt.name, m.GetHealthy(), m.GetUnhealthyBecause())
		}
		if got := ballast(); got != tt.ballast {
			t.Errorf("%s: ballast there: %t, want %t", tt.name, got, tt.ballast)
		}
		if err := n.Ready(); err != nil {
			t.Errorf("%s: reads stopped: %v", tt.name, err)
		}
	}
}

// TestStartOnAFullDisk has a disk filled by others while the node is down, to the last byte. The ballast is what it starts in.
func TestStartOnAFullDisk(t *testing.T) {
	memory := vfs.NewMem()
	usage := func(free uint64) { memory.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: free, TotalBytes: 100 << 20}) }
	usage(10 << 20)
	var full atomic.Bool
	fs := errorfs.Wrap(memory, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch {
		case !full.Load():
			return nil
		case op.Kind == errorfs.OpRemove && strings.HasSuffix(op.Path, ballastFile):
			full.Store(false)
			usage(1 << 20)
		case op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpFileWrite:
			return syscall.ENOSPC
		}
		return nil
	}))
	o := memoryOptions(t, fs)
	o.MinFreeBytes = 4 << 20
	n, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	waitReady(t, n)
	mustWrite(t, n, grant(t, "anna"))
	closeNode(t, n)
	usage(0)
	full.Store(true)

	n = openNode(t, o)
	if got := len(historyOf(t, n, "anna")); got != 1 {
		t.Errorf("%d events of anna, want 1", got)
	}
	if _, err := n.Write(t.Context(), grant(t, "bert")); !errors.Is(err, consent.ErrStorageFull) {
		t.Errorf("a write returned %v, want that the disk is full", err)
	}
}

// A ballast that can't be removed is removed the next time.
func TestBallastRemovalIsTriedAgain(t *testing.T) {
	memory := vfs.NewMem()
	busy := false
	fs := errorfs.Wrap(memory, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if busy && op.Kind == errorfs.OpRemove {
			return errors.New("injected: busy")
		}
		return nil
	}))
	d := &diskSpace{fs: fs, floor: 4 << 20, ballast: 1 << 20, log: slog.New(slog.DiscardHandler)}
	for _, step := range []struct {
		free          uint64
		busy, ballast bool
	}{{10 << 20, false, true}, {0, true, true}, {0, false, false}} {
		memory.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: step.free, TotalBytes: 100 << 20})
		busy = step.busy
		if err := d.check(); (err != nil) != busy {
			t.Errorf("%+v: %v", step, err)
		}
		if _, err := memory.Stat(ballastFile); (err == nil) != step.ballast {
			t.Errorf("%+v: the ballast: %v", step, err)
		}
	}
}

func TestNoFloor(t *testing.T) {
	fs := vfs.NewMem()
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1, TotalBytes: 100})
	o := memoryOptions(t, fs)
	o.MinFreeBytes = -1
	n := openNode(t, o)
	mustWrite(t, n, grant(t, "anna"))
	if free := n.Stats().FreeBytes; free != -1 {
		t.Errorf("%d bytes are said to be free where nobody looks", free)
	}
}

// TestHangingDisk lets the log's sync hang, and expects the watchdog to say so.
func TestHangingDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("Pebble looks every 2 s")
	}
	t.Parallel()
	var hang atomic.Bool
	release := make(chan struct{})
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if hang.Load() && op.Kind == errorfs.OpFileSyncData && strings.Contains(op.Path, logDir) {
			<-release
		}
		return nil
	}))
	o := memoryOptions(t, fs)
	o.DiskStall = time.Second
	n := openNode(t, o)
	hang.Store(true)
	wrote := make(chan error, 1)
	go func() {
		_, err := n.Write(context.Background(), grant(t, "anna"))
		wrote <- err
	}()
	wantFailure(t, n, "the disk hangs")
	close(release)
	<-wrote
}

// diskFails is set in the process that TestFailingDiskEndsTheProcess starts: to a directory, whose disk fails, and how.
const diskFails = "CONSENTD_TEST_DISK_FAILS"

func TestFailingDiskEndsTheProcess(t *testing.T) {
	tests := []struct{ name, part, fault, says string }{
		{"the log can't be synced", logDir, "broken", "the disk fails: syncing data/log/"},
		{"no space for the log", logDir, "full", "the disk is full: writing data/log/"},
		{"no space for the ledger", ledgerDir, "full", "the disk is full: writing data/ledger/"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			said := endOfProcess(t, t.TempDir()+" "+tt.part+" "+tt.fault)
			if strings.Count(said, tt.says) != 1 || strings.Contains(said, "goroutine") {
				t.Errorf("the process said %q, want %q, once and without a stack", said, tt.says)
			}
			// What the log holds is acknowledged before it is in the ledger.
			if tt.part == logDir && strings.Contains(said, "acknowledged <nil>") {
				t.Error("a write was acknowledged after the disk had failed")
			}
		})
	}
}

// endOfProcess returns what a process says whose disk fails, and expects it to end with 1.
func endOfProcess(t *testing.T, failing string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	process := exec.CommandContext(ctx, self)
	process.Env = append(os.Environ(), diskFails+"="+failing)
	process.Stderr = &stderr
	var exit *exec.ExitError
	if err := process.Run(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("the process ended with %v, want exit status 1", err)
	}
	return stderr.String()
}

// exitingTest runs a node whose disk fails, if this is that process.
func exitingTest() bool {
	failing := strings.Fields(os.Getenv(diskFails))
	if len(failing) == 0 {
		return false
	}
	kind, injected := errorfs.OpFileSyncData, errors.New("injected: sync failed")
	if failing[2] == "full" {
		kind, injected = errorfs.OpFileWrite, syscall.ENOSPC
	}
	var fail atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if fail.Load() && op.Kind == kind && strings.Contains(op.Path, "/"+failing[1]+"/") {
			return injected
		}
		return nil
	}))
	n, err := Open(context.Background(), Options{
		DataDir: "data", FS: fs, PseudonymKeyFile: failing[0] + "/key", Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)), tuning: quick,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	for n.Ready() != nil {
		<-time.After(time.Millisecond)
	}
	fail.Store(true)
	id, _ := uuid.NewV7()
	_, err = n.Write(context.Background(), consent.Write{Tenant: "shop", RequestID: consent.RequestID(id), Events: []consent.SubjectEvent{
		{Subject: "anna", Event: consent.Event{Kind: consent.Withdrawn}},
	}})
	fmt.Fprintln(os.Stderr, "acknowledged", err)
	_, err = n.store.Sync()
	fmt.Fprintln(os.Stderr, "synced", err)
	os.Exit(4)
	return true
}
