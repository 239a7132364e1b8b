package store

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/consentd/consentd/consent"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"
)

const newEpoch = 77

// step applies a step of a restore in an entry of its own, and returns its error.
func (f *feeder) step(c RestoreCommand) error {
	f.tb.Helper()
	if c.Epoch == 0 {
		c.Epoch = newEpoch
	}
	return f.apply(Command{Restore: &c})[0].Err
}

// bring sends a stream in pieces, and says that it is whole.
func (f *feeder) bring(stream []byte, pieces int) {
	f.tb.Helper()
	size := len(stream)/pieces + 1
	for from := 0; from < len(stream); from += size {
		piece := stream[from:min(from+size, len(stream))]
		if err := f.step(RestoreCommand{Replace: true, Offset: uint64(from), Piece: piece}); err != nil {
			f.tb.Fatal(err)
		}
	}
	if err := f.step(RestoreCommand{Step: RestoreWhole, Offset: uint64(len(stream)), Sum: sha256.Sum256(stream)}); err != nil {
		f.tb.Fatal(err)
	}
}

// older returns a store with a history of its own, an erasure with evidence, and its stream.
func older(t *testing.T) (from *feeder, stream []byte) {
	t.Helper()
	from = newFeeder(t, openStore(t, Options{}))
	from.apply(Command{TermStart: &TermStart{Term: 9, CheckValue: [16]byte{1}, Epoch: 5, Bound: time.Second}})
	feedMixed(from, 60)
	from.write(nthKey(50), granted(firstStamp, "newsletter/email"))
	from.write(nthKey(50), granted(firstStamp, "newsletter/post"), event(consent.Withdrawn, firstStamp, "crm"))
	from.apply(Command{Member: &MemberCommand{ID: "theirs", StaysLearner: true}})
	return from, snapshotOf(t, from.store)
}

// running returns a store whose state is to be replaced.
func running(t *testing.T, o Options) *feeder {
	t.Helper()
	f := newFeeder(t, openStore(t, o))
	f.apply(Command{TermStart: &TermStart{Term: 2, CheckValue: [16]byte{1}, Epoch: 6, Bound: 3 * time.Second}})
	f.apply(Command{Member: &MemberCommand{ID: "ours", StaysLearner: true}})
	c := f.command(nthKey(1), granted(0, "other/names"))
	c.Write.Tenant = "another"
	f.apply(c)
	return f
}

func TestRestoreThroughTheLog(t *testing.T) {
	from, stream := older(t)
	o := Options{FS: vfs.NewMem(), Dir: "dir"}
	f := running(t, o)
	another := f.store.Head().Tenants["another"]
	f.stamp += 20 * minute // so that the backup's requests are forgotten
	f.bring(stream, 7)
	var buf Buffer
	if r, err := f.store.RecordOf(another, nthKey(1), &buf); err != nil || r.Tenant() != another.Number {
		t.Errorf("while it is on its way: %x, %v", r, err)
	}
	if err := f.store.WaitBuilt(t.Context(), newEpoch); err != nil {
		t.Fatal(err)
	}
	if err := f.step(RestoreCommand{Step: RestoreFinish}); err != nil {
		t.Fatal(err)
	}
	check := func(when string, s *Store) {
		t.Helper()
		want := consent.Revision{Epoch: newEpoch, Index: f.index()}
		if head := s.Head(); head.Revision != want || s.Applied() != f.index() || head.Stamp <= from.stamp {
			t.Errorf("%s: it stands at %+v, stamp %d, applied %d; want %+v", when, head.Revision, head.Stamp, s.Applied(), want)
		}
		if diff := cmp.Diff([]string{"ours"}, s.Learners()); diff != "" || s.Bound() != 3*time.Second {
			t.Errorf("%s: bound %s, learners (-want +got):\n%s", when, s.Bound(), diff)
		}
		for i := range uint64(60) {
			sameButIndex(t, from.store, s, nthKey(i), f.index())
		}
	}
	check("after the restore", f.store)
	if _, err := f.store.RecordOf(another, nthKey(1), &buf); !errors.Is(err, ErrRestored) {
		t.Errorf("a record by the names of before: %v, want %v", err, ErrRestored)
	}
	if err := f.store.EachRecord(another, nil); !errors.Is(err, ErrRestored) {
		t.Errorf("records by the names of before: %v, want %v", err, ErrRestored)
	}
	if _, err := f.store.RecordOf(f.store.Head().Tenants[testTenant], nthKey(1), &buf); err != nil {
		t.Errorf("a record by the names of now: %v", err)
	}
	if p, err := f.store.Policy("another", 0); !errors.Is(err, consent.ErrUnknownTenant) {
		t.Errorf("the policy of a tenant that is gone: %+v, %v", p, err)
	}
	remembered := f.store.state.Load().requests.count
	closeStore(t, f.store)
	s := openStore(t, o)
	check("after a restart", s)
	if again := s.state.Load().requests.count; again != remembered || again != 0 {
		t.Errorf("%d requests are remembered, and %d after a restart; want none", remembered, again)
	}
	if stateHash(t, s) != stateHash(t, f.replay(f.index())) {
		t.Error("another replica has another state")
	}
}

