package cluster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/consentd/consentd/store"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
)

// takeSnapshot has Raft take a snapshot, and returns what its marker says.
func takeSnapshot(t *testing.T, n *Node) *snapshotInfo {
	t.Helper()
	if err := n.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	return n.snapshots.latest()
}

func TestSnapshotCutsTheLog(t *testing.T) {
	o := memoryOptions(t, vfs.NewMem())
	o.tuning.trailingLogs = 1
	n := openNode(t, o)
	for range 10 {
		mustWrite(t, n, grant(t, "anna"))
	}
	info := takeSnapshot(t, n)
	if applied := n.store.Applied(); info.covers != applied || info.meta.Index != applied {
		t.Errorf("the snapshot at %d covers %d, want both %d", info.meta.Index, info.covers, applied)
	}
	first, _ := n.logs.FirstIndex()
	last, _ := n.logs.LastIndex()
	if first != last {
		t.Errorf("the log holds %d to %d, want one entry", first, last)
	}
	takeSnapshot(t, n) // the same again
	names, err := n.dir.fs.List(n.dir.join(snapshotsDir))
	if err != nil || len(names) != 1 {
		t.Errorf("snapshots kept: %q, %v, want the newest", names, err)
	}
	closeNode(t, n)
	n = openNode(t, o)
	if events := historyOf(t, n, "anna"); len(events) == 0 {
		t.Error("the history is gone")
	}
	if n.Stats().Covered != info.covers {
		t.Errorf("stats say that %d is covered, want %d", n.Stats().Covered, info.covers)
	}
}

func TestSnapshotsAreTakenBySize(t *testing.T) {
	o := memoryOptions(t, vfs.NewMem())
	o.tuning.snapshotInterval, o.tuning.snapshotEntries = 5*time.Millisecond, 3
	n := openNode(t, o)
	for range 5 {
		mustWrite(t, n, grant(t, "anna"))
	}
	waitFor(t, "a snapshot", func() bool { return n.Stats().Covered > 0 })
}

// stream returns the stream of a node's newest snapshot, as Raft would send it.
func stream(t *testing.T, n *Node) (meta *raft.SnapshotMeta, contents []byte) {
	t.Helper()
	meta, r, err := n.snapshots.Open(n.snapshots.latest().meta.ID)
	if err != nil {
		t.Fatal(err)
	}
	contents, err = io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	if int64(len(contents)) != meta.Size {
		t.Errorf("the stream has %d bytes, and %d were announced", len(contents), meta.Size)
	}
	return meta, contents
}

// A snapshot is streamed to another replica as the state stands then, which may be beyond the snapshot's index.
func TestSnapshotStream(t *testing.T) {
	from := openNode(t, memoryOptions(t, vfs.NewMem()))
	for i := range 50 {
		mustWrite(t, from, grant(t, fmt.Sprint("subject ", i)))
	}
	info := takeSnapshot(t, from)
	mustWrite(t, from, grant(t, "after the snapshot"))
	_, contents := stream(t, from)
	if names, err := from.dir.fs.List(from.dir.join(snapshotsDir)); err != nil || len(names) != 1 {
		t.Errorf("left behind after the stream was sent: %q, %v", names, err)
	}

	to := openNode(t, memoryOptions(t, vfs.NewMem()))
	machine := &fsm{store: to.store, report: func(err error) { t.Error(err) }}
	if err := machine.Restore(io.NopCloser(bytes.NewReader(contents))); err != nil {
		t.Fatal(err)
	}
	if got, want := to.store.Applied(), from.store.Applied(); got != want || want <= info.meta.Index {
		t.Errorf("restored up to %d, want %d, beyond the snapshot's %d", got, want, info.meta.Index)
	}
	if stateHash(t, to) != stateHash(t, from) {
		t.Error("the restored state differs")
	}
	// What follows the snapshot in the log is there already, and skipped.
	var entry raft.Log
	if err := from.logs.GetLog(info.meta.Index+1, &entry); err != nil {
		t.Fatal(err)
	}
	if answer := machine.ApplyBatch([]*raft.Log{&entry})[0]; fmt.Sprint(answer) != "[]" {
		t.Errorf("an entry that the stream covers was answered %v", answer)
	}
}

// TestLateStream: a stream that covers less than is applied takes nothing back.
func TestLateStream(t *testing.T) {
	n := openNode(t, memoryOptions(t, vfs.NewMem()))
	mustWrite(t, n, grant(t, "anna"))
	takeSnapshot(t, n)
	_, contents := stream(t, n)
	mustWrite(t, n, grant(t, "bert"))
	before, applied := stateHash(t, n), n.store.Applied()
	machine := &fsm{store: n.store, report: func(err error) { t.Error(err) }}
	if err := machine.Restore(io.NopCloser(bytes.NewReader(contents))); err != nil {
		t.Fatal(err)
	}
	if stateHash(t, n) != before || n.store.Applied() != applied {
		t.Errorf("the state went back from index %d to %d", applied, n.store.Applied())
	}
}

