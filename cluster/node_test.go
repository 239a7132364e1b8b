package cluster

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/consentd/consentd/consent"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
)

func TestRestartKeepsEverything(t *testing.T) {
	o := Options{DataDir: filepath.Join(t.TempDir(), "a", "b"), tuning: quick}
	n := openNode(t, o)
	write := grant(t, "anna")
	first := mustWrite(t, n, write)
	put := consent.PolicyPut{Tenant: "shop", RequestID: newRequestID(t), Document: testPolicy(t)}
	version, changed, err := n.PutPolicy(t.Context(), put)
	if err != nil || !changed || version.Version != 1 {
		t.Fatalf("PutPolicy: version %d, changed %t, %v", version.Version, changed, err)
	}
	before, stats := historyOf(t, n, "anna"), n.Stats()
	closeNode(t, n)

	n = openNode(t, o)
	if diff := cmp.Diff(before, historyOf(t, n, "anna")); diff != "" {
		t.Error(diff)
	}
	if got := n.Stats(); got.NodeID != stats.NodeID || got.Term <= stats.Term || got.Applied <= stats.Applied {
		t.Errorf("stats after the restart: %+v, before: %+v", got, stats)
	}
	if got := mustWrite(t, n, write); !cmp.Equal(got, first) {
		t.Errorf("the repeated write returned %+v, and %+v the first time", got, first)
	}
	if got, err := n.Policy(t.Context(), "shop", 0); err != nil || !cmp.Equal(got, version) {
		t.Errorf("Policy: %+v, %v, want %+v", got, err, version)
	}
	if versions, err := n.PolicyVersions(t.Context(), "shop", 0, 10); err != nil || len(versions) != 1 {
		t.Errorf("PolicyVersions: %+v, %v", versions, err)
	}
	view, err := n.View(t.Context(), consent.Consistency{AtLeast: first.Revision, Full: true})
	if err != nil {
		t.Fatal(err)
	}
	var buf consent.Buffer
	record, err := n.Record(t.Context(), view.Tenants["shop"], "anna", &buf)
	if err != nil || record == nil || record.Index() != first.Revision.Index {
		t.Errorf("record at index %d, %v, want it at %d", record.Index(), err, first.Revision.Index)
	}
}

