package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/store"
)

// backupOf returns a node's backup.
func backupOf(tb testing.TB, n *Node) []byte {
	tb.Helper()
	var file bytes.Buffer
	if err := n.BackUp(tb.Context(), &file); err != nil {
		tb.Fatal(err)
	}
	return file.Bytes()
}

// grants is a write of a grant for each of many subjects.
func grants(tb testing.TB, name string, subjects int) consent.Write {
	tb.Helper()
	w := grant(tb, name)
	one := w.Events[0]
	w.Events = nil
	for i := range subjects {
		one.Subject = fmt.Sprint(name, " ", i)
		w.Events = append(w.Events, one)
	}
	return w
}

// backedUp returns a backup with so many subjects, "old 0" and so on, of a cluster with a key.
func backedUp(t *testing.T, key string, subjects int) []byte {
	t.Helper()
	o := memoryOptions(t, vfs.NewMem())
	o.PseudonymKeyFile = key
	n := openNode(t, o)
	if _, _, err := n.PutPolicy(t.Context(), consent.PolicyPut{
		Tenant: "shop", RequestID: newRequestID(t), Document: testPolicy(t),
	}); err != nil {
		t.Fatal(err)
	}
	for from := 0; from < subjects; from += 1000 {
		mustWrite(t, n, grants(t, fmt.Sprint("old ", from/1000), min(1000, subjects-from)))
	}
	return backupOf(t, n)
}

func restoreInto(tb testing.TB, n *Node, replace bool, file []byte) consent.Revision {
	tb.Helper()
	answer, err := n.Restore(tb.Context(), replace, bytes.NewReader(file))
	if err != nil {
		tb.Fatal(err)
	}
	revision, err := consent.ParseRevision(answer.GetRevision())
	if err != nil {
		tb.Fatal(err)
	}
	return revision
}

// keyOf returns the key file that a test cluster shares.
func (c *testCluster) keyOf() string { return c.replicas[c.ids[0]].o.PseudonymKeyFile }