// sameButIndex compares a subject's record and history, all of which stand at or before an index now.
func sameButIndex(t *testing.T, from, to *Store, key Key, most uint64) {
	t.Helper()
	var buf, other Buffer
	want, got := from.Record(key, &buf), to.Record(key, &other)
	if (want == nil) != (got == nil) || got != nil && got.Index() > most {
		t.Fatalf("subject %x: restored the record %x of %x", key, got, want)
	}
	if want != nil {
		got.StandAt(want.Index())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("subject %x: its record (-want +got):\n%s", key, diff)
	}
	before, after := history(t, from, key), history(t, to, key)
	for i := range after {
		if after[i].Index > most {
			t.Errorf("an event of index %d, after a restore at %d", after[i].Index, most)
		}
		if i < len(before) {
			after[i].Index, after[i].Ordinal = before[i].Index, before[i].Ordinal
		}
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("subject %x: its history (-want +got):\n%s", key, diff)
	}
}

// TestRestoredStateGoesOn: what was done before is remembered, and what is new is never mistaken for it.
func TestRestoredStateGoesOn(t *testing.T) {
	from := newFeeder(t, openStore(t, Options{}))
	for range 50 { // so that its indexes are beyond those here
		from.write(nthKey(3), event(consent.Used, 0, "crm"))
	}
	done := from.command(nthKey(1), granted(firstStamp, "newsletter/email"))
	want := from.apply(done)[0]
	f := running(t, Options{})
	f.stamp = from.stamp
	f.bring(snapshotOf(t, from.store), 1)
	if err := f.step(RestoreCommand{Step: RestoreFinish}); err != nil {
		t.Fatal(err)
	}
	restored := f.index()
	again := f.apply(done)[0]
	if again.Err != nil || again.Stamp != want.Stamp || again.Revision.Index > restored {
		t.Errorf("a repeat of what the backup holds came to %+v", again)
	}
	f.write(nthKey(1), granted(firstStamp, "newsletter/post"))
	events := history(t, f.store, nthKey(1))
	if len(events) != 2 || events[0].Index > restored || events[1].Index != f.index() {
		t.Errorf("the history is %+v", events)
	}
}

