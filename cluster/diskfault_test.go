package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/consentd/consentd/consent"
	"github.com/google/uuid"
)

// diskFaults is set in the process that TestDiskFaults starts: to a directory for keys.
const diskFaults = "CONSENTD_TEST_DISK_FAULTS"

// TestDiskFaults fails each operation of log and ledger at each time of a node's life at which it is used, once or for good. The node has to
// end in words, and what it acknowledged has to be there when it is started on a disk that works. It does so in a process of its own: what
// waits for the disk in a node that has failed is never let go, as in a process that is about to end.
func TestDiskFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("some eighty nodes are opened")
	}
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	process := exec.CommandContext(ctx, self)
	process.Env = append(os.Environ(), diskFaults+"="+t.TempDir())
	said, err := process.CombinedOutput()
	if err != nil {
		t.Error(err)
	}
	t.Logf("%s", said)
}

// faultyOps are the operations that fail, by the word of the message about them.
var faultyOps = map[errorfs.OpKind]string{
	errorfs.OpCreate: "creating", errorfs.OpFileWrite: "writing", errorfs.OpFileSync: "syncing", errorfs.OpFileSyncData: "syncing",
	errorfs.OpFileSyncTo: "syncing", errorfs.OpRename: "renaming", errorfs.OpReuseForWrite: "renaming", errorfs.OpRemove: "removing",
	errorfs.OpRemoveAll: "removing", errorfs.OpFileRead: "reading", errorfs.OpFileReadAt: "reading", errorfs.OpList: "listing",
	errorfs.OpMkdirAll: "making", errorfs.OpOpen: "opening", errorfs.OpOpenDir: "opening", errorfs.OpStat: "looking at",
}

// faultyAt are those that are used when a node starts, works and closes.
var faultyAt = map[string][]errorfs.OpKind{
	"start": {
		errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpRename, errorfs.OpRemove,
		errorfs.OpFileRead, errorfs.OpFileReadAt, errorfs.OpList, errorfs.OpMkdirAll, errorfs.OpOpen, errorfs.OpOpenDir, errorfs.OpStat,
	},
	"load": {
		errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpReuseForWrite, errorfs.OpRemove,
		errorfs.OpFileReadAt, errorfs.OpOpen,
	},
	"close": {errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileReadAt},
}

// leastFaults is how many of them have to have happened.
const leastFaults = 35

// faultsTest runs the faults, if this is the process for them, and ends it: with 1 if one of them didn't end well.
func faultsTest() {
	keys := os.Getenv(diskFaults)
	if keys == "" {
		return
	}
	var working sync.WaitGroup
	var hit, wrong atomic.Int64
	places := make(chan struct{}, 4)
	for when, kinds := range faultyAt {
		for i, kind := range kinds {
			for j, part := range []string{logDir, ledgerDir} {
				places <- struct{}{}
				working.Go(func() {
					defer func() { <-places }()
					name := fmt.Sprintf("%s-%d-%s", when, kind, part)
					f := &fault{kind: kind, word: faultyOps[kind], part: part, once: (i+j)%2 == 0, key: filepath.Join(keys, name)}
					if err := f.happen(when); err != nil {
						wrong.Add(1)
						fmt.Printf("%s %s: %v\n", name, f.word, err)
					}
					hit.Add(min(f.hits.Load(), 1))
				})
			}
		}
	}
	working.Wait()
	fmt.Printf("%d operations failed, %d not well\n", hit.Load(), wrong.Load())
	if wrong.Load() > 0 || hit.Load() < leastFaults {
		os.Exit(1)
	}
	os.Exit(0)
}

// fault is one operation that fails.
type fault struct {
	kind  errorfs.OpKind
	word  string
	part  string
	once  bool
	key   string
	armed atomic.Bool
	hits  atomic.Int64
	disk  *vfs.MemFS

	mu    sync.Mutex
	acked []string // subjects whose write was acknowledged
}

// MaybeError implements errorfs.Injector.
func (f *fault) MaybeError(op errorfs.Op) error {
	if !f.armed.Load() || op.Kind != f.kind || !strings.HasPrefix(op.Path, "data/"+f.part) {
		return nil
	}
	if f.hits.Add(1) > 1 && f.once {
		return nil
	}
	return &os.PathError{Op: "test", Path: op.Path, Err: syscall.EIO}
}

// String implements errorfs.Injector.
func (f *fault) String() string { return f.word }

func (f *fault) options(fs vfs.FS) Options {
	return Options{
		DataDir: "data", FS: fs, PseudonymKeyFile: f.key, MaxStaleness: time.Hour,
		tuning: tuning{election: quick.election, inspection: time.Hour, trailingLogs: 1, exit: func() { select {} }}, // as if the process had ended
	}
}