// TestStreamDamagedOnItsWay is refused before Raft takes it for a snapshot.
func TestStreamDamagedOnItsWay(t *testing.T) {
	from := openNode(t, memoryOptions(t, vfs.NewMem()))
	mustWrite(t, from, grant(t, "anna"))
	takeSnapshot(t, from)
	meta, contents := stream(t, from)
	to := openNode(t, memoryOptions(t, vfs.NewMem()))
	receive := func(contents []byte) error {
		s, err := to.snapshots.Create(raft.SnapshotVersionMax, meta.Index, meta.Term, meta.Configuration, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		for part := range bytes.SplitAfterSeq(contents, []byte("e")) {
			if _, err := s.Write(part); err != nil {
				t.Fatal(err)
			}
		}
		return s.Close()
	}
	for at := range contents {
		if err := receive(flipped(contents, at)); err == nil {
			t.Errorf("a flipped bit in byte %d of %d was taken", at, len(contents))
		}
	}
	if err := receive(contents[:len(contents)/2]); !errors.Is(err, store.ErrSnapshot) {
		t.Errorf("half of it: %v, want %v", err, store.ErrSnapshot)
	}
	if to.snapshots.latest() != nil {
		t.Error("one of them counts")
	}
	if err := receive(contents); err != nil || !to.snapshots.latest().streamed {
		t.Errorf("what is whole was refused: %v", err)
	}
	if names, err := to.dir.fs.List(to.dir.join(snapshotsDir)); err != nil || len(names) != 2 {
		t.Errorf("kept: %q, %v, want a stream and its marker", names, err)
	}
}

func TestDamagedStreamIsRefused(t *testing.T) {
	from := openNode(t, memoryOptions(t, vfs.NewMem()))
	for range 20 { // so that it is ahead of the one that takes it
		mustWrite(t, from, grant(t, "anna"))
	}
	takeSnapshot(t, from)
	_, contents := stream(t, from)

	to := openNode(t, memoryOptions(t, vfs.NewMem()))
	mustWrite(t, to, grant(t, "bert"))
	hash := stateHash(t, to)
	for _, tt := range []struct {
		name    string
		damaged []byte
	}{
		{"nothing", nil},
		{"half", contents[:len(contents)/2]},
		{"another head", append([]byte("x"), contents[1:]...)},
		{"a flipped bit", flipped(contents, len(contents)/2)},
		{"without an end", contents[:len(contents)-1]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var reported error
			machine := &fsm{store: to.store, report: func(err error) { reported = err }}
			if err := machine.Restore(io.NopCloser(bytes.NewReader(tt.damaged))); err == nil || reported == nil {
				t.Fatalf("restored: %v, reported: %v", err, reported)
			}
			if _, err := machine.Snapshot(); !errors.Is(err, errStopped) {
				t.Errorf("a snapshot after a failed restore: %v", err)
			}
			if stateHash(t, to) != hash {
				t.Error("the state before is gone")
			}
		})
	}
	lying := append(streamHead(1000), contents[streamHeadBytes:]...)
	if err := restore(to.store, bytes.NewReader(lying)); !errors.Is(err, errStream) {
		t.Errorf("a stream that covers more than its head says: %v", err)
	}
}

func flipped(contents []byte, at int) []byte {
	damaged := bytes.Clone(contents)
	damaged[at] ^= 4
	return damaged
}