func TestRestoreStepsThatAreRefused(t *testing.T) {
	_, stream := older(t)
	part := RestoreCommand{Replace: true, Piece: stream[:100]}
	tests := []struct {
		name  string
		steps []RestoreCommand
		want  error
	}{
		{"without replace", []RestoreCommand{{Piece: stream[:100]}}, ErrNotEmpty},
		{"without a beginning", []RestoreCommand{{Offset: 100, Piece: stream[100:]}}, ErrRestoreEnded},
		{"finish without a beginning", []RestoreCommand{{Step: RestoreFinish}}, ErrRestoreEnded},
		{"a gap", []RestoreCommand{part, {Offset: 101, Piece: stream[101:]}}, ErrRestoreEnded},
		{"an overlap", []RestoreCommand{part, {Offset: 99, Piece: stream[99:]}}, ErrRestoreEnded},
		{"another beside it", []RestoreCommand{part, {Epoch: 8, Piece: stream[:5], Replace: true}}, ErrRestoring},
		{"finish before the end", []RestoreCommand{part, {Step: RestoreFinish}}, ErrRestoreEnded},
		{"another checksum", []RestoreCommand{part, {Step: RestoreWhole, Offset: 100}}, ErrSnapshot},
		{"after another checksum", []RestoreCommand{part, {Step: RestoreWhole, Offset: 100}, {Step: RestoreFinish}}, ErrRestoreEnded},
		{"a piece again", []RestoreCommand{part, part}, nil},
		{"a part of a piece again", []RestoreCommand{part, {Offset: 10, Piece: stream[10:20]}}, nil},
		{"a sign", []RestoreCommand{part, {Offset: 100}}, nil},
		{"given up", []RestoreCommand{part, {Step: RestoreGiveUp}}, nil},
		{"its first piece again after it was given up", []RestoreCommand{part, {Step: RestoreGiveUp}, part}, ErrRestoreEnded},
		{"its first piece after it was given up", []RestoreCommand{{Step: RestoreGiveUp}, part}, ErrRestoreEnded},
		{"its first piece after another checksum", []RestoreCommand{part, {Step: RestoreWhole, Offset: 100}, part}, ErrRestoreEnded},
		{"another after it was given up", []RestoreCommand{part, {Step: RestoreGiveUp}, {Epoch: 8, Piece: stream[:5], Replace: true}}, nil},
		{"given up twice", []RestoreCommand{part, {Step: RestoreGiveUp}, {Step: RestoreGiveUp}}, nil},
		{"after it was given up", []RestoreCommand{part, {Step: RestoreGiveUp}, {Offset: 100, Piece: stream[100:]}}, ErrRestoreEnded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := running(t, Options{})
			before := history(t, f.store, nthKey(1))
			var last error
			for _, c := range tt.steps {
				last = f.step(c)
			}
			if !errors.Is(last, tt.want) {
				t.Errorf("%v, want %v", last, tt.want)
			}
			f.stamp += restorePatience
			checkEffects(t, f.write(nthKey(2), granted(0, "newsletter/email")), consent.Applied)
			if diff := cmp.Diff(before, history(t, f.store, nthKey(1))); diff != "" || f.store.Restoring() {
				t.Errorf("restoring still: %t; the old state (-want +got):\n%s", f.store.Restoring(), diff)
			}
			stateHash(t, f.store)
		})
	}
}

// TestRestoreOfAnotherKey is refused on every replica, although it was verified elsewhere.
func TestRestoreOfAnotherKey(t *testing.T) {
	from := newFeeder(t, openStore(t, Options{}))
	from.apply(Command{TermStart: &TermStart{Term: 1, CheckValue: [16]byte{2}, Epoch: 5}})
	f := running(t, Options{})
	before := f.store.Head()
	f.bring(snapshotOf(t, from.store), 1)
	if err := f.step(RestoreCommand{Step: RestoreFinish}); !errors.Is(err, ErrPseudonymKey) {
		t.Errorf("%v, want %v", err, ErrPseudonymKey)
	}
	if diff := cmp.Diff(before.Tenants["another"].Number, f.store.Head().Tenants["another"].Number); diff != "" {
		t.Error(diff)
	}
}