// happen has it happen at a time, and returns what is wrong about what came of it.
func (f *fault) happen(when string) error {
	f.disk = vfs.NewCrashableMem()
	fs := errorfs.Wrap(f.disk, f)
	n, err := New(f.options(fs))
	if err == nil {
		err = n.Start(context.Background())
	}
	if err != nil {
		return fmt.Errorf("opening on a good disk: %w", err)
	}
	if err := f.write(n, 20); err != nil {
		return fmt.Errorf("writing on a good disk: %w", err)
	}
	var step func() error
	switch when {
	case "start":
		if err := n.Close(); err != nil {
			return err
		}
		if n, err = New(f.options(fs)); err != nil {
			return err
		}
		step = func() error { return n.Start(context.Background()) }
	case "load":
		step = func() error { return f.work(n) }
	case "close":
		step = n.Close
	}
	f.armed.Store(true)
	if err := f.await(n, step); err != nil {
		return err
	}
	f.armed.Store(false)
	return f.recovered()
}

// await returns nil if a step succeeds without a fault, or the node ends in words.
func (f *fault) await(n *Node, step func() error) error {
	done := make(chan error, 1)
	go func() { done <- step() }()
	var said error
	select {
	case said = <-n.Failed():
	case <-time.After(20 * time.Second):
		return fmt.Errorf("it hangs after %d faults", f.hits.Load())
	case err := <-done:
		if f.hits.Load() == 0 {
			return err
		}
		select {
		case said = <-n.Failed():
		default:
			return fmt.Errorf("it goes on after %d faults (%w)", f.hits.Load(), err)
		}
	}
	if !strings.Contains(said.Error(), f.word) || !strings.Contains(said.Error(), "data/"+f.part) || !errors.Is(said, syscall.EIO) ||
		strings.Count(said.Error(), "input/output error") != 1 {
		return fmt.Errorf("it says %w", said)
	}
	if n.Ready() == nil {
		return errors.New("it is still ready")
	}
	return nil
}

// work writes, has both databases flush, cut and read, as an hour of load would.
func (f *fault) work(n *Node) error {
	for range 3 {
		if err := f.write(n, 20); err != nil {
			return err
		}
		flushed, err := n.logs.db.AsyncFlush()
		if err != nil {
			return err
		}
		<-flushed
		if _, err := n.TakeSnapshot(context.Background()); err != nil {
			return err
		}
		if _, err := n.store.StateHash(); err != nil {
			return err
		}
		if err := n.logs.findEnds(); err != nil {
			return err
		}
	}
	return nil
}

func (f *fault) write(n *Node, writes int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for i := range writes {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		subject := fmt.Sprintf("subject %d of %s", i, id)
		if _, err := n.Write(ctx, consent.Write{Tenant: "shop", RequestID: consent.RequestID(id), Events: []consent.SubjectEvent{
			{Subject: subject, Event: consent.Event{Kind: consent.Withdrawn, Evidence: consent.Evidence{Source: strings.Repeat("x", 200)}}},
		}}); err != nil {
			return err
		}
		f.mu.Lock()
		f.acked = append(f.acked, subject)
		f.mu.Unlock()
	}
	return nil
}

// recovered starts the node on a disk that works, with any share of what wasn't synced, and looks for all that was acknowledged.
func (f *fault) recovered() error {
	random := rand.New(rand.NewPCG(uint64(f.kind), 1))
	f.mu.Lock() // a write that is on its way no longer counts
	defer f.mu.Unlock()
	disk := f.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: random.IntN(101), RNG: random})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	n, err := Open(ctx, f.options(disk))
	if err != nil {
		return fmt.Errorf("starting it again: %w", err)
	}
	view, err := n.View(ctx, consent.Consistency{Full: true})
	if err != nil {
		return fmt.Errorf("asking it again: %w", err)
	}
	for _, subject := range f.acked {
		record, err := n.Record(ctx, view.Tenants["shop"], subject, new(consent.Buffer))
		if err != nil || record == nil {
			return fmt.Errorf("%s is lost: %w", subject, err)
		}
	}
	return n.Close()
}

// TestDiskFaultSaysWhatToDo: a file that is in the way, or may not be used, isn't the disk's fault.
func TestDiskFaultSaysWhatToDo(t *testing.T) {
	for cause, words := range map[syscall.Errno][2]string{
		syscall.EIO:     {"the disk fails", "look at the disk"},
		syscall.EROFS:   {"the disk fails", "how it is mounted"},
		syscall.ENOSPC:  {"the disk is full", "make space"},
		syscall.EMFILE:  {"too many open files", "LimitNOFILE"},
		syscall.EACCES:  {"can't be used", "read and write"},
		syscall.EISDIR:  {"is damaged", "consentd cluster restore"},
		syscall.ENOTDIR: {"is damaged", "consentd cluster restore"},
	} {
		got := diskFault("reading", "data/log/000001.log", &os.PathError{Op: "read", Path: "data/log/000001.log", Err: cause}).Error()
		for _, want := range append(words[:], "reading data/log/000001.log", cause.Error()) {
			if !strings.Contains(got, want) {
				t.Errorf("%v: no %q in %q", cause, want, got)
			}
		}
	}
}