// TestRestoreOnAFollower replaces a cluster that holds something, by a replica that doesn't lead.
func TestRestoreOnAFollower(t *testing.T) {
	c := newCluster(t, 3, 0, nil)
	file := backedUp(t, c.keyOf(), 8000)
	if len(file) < 2*restorePiece {
		t.Fatalf("the backup has only %d bytes", len(file))
	}
	before := mustWrite(t, c.node(c.leader()), grant(t, "new"))
	n := c.node(c.followers()[0])
	view, err := n.View(t.Context(), consent.Consistency{Full: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Restore(t.Context(), false, bytes.NewReader(file)); !errors.Is(err, consent.ErrBackup) {
		t.Fatalf("restored into a cluster that holds something: %v", err)
	}
	revision := restoreInto(t, n, true, file)
	c.waitEqual()
	for _, id := range c.ids {
		n := c.node(id)
		if events := historyOf(t, n, "old 7 999"); len(events) != 1 || events[0].Index == 0 || events[0].Index > revision.Index {
			t.Errorf("%s: restored the history %+v, by index %d", id, events, revision.Index)
		}
		if events := historyOf(t, n, "new"); len(events) != 0 {
			t.Errorf("%s: what was there before is there still: %+v", id, events)
		}
		if _, err := n.View(t.Context(), consent.Consistency{AtLeast: revision}); err != nil {
			t.Errorf("%s: at the restore's revision: %v", id, err)
		}
		if _, err := n.View(t.Context(), consent.Consistency{AtLeast: before.Revision}); !errors.Is(err, consent.ErrEpoch) {
			t.Errorf("%s: at a revision of before: %v, want %v", id, err, consent.ErrEpoch)
		}
	}
	var buf consent.Buffer
	if _, err := n.Record(t.Context(), view.Tenants["shop"], "old 0 0", &buf); !errors.Is(err, consent.ErrNotReady) {
		t.Errorf("a record for the numbers of before: %v, want %v", err, consent.ErrNotReady)
	}
	mustWrite(t, n, grant(t, "newer"))
	c.waitEqual()
	c.crash(c.ids[0], vfs.CrashCloneCfg{})
	c.start(c.ids[0])
	c.waitReady(c.ids[0])
	c.waitEqual()
	for _, id := range c.ids {
		takeSnapshot(t, c.node(id))
		if names, err := c.node(id).dir.fs.List(c.node(id).dir.join(snapshotsDir)); err != nil || len(names) != 1 {
			t.Errorf("%s: left behind: %q, %v", id, names, err)
		}
	}
}

// TestRevisionsOfBeforeRestores: at a revision of one or two restores ago nothing is answered, nor while the restore comes.
func TestRevisionsOfBeforeRestores(t *testing.T) {
	c := newCluster(t, 3, 0, nil)
	file := backedUp(t, c.keyOf(), 10)
	n := c.node(c.leader())
	var before []consent.Revision
	for range 3 {
		r := mustWrite(t, n, grant(t, "new")).Revision
		stop := make(chan struct{})
		var asking sync.WaitGroup
		for _, id := range c.ids {
			for range 4 {
				asking.Go(func() { askAtUntil(t, c.node(id), r, stop) })
			}
		}
		before = append(before, r)
		restored := restoreInto(t, n, true, file)
		close(stop)
		asking.Wait()
		for _, id := range c.ids {
			if _, err := c.node(id).View(t.Context(), consent.Consistency{AtLeast: restored}); err != nil {
				t.Errorf("%s: at the restore's revision: %v", id, err)
			}
			for _, r := range before {
				if _, err := c.node(id).View(t.Context(), consent.Consistency{AtLeast: r}); !errors.Is(err, consent.ErrEpoch) {
					t.Errorf("%s: at %s, which is of before: %v, want %v", id, r, err, consent.ErrEpoch)
				}
			}
		}
	}
}

// askAtUntil asks for views at a revision, which are of its epoch or none.
func askAtUntil(t *testing.T, n *Node, r consent.Revision, stop <-chan struct{}) {
	t.Helper()
	for {
		view, err := n.View(t.Context(), consent.Consistency{AtLeast: r, Full: true})
		if err == nil && view.Revision.Epoch != r.Epoch {
			t.Errorf("at %s: answered from the state at %s", r, view.Revision)
			return
		}
		select {
		case <-stop:
			return
		default:
		}
	}
}

// TestRestoreRefuses what isn't whole, or another's, and changes nothing then.
func TestRestoreRefuses(t *testing.T) {
	o := memoryOptions(t, vfs.NewMem())
	n := openNode(t, o)
	file := backedUp(t, o.PseudonymKeyFile, 60)
	mustWrite(t, n, grant(t, "new"))
	before, last := stateHash(t, n), n.Stats().Last
	refuse := func(what string, file []byte) {
		t.Helper()
		_, err := n.Restore(t.Context(), true, bytes.NewReader(file))
		if !errors.Is(err, consent.ErrBackup) {
			t.Errorf("%s: %v, want %v", what, err, consent.ErrBackup)
		}
		if _, err := Inspect(bytes.NewReader(file)); what != "another key" && !errors.Is(err, consent.ErrBackup) {
			t.Errorf("%s: inspected: %v, want %v", what, err, consent.ErrBackup)
		}
	}
	for part := range 16 {
		refuse(fmt.Sprintf("cut to %d/16", part), file[:len(file)*part/16])
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		at := random.IntN(len(file))
		altered := bytes.Clone(file)
		altered[at] ^= 1 << random.IntN(8)
		refuse(fmt.Sprint("a flipped bit in byte ", at), altered)
	}
	refuse("without its last byte", file[:len(file)-1])
	refuse("going on", append(bytes.Clone(file), 0))
	refuse("something else", append([]byte("PK\x03\x04"), file[4:]...))
	refuse("another version", bytes.Replace(file, []byte(backupMagic), []byte(backupTitle+"9\n"), 1))
	refuse("another key", backedUp(t, memoryOptions(t, vfs.NewMem()).PseudonymKeyFile, 3))
	head, err := readBackupHead(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	stream := file[len(head.encode()):]
	head.index++
	refuse("another's head", append(head.encode(), stream...))
	if stateHash(t, n) != before || n.Stats().Last != last {
		t.Error("a file that was refused has changed something")
	}
	if names, err := n.dir.fs.List(n.dir.join(snapshotsDir)); err != nil || len(names) != 0 {
		t.Errorf("left behind: %q, %v", names, err)
	}
	mustWrite(t, n, grant(t, "anna"))
}

// TestReaderThatFails: its error is told, and nothing else has happened.
func TestReaderThatFails(t *testing.T) {
	o := memoryOptions(t, vfs.NewMem())
	n := openNode(t, o)
	file := backedUp(t, o.PseudonymKeyFile, 10)
	gone := errors.New("the caller is gone")
	failing := func() io.Reader { return io.MultiReader(bytes.NewReader(file[:len(file)/2]), &failingReader{gone}) }
	if _, err := n.Restore(t.Context(), false, failing()); !errors.Is(err, gone) || errors.Is(err, consent.ErrBackup) {
		t.Errorf("Restore = %v, want %v", err, gone)
	}
	if _, err := Inspect(failing()); !errors.Is(err, gone) || errors.Is(err, consent.ErrBackup) {
		t.Errorf("Inspect = %v, want %v", err, gone)
	}
	restoreInto(t, n, false, file) // into an empty cluster
}

type failingReader struct{ err error }

func (r *failingReader) Read([]byte) (int, error) { return 0, r.err }

// TestBackupHoldsWhatWasAcknowledged makes backups on all replicas while one writes.
func TestBackupHoldsWhatWasAcknowledged(t *testing.T) {
	c := newCluster(t, 3, 0, nil)
	n := c.node(c.leader())
	for i := range 15 {
		w := mustWrite(t, n, grant(t, fmt.Sprint("subject ", i)))
		info, err := Inspect(bytes.NewReader(backupOf(t, c.node(c.ids[i%3]))))
		if err != nil {
			t.Fatal(err)
		}
		if info.Index < w.Revision.Index || info.Epoch != w.Revision.Epoch || info.Subjects != i+1 || info.Events != i+1 {
			t.Fatalf("a backup of index %d with %d subjects, after a write at %d", info.Index, info.Subjects, w.Revision.Index)
		}
	}
}

// TestCrashWhileRestoring loses the power of the leader, a follower or all replicas at some moment of a restore. After that the cluster is
// the old one or the restored one, on all replicas alike, and takes writes.
func TestCrashWhileRestoring(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for round := range 9 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			c := newCluster(t, 3, 0, func(o *Options) { o.tuning.trailingLogs = 1 })
			file := backedUp(t, c.keyOf(), 4000)
			leader := c.leader()
			mustWrite(t, c.node(leader), grant(t, "new"))
			old := c.node(leader).store.Head().Revision.Epoch
			victims := map[int][]string{0: {leader}, 1: c.followers()[:1], 2: c.ids}[round%3]
			from := c.node(c.followers()[1])

			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var restored error
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, restored = from.Restore(ctx, true, bytes.NewReader(file))
			}()
			at := c.node(leader).store.Applied() + 1 + uint64(random.IntN(8))
			waitFor(t, "the restore to be on its way", func() bool { return c.node(leader).store.Applied() >= at || isClosed(done) })
			for _, id := range victims {
				c.crash(id, vfs.CrashCloneCfg{UnsyncedDataPercent: random.IntN(101), RNG: random})
			}
			if len(victims) > 1 {
				cancel()
			}
			for _, id := range victims {
				c.start(id)
			}
			<-done
			c.waitReady(c.ids...)
			mustWrite(t, c.node(c.leader()), grant(t, "after"))
			c.waitEqual()
			n := c.node(c.ids[0])
			isNew := n.store.Head().Revision.Epoch != old
			if restored == nil && !isNew {
				t.Error("the restore was acknowledged, and is gone")
			}
			if has := len(historyOf(t, n, "old 3 999")) == 1; has != isNew || isNew == (len(historyOf(t, n, "new")) == 1) {
				t.Errorf("the state is neither the old one nor the restored one (restored: %t)", isNew)
			}
			if n.store.Restoring() {
				t.Error("the restore is still on its way")
			}
		})
	}
}