// TestNothingChangesBesideARestore: not in its entries either.
func TestNothingChangesBesideARestore(t *testing.T) {
	_, stream := older(t)
	f := running(t, Options{})
	write := f.command(nthKey(9), granted(0, "newsletter/email"))
	piece := Command{Restore: &RestoreCommand{Epoch: newEpoch, Replace: true, Piece: stream}}
	results := f.apply(write, piece, Command{Member: &MemberCommand{ID: "x", StaysLearner: true}})
	if !errors.Is(results[0].Err, ErrRestoring) || !errors.Is(results[0].Err, consent.ErrNotWritten) || results[1].Err != nil ||
		!errors.Is(results[2].Err, ErrRestoring) {
		t.Errorf("in one entry with its beginning: %+v", results)
	}
	if r := f.apply(Command{TermStart: &TermStart{Term: 4, CheckValue: [16]byte{1}}})[0]; r.Err != nil {
		t.Errorf("a term start: %v", r.Err)
	}
	if f.record(nthKey(9)) != nil || f.store.StaysLearner("x") {
		t.Error("something changed")
	}
	give := Command{Restore: &RestoreCommand{Epoch: newEpoch, Step: RestoreGiveUp}}
	if results := f.apply(write, give); results[0].Err != nil || results[1].Err != nil {
		t.Errorf("in one entry with its end: %+v", results)
	}
	stateHash(t, f.store)
}

// TestRepeatWhileRestoring: what was executed before is there, so that it can't be called not written.
func TestRepeatWhileRestoring(t *testing.T) {
	f := running(t, Options{})
	write := f.command(nthKey(9), granted(0, "newsletter/email"))
	policy := Command{Policy: &PolicyCommand{Tenant: testTenant, RequestID: f.id(), Document: shopPolicy(t, 1)}}
	wanted := f.apply(write, policy)
	if err := f.step(RestoreCommand{Replace: true, Piece: []byte("half")}); err != nil {
		t.Fatal(err)
	}
	reused := f.command(nthKey(9), granted(0, "newsletter/email"))
	reused.Write.RequestID = policy.Policy.RequestID
	changed := Command{Policy: &PolicyCommand{Tenant: testTenant, RequestID: f.id(), Document: shopPolicy(t, 1)}}
	got := f.apply(write, policy, reused, f.command(nthKey(9), granted(0, "newsletter/email")), changed)
	if diff := cmp.Diff(wanted, got[:2]); diff != "" {
		t.Errorf("repeats (-want +got):\n%s", diff)
	}
	for i, want := range []error{consent.ErrRequestReused, ErrRestoring, ErrRestoring} {
		if !errors.Is(got[2+i].Err, want) {
			t.Errorf("result %d: %v, want %v", 2+i, got[2+i].Err, want)
		}
	}
}

// TestLateFirstPiece comes when its restore has ended by itself, and to a replica that was started again since.
func TestLateFirstPiece(t *testing.T) {
	o := Options{FS: vfs.NewMem(), Dir: "dir"}
	f := running(t, o)
	part := RestoreCommand{Replace: true, Piece: []byte("half")}
	if err := f.step(part); err != nil {
		t.Fatal(err)
	}
	f.stamp += restorePatience
	f.write(nthKey(2), granted(0, "newsletter/email"))
	closeStore(t, f.store)
	f.store = openStore(t, o)
	if err := f.step(part); !errors.Is(err, ErrRestoreEnded) || f.store.Restoring() {
		t.Errorf("%v, restoring %t; want %v", err, f.store.Restoring(), ErrRestoreEnded)
	}
}

// TestEpochsNeverComeAgain: of restores that are over, finished or not, nothing that comes late is taken, not even all of it.
func TestEpochsNeverComeAgain(t *testing.T) {
	_, stream := older(t)
	o := Options{FS: vfs.NewMem(), Dir: "dir"}
	f := running(t, o)
	first := func(epoch uint64) RestoreCommand { return RestoreCommand{Epoch: epoch, Replace: true, Piece: stream} }
	must := func(steps ...RestoreCommand) {
		t.Helper()
		for _, c := range steps {
			if err := f.step(c); err != nil {
				t.Fatal(err)
			}
		}
	}
	const finished = 3
	for epoch := range uint64(finished) {
		must(first(100+epoch), RestoreCommand{Epoch: 100 + epoch, Step: RestoreWhole, Offset: uint64(len(stream)), Sum: sha256.Sum256(stream)},
			RestoreCommand{Epoch: 100 + epoch, Step: RestoreFinish})
	}
	for epoch := range uint64(maxEnded - finished) {
		must(first(200+epoch), RestoreCommand{Epoch: 200 + epoch, Step: RestoreGiveUp})
	}
	closeStore(t, f.store)
	f.store = openStore(t, o)
	over := []uint64{6, 100, 101}
	for epoch := range uint64(maxEnded - finished) {
		over = append(over, 200+epoch)
	}
	for _, epoch := range over {
		if err := f.step(first(epoch)); !errors.Is(err, ErrRestoreEnded) || f.store.Restoring() {
			t.Errorf("epoch %d again: %v, restoring %t; want %v", epoch, err, f.store.Restoring(), ErrRestoreEnded)
		}
	}
}