func testPolicy(t *testing.T) []byte {
	t.Helper()
	document, err := os.ReadFile("../examples/shop/policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func TestOneVoterLeadsSoon(t *testing.T) {
	o := memoryOptions(t, vfs.NewMem())
	o.tuning = tuning{} // as in production
	began := time.Now()
	openNode(t, o)
	if took := time.Since(began); took > time.Second {
		t.Errorf("ready after %s, want well under a second", took)
	}
}

func TestEachRecordAndPreview(t *testing.T) {
	n := openNode(t, memoryOptions(t, vfs.NewMem()))
	for _, subject := range []string{"anna", "bert", "carl"} {
		mustWrite(t, n, grant(t, subject))
	}
	before := n.Stats().Applied
	result, err := n.Preview(t.Context(), grant(t, "anna"))
	if err != nil || len(result.Effects) != 1 {
		t.Errorf("Preview: %+v, %v", result, err)
	}
	if after := n.Stats().Applied; after != before {
		t.Errorf("the preview moved the log from %d to %d", before, after)
	}
	seen, tenant := 0, n.store.Head().Tenants["shop"]
	if err := n.EachRecord(t.Context(), tenant, func(consent.Record) error { seen++; return nil }); err != nil || seen != 3 {
		t.Errorf("EachRecord saw %d records, %v", seen, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.EachRecord(ctx, tenant, func(consent.Record) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("EachRecord after the caller left: %v", err)
	}
}

func TestSubjectsAreBehindTheDoor(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, Options{DataDir: dir, tuning: quick})
	const subject = "anna.lindqvist@example.org"
	mustWrite(t, n, grant(t, subject))
	closeNode(t, n)
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		contents, err := os.ReadFile(path)
		if strings.Contains(string(contents), "lindqvist") {
			t.Errorf("%s holds the subject's id", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOptionsValidate(t *testing.T) {
	err := Options{NodeID: "a b", MaxStaleness: time.Millisecond, DiskStall: 1, MaxWaiting: -1}.Validate()
	for _, fault := range []string{"DataDir", "NodeID", "MaxStaleness", "DiskStall", "MaxWaiting"} {
		if err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%v doesn't name %s", err, fault)
		}
	}
	if err := (Options{DataDir: "x"}).Validate(); err != nil {
		t.Errorf("the least options: %v", err)
	}
	for staleness, fits := range map[time.Duration]bool{
		time.Second - 1: false, time.Second: true, time.Hour: true, time.Hour + 1: false, -time.Second: false,
	} {
		if err := (Options{DataDir: "x", MaxStaleness: staleness}).Validate(); (err == nil) != fits {
			t.Errorf("MaxStaleness %s: %v, want it taken: %t", staleness, err, fits)
		}
	}
	if _, err := Open(t.Context(), Options{}); err == nil {
		t.Error("Open without a directory succeeded")
	}
}

func TestOpenRefuses(t *testing.T) {
	// Each case changes a directory that a node has used and left, or how it is opened.
	overwrite := func(name, contents string) func(*Options) error {
		return func(o *Options) error { return os.WriteFile(filepath.Join(o.DataDir, name), []byte(contents), 0o600) }
	}
	remove := func(names ...string) func(*Options) error {
		return func(o *Options) (err error) {
			for _, name := range names {
				err = errors.Join(err, os.RemoveAll(filepath.Join(o.DataDir, name)))
			}
			return err
		}
	}
	foreign := t.TempDir()
	tests := []struct {
		name    string
		prepare func(o *Options) error
		want    error
		says    string // a part of the message
	}{
		{"a directory of something else", func(o *Options) error {
			o.DataDir = foreign
			return os.WriteFile(filepath.Join(foreign, "holiday.jpg"), nil, 0o600)
		}, ErrDataDir, "choose an empty directory"},
		{"a directory of another format", overwrite(formatFile, "consentd data directory, format 9\n"), ErrDataDir,
			"run the version that wrote it"},
		{"a damaged marker", overwrite(formatFile, formatTitle+format+"\nnode: \n"), ErrDataDir, formatFile + " is damaged: " + repair},
		{"an empty marker", overwrite(formatFile, ""), ErrDataDir, formatFile + " is damaged: " + repair},
		{"a marker of no number", overwrite(formatFile, formatTitle), ErrDataDir, formatFile + " is damaged: " + repair},
		{"a lost marker", remove(formatFile), ErrDataDir, "put it back if you have moved it"},
		{"another node's directory", func(o *Options) error { o.NodeID = "someone-else"; return nil }, ErrDataDir, "leave the node id out"},
		{"a missing key", remove(keyFile), ErrPseudonymKey, "is missing"},
		{"another key", overwrite(keyFile, keyHeader+strings.Repeat("ab", 16)+"\n"), ErrPseudonymKey, "isn't the key of this cluster"},
		{"no key", overwrite(keyFile, "abc\n"), ErrPseudonymKey, "32 hexadecimal digits"},
		{"a lost log and snapshot", remove(logDir, snapshotsDir), ErrDataDir, "log is gone"},
		{"a lost log behind a snapshot", remove(logDir), ErrDataDir, "log is gone"},
		{"a lost ledger", remove(ledgerDir), ErrDataDir, "the log was cut"},
		{"a lost snapshot", remove(snapshotsDir), ErrDataDir, "the snapshot ends at 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{DataDir: t.TempDir(), tuning: quick}
			o.tuning.trailingLogs = 1
			leaveBehind(t, o)
			if err := tt.prepare(&o); err != nil {
				t.Fatal(err)
			}
			_, err := Open(t.Context(), o)
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v, want %v with %q", err, tt.want, tt.says)
			}
		})
	}
}

// leaveBehind runs a node that writes, takes a snapshot, writes, and closes.
func leaveBehind(t *testing.T, o Options) {
	t.Helper()
	n := openNode(t, o)
	for range 5 {
		mustWrite(t, n, grant(t, "anna"))
	}
	if err := n.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, n, grant(t, "anna"))
	closeNode(t, n)
}

func TestSecondProcessIsRefused(t *testing.T) {
	o := Options{DataDir: t.TempDir(), tuning: quick}
	n := openNode(t, o)
	if _, err := Open(t.Context(), o); !errors.Is(err, ErrDataDir) || !strings.Contains(err.Error(), "stop the other consentd") {
		t.Errorf("a second node in the same directory: %v", err)
	}
	closeNode(t, n)
	openNode(t, o)
}

// A first start may be cut short anywhere before the replica is a member.
func TestFirstStartGoesOn(t *testing.T) {
	fs := vfs.NewMem()
	o := memoryOptions(t, fs)
	d, err := openDataDir(fs, o.DataDir, "first")
	if err != nil {
		t.Fatal(err)
	}
	logs, err := openLogStore(fs, d.join(logDir), quiet{}, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	// Raft's bootstrap got as far as the term.
	if err := errors.Join(logs.SetUint64(currentTermKey, 1), logs.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
	n := openNode(t, o)
	mustWrite(t, n, grant(t, "anna"))
	if id := n.Stats().NodeID; id != "first" {
		t.Errorf("node id %q, want the one recorded", id)
	}
}

func TestKeyFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "k")
	if err := NewKeyFile(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	made, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if key, err := parseKey(path, string(made)); err != nil || key == [16]byte{} {
		t.Errorf("the key is %x, %v", key, err)
	}
	wantError(t, NewKeyFile(path), ErrPseudonymKey, "is there already")
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, made) {
		t.Errorf("the key was replaced: %v", err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("left behind: %v, %v", files, err)
	}
	another := filepath.Join(dir, "another")
	if err := NewKeyFile(another); err != nil {
		t.Fatal(err)
	}
	if second, err := os.ReadFile(another); err != nil || bytes.Equal(second, made) {
		t.Errorf("the second key is the first: %v", err)
	}
}

// A key that the state machine finds to be another cluster's, because the ledger didn't have the check value yet, ends the process.
func TestTermStartWithAnotherKey(t *testing.T) {
	n := openNode(t, memoryOptions(t, vfs.NewMem()))
	n.leader.start.CheckValue[0]++
	if _, err := n.leader.propose(); err == nil {
		t.Fatal("a term start with another key succeeded")
	}
	wantFailure(t, n, "pseudonym key")
}

// wantFailure waits for the fail-stop, and makes sure that nothing is answered any more.
func wantFailure(t *testing.T, n *Node, says string) {
	t.Helper()
	select {
	case err := <-n.Failed():
		if !strings.Contains(err.Error(), says) {
			t.Errorf("failed with %q, want %q in it", err, says)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("waited 10s for the failure")
	}
	if err := n.Ready(); !errors.Is(err, consent.ErrNotReady) {
		t.Errorf("Ready after the failure: %v", err)
	}
	for _, c := range []consent.Consistency{{}, {Full: true}} {
		if _, err := n.View(t.Context(), c); !errors.Is(err, consent.ErrNotReady) {
			t.Errorf("View %+v after the failure: %v", c, err)
		}
	}
	if _, err := n.Write(t.Context(), grant(t, "anna")); !errors.Is(err, consent.ErrNotWritten) {
		t.Errorf("Write after the failure: %v", err)
	}
	if _, err := n.Preview(t.Context(), grant(t, "anna")); !errors.Is(err, consent.ErrNotReady) {
		t.Errorf("Preview after the failure: %v", err)
	}
}

func TestUnreadableEntryStops(t *testing.T) {
	fs := vfs.NewMem()
	o := memoryOptions(t, fs)
	n := openNode(t, o)
	mustWrite(t, n, grant(t, "anna"))
	hash, applied := stateHash(t, n), n.store.Applied()
	future := n.raft.Apply([]byte("no entry of ours"), 0)
	if err := future.Error(); err != nil {
		t.Fatal(err)
	}
	after := n.raft.Apply([]byte("nor this"), 0) // isn't even looked at
	if err := after.Error(); err != nil {
		t.Fatal(err)
	}
	if err, ok := after.Response().(error); !ok || !errors.Is(err, errStopped) {
		t.Errorf("the next entry was answered %v", after.Response())
	}
	if got := n.store.Applied(); got != applied || stateHash(t, n) != hash {
		t.Errorf("the store went on from %d to %d", applied, got)
	}
	if err := n.raft.Snapshot().Error(); err == nil {
		t.Error("a snapshot was taken past the entry")
	}
	wantFailure(t, n, "index "+uintText(future.Index()))
	closeNode(t, n)

	// The next start meets the entry again, and says so again.
	again, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer closeNode(t, again)
	wantFailure(t, again, "index "+uintText(future.Index()))
}

func TestDamagedLogEntryStopsTheStart(t *testing.T) {
	fs := vfs.NewMem()
	o := memoryOptions(t, fs)
	n := openNode(t, o)
	index := mustWrite(t, n, grant(t, "anna")).Revision.Index
	var entry raft.Log
	if err := n.logs.GetLog(index, &entry); err != nil {
		t.Fatal(err)
	}
	damaged := appendEntry(nil, &entry)
	damaged[len(damaged)/2] ^= 0x10
	if err := n.logs.db.Set(entryKey(index), damaged, nil); err != nil {
		t.Fatal(err)
	}
	closeNode(t, n)
	if _, err := Open(t.Context(), o); !errors.Is(err, ErrDataDir) || !strings.Contains(err.Error(), "entry "+uintText(index)) {
		t.Errorf("%v, want %v with the index %d", err, ErrDataDir, index)
	}
}

func TestCloseTwice(t *testing.T) {
	n := openNode(t, memoryOptions(t, vfs.NewMem()))
	closeNode(t, n)
	closeNode(t, n)
	if _, err := n.View(t.Context(), consent.Consistency{}); !errors.Is(err, consent.ErrNotReady) {
		t.Errorf("View after Close: %v", err)
	}
	if _, err := n.Write(t.Context(), grant(t, "anna")); !errors.Is(err, consent.ErrNotWritten) {
		t.Errorf("Write after Close: %v", err)
	}
}

// A marker in which any bit is another one is refused.
func TestFlippedBitsInTheMarkerAreRefused(t *testing.T) {
	fs := vfs.NewMem()
	d, err := openDataDir(fs, "data", "node-a")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.bind("31bc5190-1816-4c7f-847e-6d4a3e6ef4ef", "node-b"), d.Close()); err != nil {
		t.Fatal(err)
	}
	marker, err := readFile(fs, "data/"+formatFile)
	if err != nil {
		t.Fatal(err)
	}
	for at := range marker {
		for bit := range 8 {
			damaged := slices.Clone(marker)
			damaged[at] ^= 1 << bit
			if err := writeDurably(fs, "data", formatFile, damaged); err != nil {
				t.Fatal(err)
			}
			if d, err := openDataDir(fs, "data", "node-a"); !errors.Is(err, ErrDataDir) {
				t.Errorf("opened with %q: %v", damaged, errors.Join(err, d.Close()))
			}
		}
	}
	if err := writeDurably(fs, "data", formatFile, marker); err != nil {
		t.Fatal(err)
	}
	if d, err = openDataDir(fs, "data", "node-a"); err != nil || d.Close() != nil {
		t.Errorf("the whole marker: %v", err)
	}
}