func isClosed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// TestWritesWaitForARestore: they aren't lost, and not acknowledged into a state that is about to go.
func TestWritesWaitForARestore(t *testing.T) {
	o := memoryOptions(t, vfs.NewMem())
	n := openNode(t, o)
	file := backedUp(t, o.PseudonymKeyFile, 3000)
	ctx, cancel := context.WithCancel(t.Context())
	var writer sync.WaitGroup
	var acknowledged []consent.WriteResult
	var subjects []string
	writer.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			subject := fmt.Sprint("written ", i)
			r, err := n.Write(t.Context(), grant(t, subject))
			if err != nil {
				t.Errorf("a write meanwhile: %v", err)
				return
			}
			acknowledged, subjects = append(acknowledged, r), append(subjects, subject)
		}
	})
	revision := restoreInto(t, n, true, file)
	cancel()
	writer.Wait()
	for i, r := range acknowledged {
		if r.Revision.Epoch == revision.Epoch && len(historyOf(t, n, subjects[i])) == 0 {
			t.Errorf("%s was acknowledged in the new epoch, and is gone", subjects[i])
		}
	}
}

// TestRestoreThatIsLeftAlone: whoever sent it is gone, and writes go on after a while of stamped time.
func TestRestoreThatIsLeftAlone(t *testing.T) {
	n := openNode(t, memoryOptions(t, vfs.NewMem()))
	if _, err := n.commit(t.Context(), store.Command{Restore: &store.RestoreCommand{Epoch: 5, Piece: []byte("half")}}); err != nil {
		t.Fatal(err)
	}
	if err := n.raft.Snapshot().Error(); err == nil || !strings.Contains(err.Error(), errRestoring.Error()) {
		t.Errorf("a snapshot meanwhile: %v, want %v", err, errRestoring)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.Restore(ctx, false, strings.NewReader("")); !errors.Is(err, context.Canceled) {
		t.Errorf("a restore whose caller is gone: %v", err)
	}
	if _, err := n.commit(t.Context(), store.Command{Restore: &store.RestoreCommand{Epoch: 5, Step: store.RestoreGiveUp}}); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, n, grant(t, "anna"))
	takeSnapshot(t, n)
}