// TestMetaOfEpochs is read as it was written, with and without a key.
func TestMetaOfEpochs(t *testing.T) {
	for ended := range maxEnded + 2 {
		for _, m := range []meta{{applied: 1}, {applied: 1, keyed: true, keyCheck: [16]byte{1}}} {
			for epoch := range uint64(ended) {
				m.end(epoch + 1)
				m.end(epoch + 1)
			}
			got, err := decodeMeta(m.encode())
			if diff := cmp.Diff(m, got, cmp.AllowUnexported(meta{})); err != nil || diff != "" || len(got.ended) != min(ended, maxEnded) {
				t.Errorf("%d epochs: %v (-want +got):\n%s", ended, err, diff)
			}
		}
	}
}

// TestFinishAndItsRepeatInOneEntry: both are told the revision that there is.
func TestFinishAndItsRepeatInOneEntry(t *testing.T) {
	_, stream := older(t)
	f := running(t, Options{})
	f.bring(stream, 2)
	finish := Command{Restore: &RestoreCommand{Epoch: newEpoch, Step: RestoreFinish}}
	for i, r := range f.apply(finish, finish) {
		if want := (consent.Revision{Epoch: newEpoch, Index: f.index()}); r.Err != nil || r.Revision != want {
			t.Errorf("answer %d: %v, %v; want %v", i, r.Revision, r.Err, want)
		}
	}
}