// TestReceivedSnapshotIsRestoredAtTheNextStart crashes a replica between receiving another's snapshot and restoring it.
func TestReceivedSnapshotIsRestoredAtTheNextStart(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	fromOptions, toOptions := memoryOptions(t, vfs.NewMem()), memoryOptions(t, vfs.NewMem())
	fromOptions.PseudonymKeyFile, toOptions.PseudonymKeyFile = key, key
	from := openNode(t, fromOptions)
	for range 20 {
		mustWrite(t, from, grant(t, "anna"))
	}
	takeSnapshot(t, from)
	meta, contents := stream(t, from)

	to := openNode(t, toOptions)
	configuration := to.raft.GetConfiguration().Configuration()
	term := to.Stats().Term
	s, err := to.snapshots.Create(raft.SnapshotVersionMax, meta.Index, max(meta.Term, term), configuration, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(s, bytes.NewReader(contents)); err != nil || n != meta.Size {
		t.Fatalf("received %d bytes, %v", n, err)
	}
	if err := errors.Join(s.Close(), s.Cancel(), s.Close()); err != nil {
		t.Fatal(err)
	}
	closeNode(t, to)

	to = openNode(t, toOptions)
	if diff := cmp.Diff(historyOf(t, from, "anna"), historyOf(t, to, "anna")); diff != "" {
		t.Error(diff)
	}
	if result := mustWrite(t, to, grant(t, "bert")); result.Revision.Index <= meta.Index {
		t.Errorf("wrote at %d, and the snapshot is at %d", result.Revision.Index, meta.Index)
	}
	takeSnapshot(t, to)
	if names, err := to.dir.fs.List(to.dir.join(snapshotsDir)); err != nil || len(names) != 1 {
		t.Errorf("snapshots kept: %q, %v, want one without a stream", names, err)
	}
}

// Raft takes snapshots beside its main work. One that was begun before another replica's came must not take the place of that, for which
// Raft has removed its log: the next start would refuse the directory.
func TestOwnSnapshotIsOvertakenByAReceivedOne(t *testing.T) {
	n := openNode(t, memoryOptions(t, vfs.NewMem()))
	taken := takeSnapshot(t, n).meta.Index
	_, contents := stream(t, n)
	create := func(index uint64) raft.SnapshotSink {
		s, err := n.snapshots.Create(raft.SnapshotVersionMax, index, 1, raft.Configuration{}, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	older, same, received := create(taken+1), create(taken+2), create(taken+2)
	if _, err := received.Write(contents); err != nil {
		t.Fatal(err)
	}
	if err := received.Close(); err != nil {
		t.Fatal(err)
	}
	if err := older.Close(); !errors.Is(err, errOvertaken) {
		t.Errorf("the older one: %v", err)
	}
	if err := same.Close(); err != nil {
		t.Errorf("one at the same index: %v", err)
	}
	if newest := n.snapshots.latest(); !newest.streamed || newest.meta.Index != taken+2 {
		t.Errorf("the newest is %+v", newest)
	}
	if err := create(taken + 3).Close(); err != nil || n.snapshots.latest().meta.Index != taken+3 {
		t.Errorf("a newer one of our own: %v, %+v", err, n.snapshots.latest())
	}
}

func TestCancelledSnapshotLeavesNothing(t *testing.T) {
	n := openNode(t, memoryOptions(t, vfs.NewMem()))
	s, err := n.snapshots.Create(raft.SnapshotVersionMax, 9, 1, raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Cancel(), s.Cancel(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if names, err := n.dir.fs.List(n.dir.join(snapshotsDir)); err != nil || len(names) != 0 {
		t.Errorf("left behind: %q, %v", names, err)
	}
	if metas, err := n.snapshots.List(); err != nil || len(metas) != 0 {
		t.Errorf("listed: %v, %v", metas, err)
	}
	if _, _, err := n.snapshots.Open("9-1-1"); err == nil {
		t.Error("a snapshot that was never finished can be opened")
	}
}

func TestDamagedMarkerStopsTheStart(t *testing.T) {
	fs := vfs.NewMem()
	o := memoryOptions(t, fs)
	n := openNode(t, o)
	mustWrite(t, n, grant(t, "anna"))
	path := n.snapshots.path(takeSnapshot(t, n).meta.ID + markerSuffix)
	closeNode(t, n)
	contents, err := fs.UnsafeGetFileDataBuffer(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := range contents {
		contents[at] ^= 0x20
		if _, err := Open(t.Context(), o); !errors.Is(err, ErrDataDir) || !strings.Contains(err.Error(), path) {
			t.Errorf("byte %d: %v, want %v with the file's name", at, err, ErrDataDir)
		}
		contents[at] ^= 0x20
	}
	openNode(t, o)
}

func TestSnapshotMarkerRoundTrip(t *testing.T) {
	want := &snapshotInfo{
		meta: raft.SnapshotMeta{
			Version: raft.SnapshotVersionMax, Index: 70_000, Term: 3, Size: 12, ConfigurationIndex: 5,
			Configuration: raft.Configuration{Servers: []raft.Server{{ID: "a", Address: "b", Suffrage: raft.Nonvoter}}},
		},
		covers: 70_001, streamed: true,
	}
	got, ok := decodeSnapshot(want.encode())
	if !ok {
		t.Fatal("not decoded")
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(snapshotInfo{})); diff != "" {
		t.Error(diff)
	}
}

// FuzzDecodeSnapshot also cuts a marker, puts something else behind the cut, and seals it, or nothing but the checksum would be tested.
func FuzzDecodeSnapshot(f *testing.F) {
	f.Add(uint64(1), uint64(1), uint64(2), uint64(0), uint64(1), "a", uint(7), "\x81")
	f.Add(uint64(1)<<63, uint64(1)<<40, uint64(0), uint64(1)<<62, uint64(127), "", uint(0), "")
	f.Fuzz(func(t *testing.T, index, term, covers, size, configurationIndex uint64, id string, cut uint, tail string) {
		want := &snapshotInfo{covers: covers, streamed: size > 0, meta: raft.SnapshotMeta{
			Version: raft.SnapshotVersionMax, Index: index, Term: term, Size: int64(size), ConfigurationIndex: configurationIndex,
			Configuration: raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(id), Address: "b"}}},
		}}
		sealed := want.encode()
		got, ok := decodeSnapshot(sealed)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(snapshotInfo{})); !ok || diff != "" {
			t.Errorf("decoded: %t\n%s", ok, diff)
		}
		cut %= uint(len(sealed) - 4)
		body := append(bytes.Clone(sealed[:cut]), tail...)
		if got, ok := decodeSnapshot(binary.LittleEndian.AppendUint32(body, entryChecksum(0, body))); ok && tail == "" {
			t.Errorf("%d of %d bytes were taken for %+v", cut, len(sealed)-4, got)
		}
	})
}