// TestFileThatChangesAfterItWasVerified: what is sent is compared with what was verified, and no replica stops.
func TestFileThatChangesAfterItWasVerified(t *testing.T) {
	o := memoryOptions(t, vfs.NewMem())
	file := backedUp(t, o.PseudonymKeyFile, 200)
	o.FS = &alteringFS{FS: vfs.NewMem()}
	n := openNode(t, o)
	mustWrite(t, n, grant(t, "anna"))
	if _, err := n.Restore(t.Context(), true, bytes.NewReader(file)); !errors.Is(err, consent.ErrBackup) {
		t.Errorf("Restore = %v, want %v", err, consent.ErrBackup)
	}
	mustWrite(t, n, grant(t, "anna"))
	if events := historyOf(t, n, "anna"); len(events) != 2 || n.failure.err() != nil {
		t.Errorf("%d events, failure %v", len(events), n.failure.err())
	}
}

// alteringFS gives another byte when a backup is read the second time.
type alteringFS struct {
	vfs.FS
	opened atomic.Int32
}

func (a *alteringFS) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := a.FS.Open(name, o...)
	if err == nil && strings.Contains(name, "backup-") && a.opened.Add(1) == 2 {
		f = &alteringFile{File: f}
	}
	return f, err
}

type alteringFile struct {
	vfs.File
	read int
}

func (a *alteringFile) Read(p []byte) (int, error) {
	const at = 3000
	n, err := a.File.Read(p)
	if a.read <= at && at < a.read+n {
		p[at-a.read] ^= 1
	}
	a.read += n
	return n, err
}

// TestGarbageOfAPeerStopsNobody: its checksum fits, and it is no backup.
func TestGarbageOfAPeerStopsNobody(t *testing.T) {
	c := newCluster(t, 3, 0, nil)
	leader := c.node(c.leader())
	mustWrite(t, leader, grant(t, "anna"))
	garbage := []byte("garbage")
	steps := []store.RestoreCommand{
		{Replace: true, Piece: garbage},
		{Step: store.RestoreWhole, Offset: uint64(len(garbage)), Sum: sha256.Sum256(garbage)},
		{Step: store.RestoreFinish},
	}
	for i := range steps {
		steps[i].Epoch = 9
		command := store.Command{Restore: &steps[i]}
		answers, err := leader.Propose(t.Context(), [][]byte{store.EncodeCommand(command)})
		if err != nil {
			t.Fatal(err)
		}
		_, err = decodeOutcome(answers[0], &command)
		if last := i == len(steps)-1; errors.Is(err, consent.ErrBackup) != last {
			t.Errorf("step %d: %v", i, err)
		}
	}
	mustWrite(t, leader, grant(t, "anna"))
	c.waitEqual()
	for _, id := range c.ids {
		if err := c.node(id).failure.err(); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// TestUploadEndsWhereTheDiskIsFull, and not where the file does.
func TestUploadEndsWhereTheDiskIsFull(t *testing.T) {
	o := memoryOptions(t, vfs.NewMem())
	n := openNode(t, o)
	file := backedUp(t, o.PseudonymKeyFile, 10)
	rest := bytes.NewReader(file[100:])
	filling := io.MultiReader(bytes.NewReader(file[:100]), &fillingReader{space: n.space}, rest)
	if _, err := n.Restore(t.Context(), false, filling); !errors.Is(err, consent.ErrStorageFull) {
		t.Errorf("Restore = %v, want %v", err, consent.ErrStorageFull)
	}
	if rest.Len() != len(file)-100 {
		t.Errorf("%d bytes were still read onto the full disk", len(file)-100-rest.Len())
	}
}

// fillingReader has nothing, and the disk is full when it is first read.
type fillingReader struct {
	space *diskSpace
	ended bool
}

func (r *fillingReader) Read([]byte) (int, error) {
	if r.ended {
		return 0, io.EOF
	}
	r.space.full.Store(true)
	r.ended = true
	return 0, nil
}