// TestLedgerStandsWhereARestoreBegan, be it at an index that no entry has written, or after another restore that ended in the same entry.
func TestLedgerStandsWhereARestoreBegan(t *testing.T) {
	fs := vfs.NewCrashableMem()
	f := running(t, Options{FS: fs, Dir: "dir"})
	f.store.Advance(f.index() + 1)
	f.log = append(f.log, EncodeEntry(f.stamp, nil)) // what Advance stands for
	begun := f.index()
	check := func(when string) {
		t.Helper()
		if synced := syncStore(t, f.store); synced != begun {
			t.Errorf("%s: %d is synced, want %d", when, synced, begun)
		}
		s := openStore(t, Options{FS: fs.CrashClone(vfs.CrashCloneCfg{}), Dir: "dir"})
		if s.Applied() != begun {
			t.Errorf("%s: the ledger stands at %d, want %d", when, s.Applied(), begun)
		}
		for index := begun + 1; index <= f.index(); index++ {
			if _, err := s.Apply(index, f.log[index-1]); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(f.store.Head().Stamp, s.Head().Stamp); diff != "" {
			t.Errorf("%s: going on from there leads to another stamp (-want +got):\n%s", when, diff)
		}
	}
	if err := f.step(RestoreCommand{Replace: true, Piece: []byte("half")}); err != nil {
		t.Fatal(err)
	}
	check("after the first piece")
	f.stamp -= minute // so that each stamp follows from the one before, and would grow if an entry were applied twice
	f.apply(Command{Restore: &RestoreCommand{Epoch: newEpoch, Offset: 4}})
	other := Command{Restore: &RestoreCommand{Epoch: 8, Replace: true, Piece: []byte("half")}}
	f.apply(Command{Restore: &RestoreCommand{Epoch: newEpoch, Step: RestoreGiveUp}}, other)
	check("after another's first piece")
}

// TestPowerLossWhileRestoringThroughTheLog: whatever survives, the log leads to the same state from there.
func TestPowerLossWhileRestoringThroughTheLog(t *testing.T) {
	_, stream := older(t)
	fs := vfs.NewCrashableMem()
	f := running(t, Options{FS: fs, Dir: "dir"})
	f.stamp += 10_000 * second
	f.write(nthKey(2), granted(0, "other/names"))
	f.stamp = firstStamp // so that each stamp follows from the one before, and would grow if an entry were applied twice
	syncStore(t, f.store)
	var crashes []*vfs.MemFS
	lose := func() {
		f.store.Advance(f.index() + 1)
		f.log = append(f.log, EncodeEntry(f.stamp, nil)) // what Advance stands for
		synced := syncStore(t, f.store)
		crash := fs.CrashClone(vfs.CrashCloneCfg{})
		crashes = append(crashes, crash)
		s := openStore(t, Options{FS: crash, Dir: "dir"})
		if s.Applied() < synced || s.Applied() > f.index() {
			t.Errorf("%d was synced, and the ledger stands at %d", synced, s.Applied())
		}
		closeStore(t, s)
	}
	size := len(stream)/4 + 1
	for from := 0; from < len(stream); from += size {
		piece := RestoreCommand{Replace: true, Offset: uint64(from), Piece: stream[from:min(from+size, len(stream))]}
		if err := f.step(piece); err != nil {
			t.Fatal(err)
		}
		lose()
	}
	if err := f.step(RestoreCommand{Step: RestoreWhole, Offset: uint64(len(stream)), Sum: sha256.Sum256(stream)}); err != nil {
		t.Fatal(err)
	}
	lose()
	if err := f.step(RestoreCommand{Step: RestoreFinish}); err != nil {
		t.Fatal(err)
	}
	crashes = append(crashes, fs.CrashClone(vfs.CrashCloneCfg{}))
	for i, crash := range crashes {
		s := openStore(t, Options{FS: crash, Dir: "dir"})
		for index := s.Applied() + 1; index <= f.index(); index++ {
			if bytes.Equal(f.log[index-1][entryHead:len(f.log[index-1])-entryTail], nil) {
				s.Advance(index)
			} else if _, err := s.Apply(index, f.log[index-1]); err != nil {
				t.Fatal(err)
			}
		}
		if stateHash(t, s) != stateHash(t, f.store) {
			t.Errorf("loss %d: going on leads elsewhere", i)
		}
	}
}

// streamOf returns the stream of pairs.
func streamOf(tb testing.TB, pairs ...[2]string) []byte {
	tb.Helper()
	var stream bytes.Buffer
	sum := sha256.New()
	out := &snapshotWriter{to: bufio.NewWriter(io.MultiWriter(&stream, sum))}
	out.write([]byte(snapshotMagic))
	for _, pair := range pairs {
		out.writeBytes([]byte(pair[0]))
		out.writeBytes([]byte(pair[1]))
	}
	out.writeBytes(nil)
	out.write(binary.LittleEndian.AppendUint64(nil, uint64(len(pairs))))
	if err := out.to.Flush(); err != nil || out.err != nil {
		tb.Fatal(err, out.err)
	}
	return sum.Sum(stream.Bytes())
}

// TestUnreadableStreamIsRefused by all replicas in the same words, although its sender said that it had verified it; and they go on.
func TestUnreadableStreamIsRefused(t *testing.T) {
	_, whole := older(t)
	altered := bytes.Clone(whole)
	altered[len(altered)/2] ^= 1
	late := meta{stamp: consent.MaxTime}
	ahead := meta{horizon: 1 << 60}
	for name, stream := range map[string][]byte{
		"no stream":                 []byte("garbage"),
		"another version's":         []byte(snapshotTitle + "9\n and on"),
		"cut short":                 whole[:len(whole)/2],
		"altered":                   altered,
		"going on":                  append(bytes.Clone(whole), 0),
		"keys out of order":         streamOf(t, [2]string{"z"}, [2]string{"a"}),
		"an unknown key":            streamOf(t, [2]string{"\xff"}),
		"an unreadable record":      streamOf(t, [2]string{string(recordKey(nil, nthKey(1))), "no record"}),
		"a policy with a short key": streamOf(t, [2]string{string(policyKey(1, 1)[:6])}),
		"a request with a short key": streamOf(t, [2]string{string([]byte{prefixRequest, 1}),
			string(appendOutcome(nil, &outcome{}))}),
		"a stamp that nothing can follow":   streamOf(t, [2]string{string([]byte{prefixMeta}), string(late.encode())}),
		"a horizon that nothing can follow": streamOf(t, [2]string{string([]byte{prefixMeta}), string(ahead.encode())}),
	} {
		t.Run(name, func(t *testing.T) {
			f := running(t, Options{})
			f.bring(stream, 2)
			err := f.step(RestoreCommand{Step: RestoreFinish})
			if !errors.Is(err, ErrSnapshot) || !errors.Is(err, consent.ErrBackup) {
				t.Fatalf("%v, want %v", err, ErrSnapshot)
			}
			other := f.replay(f.index() - 1)
			results, applying := other.Apply(f.index(), f.log[f.index()-1])
			if applying != nil || results[0].Err.Error() != err.Error() {
				t.Errorf("another replica said %v, %v, and this one %v", results, applying, err)
			}
			checkEffects(t, f.write(nthKey(2), granted(0, "newsletter/email")), consent.Applied)
			if f.record(nthKey(1)) == nil || f.store.Restoring() {
				t.Error("the old state is gone, or the restore isn't")
			}
		})
	}
}

// TestUnbuildableStateStops: what others took and this replica can't is no refusal.
func TestUnbuildableStateStops(t *testing.T) {
	_, stream := older(t)
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpCreate && strings.Contains(op.Path, ledgerName(2)) {
			return errorfs.ErrInjected
		}
		return nil
	}))
	f := running(t, Options{FS: fs, Dir: "dir"})
	f.bring(stream, 1)
	finish := EncodeEntry(f.stamp+second, []Command{{Restore: &RestoreCommand{Epoch: newEpoch, Step: RestoreFinish}}})
	if _, err := f.store.Apply(f.index()+1, finish); !errors.Is(err, errorfs.ErrInjected) {
		t.Errorf("Apply = %v, want %v", err, errorfs.ErrInjected)
	}
}

