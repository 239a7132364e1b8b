package chaos

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestDamagedFiles flips a bit, or cuts off the end, of files of a replica that was killed. It must refuse to start, end by itself, or be
// right: never answer with something else than the others.
func TestDamagedFiles(t *testing.T) {
	damages := Runs(t, 2)
	report := NewReport(t, "damaged files")
	told := report.Begin(t, 1, nil)
	r := newRunOf(t, 1, 3, 0)
	whole := filepath.Join(t.TempDir(), "whole")
	refused, right := 0, 0
	for seed := range Seeds(t, damages) {
		dice := rand.New(rand.NewPCG(seed, 4))
		r.writeSome(20)
		victim := r.follower(dice)
		r.kill(victim)
		if err := os.CopyFS(whole, os.DirFS(victim.dir)); err != nil {
			t.Fatal(err)
		}
		what := damage(t, dice, filepath.Join(victim.dir, "data"))
		t.Logf("CHAOSSEED=%d: %s of %s", seed, what, victim.id)
		victim.start()
		if r.isRight(victim) {
			right++
		} else {
			refused++
		}
		victim.kill()
		if err := errors.Join(os.RemoveAll(victim.dir), os.Rename(whole, victim.dir)); err != nil {
			t.Fatal(err)
		}
		victim.start()
		victim.waitReady()
	}
	report.say(t, "%d damages: %d refused, %d did no harm", damages, refused, right)
	told.Ops, told.Judged = r.load.Recorder.Ops(), true
	if err := r.judge(told.Ops); err != nil {
		t.Error(err)
	}
}

// damage is a fault of the mix: files of a voter that was killed are damaged before it starts again, and in the end it is replaced by another
// replica with an empty disk, as operators are told to do it. The log is left alone, because a majority may rely on its very end, which can't
// be told from what was never synced. One a run is enough, and none while another voter is demoted, as one of two is no majority.
func (r *run) damage(d *rand.Rand) func() {
	whom := r.follower(d)
	if whom == nil || r.removed != nil || len(r.demoted) > 0 {
		return nil
	}
	r.loses(whom)
	whom.kill()
	data := filepath.Join(whom.dir, "data")
	r.damaged = damage(r.t, d, filepath.Join(data, "ledger"), filepath.Join(data, "snapshots"), filepath.Join(data, "FORMAT"))
	r.take()
	whom.start()
	return func() { r.joins("") }
}

// damage damages a file below some paths.
func damage(t *testing.T, dice *rand.Rand, below ...string) (what string) {
	t.Helper()
	var files []string
	for _, root := range below {
		if err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			if info, err := entry.Info(); err == nil && info.Size() > 0 {
				files = append(files, path)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	path := files[dice.IntN(len(files))]
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := dice.IntN(len(text))
	what = "a flipped bit in "
	if dice.IntN(3) == 0 {
		text, what = text[:at], "a cut in "
	} else {
		text[at] ^= 1 << dice.IntN(8)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return what + filepath.Base(path)
}

// writeSome has the load call for a moment. What is unknown of a write has to be known in time.
func (r *run) writeSome(calls int) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	r.load.prepare(ctx)
	for i := range calls {
		c := r.load.caller(i, 'd')
		c.name += time.Now().Format("150405.000000000")
		c.write(ctx)
	}
	if ctx.Err() != nil {
		r.t.Fatalf("waited %s for %d writes", patience, calls)
	}
}

// isRight waits until a replica answers as the others do, or has ended.
func (r *run) isRight(victim *replica) (right bool) {
	r.t.Helper()
	leader := r.leader()
	waitFor(r.t, victim.id+" to answer or to end", func() bool {
		if victim.ended() {
			return true
		}
		got, err := victim.recorded(r.subjects)
		if err != nil {
			return false
		}
		want, err := leader.recorded(r.subjects)
		if err != nil {
			return false
		}
		if right = maps.EqualFunc(got, want, slices.Equal); !right {
			r.t.Errorf("%s answers something else than %s", victim.id, leader.id)
		}
		return true
	})
	return right
}

// TestFullDisk fills the disk of a replica under load, first up to the floor of free space, then wholly, and frees it again.
func TestFullDisk(t *testing.T) {
	if os.Getenv("CHAOSRUNS") == "" {
		t.Skip("it mounts a file system: set CHAOSRUNS")
	}
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=420m"); err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(disk, 0) })
	r := newRunOf(t, 1, 3, 0)
	victim := r.follower(rand.New(rand.NewPCG(1, 1)))
	r.kill(victim)
	if err := errors.Join(os.CopyFS(disk, os.DirFS(victim.dir)), os.RemoveAll(victim.dir), os.Symlink(disk, victim.dir)); err != nil {
		t.Fatal(err)
	}
	r.restart(r.replicas)
	r.waitReady()
	fill := func(bytes int64) error {
		f, err := os.Create(filepath.Join(disk, "filling"))
		if err != nil {
			return err
		}
		_, err = io.CopyN(f, zeros{}, bytes)
		return errors.Join(err, f.Close())
	}
	nemeses["disk full"] = func(r *run, _ *rand.Rand) func() {
		if err := fill(150 << 20); err != nil {
			t.Error(err)
		}
		r.take()
		return nil
	}
	nemeses["disk quite full"] = func(r *run, _ *rand.Rand) func() {
		if err := fill(1 << 30); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("the disk isn't full: %v", err)
		}
		return func() {
			if err := os.Remove(filepath.Join(disk, "filling")); err != nil {
				t.Error(err)
			}
			if victim.ended() {
				r.take()
				t.Logf("%s ended when its disk was full", victim.id)
				victim.reap()
			}
		}
	}
	defer delete(nemeses, "disk full")
	defer delete(nemeses, "disk quite full")
	plan := Plan{{Fault: "disk full", At: time.Second}, {Fault: "disk quite full", At: 3 * time.Second, For: 3 * time.Second}}
	told := NewReport(t, "full disk").Begin(t, 1, plan)
	told.Ops, told.Judged = r.carryOut(plan), true
	told.Refused, told.Took = r.load.Recorder.Refused(), r.took
	if err := r.judge(told.Ops); err != nil {
		t.Error(err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return copy(p, make([]byte, len(p))), nil }