func TestClosingEndsARestore(t *testing.T) {
	f := running(t, Options{})
	if err := f.step(RestoreCommand{Replace: true, Piece: []byte(snapshotMagic)}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.store.WaitBuilt(ctx, newEpoch); !errors.Is(err, context.Canceled) {
		t.Errorf("WaitBuilt = %v", err)
	}
}

func TestInspect(t *testing.T) {
	from, stream := older(t)
	got, err := Inspect(bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	events := 0
	for i := range uint64(60) {
		events += len(history(t, from.store, nthKey(i)))
	}
	want := Contents{
		Index: from.index(), Epoch: 5, KeyCheck: [16]byte{1}, Keyed: true, Stamp: from.stamp,
		Tenants: []TenantContents{{Name: testTenant}}, Subjects: from.store.Stats().Subjects, Events: events,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	check := NewStreamCheck()
	if _, err := check.Write(stream); err != nil || check.Err() != nil {
		t.Errorf("a whole stream fails its check: %v, %v", err, check.Err())
	}
}

// TestPreviewLooksAtOneMoment: entries are applied while it looks, and it doesn't see them.
func TestPreviewLooksAtOneMoment(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	f.write(nthKey(1), granted(0, "newsletter/email"))
	e, now, err := f.store.pin(f.stamp)
	if err != nil {
		t.Fatal(err)
	}
	f.write(nthKey(1), event(consent.Withdrawn, 0, "newsletter/email"))
	w := f.command(nthKey(1), event(consent.Withdrawn, now.Stamp+1, "newsletter/email")).Write
	effects, err := e.write(w)
	if err != nil || e.err != nil {
		t.Fatal(err, e.err)
	}
	if diff := cmp.Diff([]consent.Effect{consent.Applied}, effects); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	if err := e.unpin(); err != nil {
		t.Error(err)
	}
}
