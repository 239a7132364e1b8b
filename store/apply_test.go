package store

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/consentd/consentd/consent"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestApplyWrites(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	result := f.write(nthKey(1), granted(firstStamp-5, "newsletter/email"))
	checkEffects(t, result, consent.Applied)
	if result.Revision.Index != 1 || result.Stamp != f.stamp {
		t.Errorf("result %+v, want revision 1 and stamp %d", result, f.stamp)
	}
	record := f.record(nthKey(1))
	if record.Newest() != firstStamp-5 || record.Index() != 1 || record.Tenant() != 1 {
		t.Errorf("newest %d, index %d, tenant %d", record.Newest(), record.Index(), record.Tenant())
	}
	head := f.store.Head()
	if head.Revision != result.Revision || head.Stamp != f.stamp || head.Tenants[testTenant].Number != 1 {
		t.Errorf("head %+v", head)
	}
	if got := f.record(nthKey(2)); got != nil {
		t.Errorf("an unknown subject has the record %x", got)
	}
	want := []consent.RecordedEvent{{Event: granted(firstStamp-5, "newsletter/email"), Stamp: f.stamp, Index: 1}}
	if diff := cmp.Diff(want, history(t, f.store, nthKey(1))); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

func TestApplyGivesEventsATime(t *testing.T) {
	tests := []struct {
		name string
		at   consent.Time
	}{{"none", 0}, {"in the future", firstStamp + 1_000_000}, {"impossible", -5}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFeeder(t, openStore(t, Options{}))
			f.write(nthKey(1), granted(tt.at, "newsletter/email"))
			if got := f.record(nthKey(1)).Newest(); got != f.stamp {
				t.Errorf("it occurred at %d, want the stamp %d", got, f.stamp)
			}
		})
	}
}

func TestApplySkipsWhatIsApplied(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	f.write(nthKey(1), granted(0, "newsletter/email"))
	f.write(nthKey(1), event(consent.Withdrawn, 0, "newsletter/email"))
	before := stateHash(t, f.store)
	for i, entry := range f.log {
		if results, err := f.store.Apply(uint64(i+1), entry); results != nil || err != nil {
			t.Errorf("applying %d again: %v, %v", i+1, results, err)
		}
	}
	if stateHash(t, f.store) != before {
		t.Error("the state changed")
	}
}

// TestStampsAlwaysGrow: a leader that doesn't know the last stamp yet must not move time back.
func TestStampsAlwaysGrow(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	f.write(nthKey(1), granted(0, "newsletter/email"))
	last := f.store.Head().Stamp
	f.stamp -= 5 * second
	if got := f.write(nthKey(1), event(consent.Withdrawn, 0, "newsletter/email")); got.Stamp != last+1 {
		t.Errorf("stamp %d after %d, want one more", got.Stamp, last)
	}
	_, err := f.store.Apply(f.index()+1, EncodeEntry(consent.MaxTime+1, nil))
	if !errors.Is(err, ErrEntry) {
		t.Errorf("a stamp beyond all times: %v, want ErrEntry", err)
	}
}

func TestApplyRefusesDamage(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	f.write(nthKey(1), granted(0, "newsletter/email"))
	before := stateHash(t, f.store)
	entry := EncodeEntry(f.stamp+1, []Command{f.command(nthKey(1), event(consent.Withdrawn, 0))})
	entry[20] ^= 1
	if _, err := f.store.Apply(2, entry); !errors.Is(err, ErrEntry) {
		t.Errorf("error %v, want ErrEntry", err)
	}
	if f.store.Applied() != 1 || stateHash(t, f.store) != before {
		t.Error("the damaged entry left a trace")
	}
}

// TestLaterEventsSeeEarlierOnes: those of the same subject in the same entry, in one command or several, late or not.
func TestLaterEventsSeeEarlierOnes(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	key, at := nthKey(1), firstStamp-1000
	results := f.apply(
		f.command(key, granted(at, "newsletter/email"), event(consent.Withdrawn, at+5, "newsletter/email")),
		f.command(key, granted(at, "newsletter/email"), granted(at+3, "newsletter/email"), granted(at+9, "newsletter/email")),
	)
	checkEffects(t, results[0], consent.Applied, consent.Applied)
	checkEffects(t, results[1], consent.Unchanged, consent.Superseded, consent.Applied)
	if n := len(history(t, f.store, key)); n != 4 {
		t.Errorf("the history has %d events, want 4: the identical one isn't kept", n)
	}
}

func TestFailedCommandsLeaveNothing(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	f.write(nthKey(1), granted(0, "newsletter/email"))
	before := f.store.Head()
	write := f.command(nthKey(1), event(consent.Withdrawn, 0, "new/names"))
	write.Write.RequestID = consent.RequestID{}
	policy := Command{Policy: &PolicyCommand{Tenant: "other", RequestID: f.id(), Document: []byte("no policy")}}
	for _, r := range f.apply(write, policy) {
		if r.Err == nil || r.Revision != (consent.Revision{}) || r.Effects != nil || r.Policy != nil {
			t.Errorf("result %+v, want nothing but an error", r)
		}
	}
	after := f.store.Head()
	if after.Tenants["other"] != nil || after.Tenants[testTenant] != before.Tenants[testTenant] {
		t.Errorf("tenants %v, want those of before", after.Tenants)
	}
	if n := len(history(t, f.store, nthKey(1))); n != 1 {
		t.Errorf("the history has %d events, want 1", n)
	}
}

// TestTooManyNames uses up a tenant's names. A yes is refused then, with all that is written with it; a "no" never is.
func TestTooManyNames(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	const all = 1<<16 - 1
	for n := 0; n < all; {
		e := event(consent.Withdrawn, 0)
		for ; n < all && len(e.Scope.Purposes) < 1<<12; n++ {
			e.Scope.Purposes = append(e.Scope.Purposes, fmt.Sprintf("purpose_%d", n))
		}
		f.write(nthKey(uint64(n)), e)
	}
	results := f.apply(
		f.command(nthKey(2), event(consent.Withdrawn, 0, "purpose_7"), granted(0, "one/more")),
		f.command(nthKey(3), event(consent.Withdrawn, 0, "one/more")))
	if !errors.Is(results[0].Err, consent.ErrTooManyNames) || f.record(nthKey(2)) != nil {
		t.Errorf("error %v, record %x; want ErrTooManyNames and none", results[0].Err, f.record(nthKey(2)))
	}
	checkEffects(t, results[1], consent.Applied)
}

func TestTenantsAreCountedAndKept(t *testing.T) {
	o := Options{FS: vfs.NewMem(), Dir: "dir"}
	s := openStore(t, o)
	f := newFeeder(t, s)
	for i, tenant := range []string{"b", "a", "b", "c"} {
		c := f.command(nthKey(uint64(i)), granted(0, tenant+"/email", "crm"))
		c.Write.Tenant = tenant
		f.apply(c)
	}
	want := f.store.Head().Tenants
	if want["b"].Number != 1 || want["a"].Number != 2 || want["c"].Number != 3 {
		t.Errorf("tenants %v", want)
	}
	closeStore(t, s)
	got := openStore(t, o).Head().Tenants
	for name, t1 := range want {
		t2 := got[name]
		if t2 == nil || t1.Number != t2.Number || t1.Names.Len() != t2.Names.Len() {
			t.Fatalf("tenant %q was %+v and is %+v after a start", name, t1, t2)
		}
		for id := consent.NameID(1); int(id) <= t1.Names.Len(); id++ {
			kind1, name1 := t1.Names.Name(id)
			if kind2, name2 := t2.Names.Name(id); kind1 != kind2 || name1 != name2 {
				t.Errorf("number %d of %q was %q and is %q", id, name, name1, name2)
			}
		}
	}
}

func TestEachRecordIsATenants(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	for i := range uint64(10) {
		c := f.command(nthKey(i), granted(0, "newsletter/email"))
		c.Write.Tenant = fmt.Sprint(i % 2)
		f.apply(c)
	}
	number := f.store.Head().Tenants["1"].Number
	seen := 0
	enough := errors.New("enough")
	err := f.store.EachRecord(&consent.Tenant{Number: number}, func(r consent.Record) error {
		if r.Tenant() != number {
			t.Errorf("a record of tenant %d", r.Tenant())
		}
		if seen++; seen == 5 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || seen != 5 {
		t.Errorf("EachRecord saw %d records and returned %v", seen, err)
	}
}

func TestTermStartSetsEpochAndKey(t *testing.T) {
	o := Options{FS: vfs.NewMem(), Dir: "dir"}
	s := openStore(t, o)
	f := newFeeder(t, s)
	if _, ok := s.KeyCheck(); ok {
		t.Error("a new store has a key check value")
	}
	check, other := [16]byte{1}, [16]byte{2}
	results := f.apply(
		Command{TermStart: &TermStart{Term: 1, CheckValue: check, Epoch: 77}},
		Command{TermStart: &TermStart{Term: 2, CheckValue: other, Epoch: 78}},
		Command{TermStart: &TermStart{Term: 3, CheckValue: check, Epoch: 79}},
	)
	if results[0].Err != nil || !errors.Is(results[1].Err, ErrPseudonymKey) || results[2].Err != nil {
		t.Errorf("results %+v", results)
	}
	if want := (consent.Revision{Epoch: 77, Index: 1}); results[2].Revision != want || s.Head().Revision != want {
		t.Errorf("revisions %v and %v, want %v", results[2].Revision, s.Head().Revision, want)
	}
	closeStore(t, s)
	s = openStore(t, o)
	if got, ok := s.KeyCheck(); !ok || got != check || s.Head().Revision.Epoch != 77 {
		t.Errorf("after a start: key check %x, %v; epoch %d", got, ok, s.Head().Revision.Epoch)
	}
}

func TestPreviewWritesNothing(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	f.write(nthKey(1), granted(0, "newsletter/email"))
	before := stateHash(t, f.store)
	w := f.command(nthKey(1), event(consent.Withdrawn, 0, "newsletter/email"), granted(firstStamp-5, "new/email")).Write
	preview, err := f.store.Preview(*w, f.stamp+second)
	if err != nil {
		t.Fatal(err)
	}
	if stateHash(t, f.store) != before || f.store.Head().Tenants[testTenant].Names.ID(consent.PurposeName, "new") != 0 {
		t.Error("the preview left a trace")
	}
	written := f.apply(Command{Write: w})[0]
	if diff := cmp.Diff(written.Effects, preview.Effects); diff != "" || preview.Stamp != written.Stamp {
		t.Errorf("stamp %d, was to be %d; effects (-written +previewed):\n%s", written.Stamp, preview.Stamp, diff)
	}
}

// TestOrderOfArrivalDoesNotMatter writes the same events in two orders, in entries of any size, and compares what the records say.
func TestOrderOfArrivalDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		events := drawHistory(rt)
		shuffled := rapid.Permutation(slices.Clone(events)).Draw(rt, "order")
		a, b := applyAll(t, rt, events), applyAll(t, rt, shuffled)
		for key := range uint64(subjectsDrawn) {
			if diff := cmp.Diff(facts(a.record(nthKey(key))), facts(b.record(nthKey(key)))); diff != "" {
				rt.Fatalf("the record of subject %d (-in order +as it came):\n%s", key, diff)
			}
		}
	})
}

const subjectsDrawn = 3

// drawHistory draws events with distinct times, in order.
func drawHistory(t *rapid.T) []KeyedEvent {
	kinds := []consent.EventKind{
		consent.Granted, consent.Granted, consent.Requested, consent.Confirmed, consent.Refused, consent.Withdrawn, consent.Objected,
		consent.ObjectionLifted, consent.Used, consent.Suppressed, consent.Unsuppressed, consent.Restricted, consent.Erased,
	}
	var events []KeyedEvent
	for i := range rapid.IntRange(1, 20).Draw(t, "events") {
		kind := rapid.SampledFrom(kinds).Draw(t, "kind")
		permission := rapid.SampledFrom([]string{"newsletter/email", "newsletter/post", "crm"}).Draw(t, "permission")
		at := firstStamp - 1000 + consent.Time(i)
		e := event(kind, at, permission)
		switch kind {
		case consent.Granted:
			e = granted(at, permission)
		case consent.Suppressed, consent.Unsuppressed, consent.Restricted, consent.Erased:
			e = event(kind, at)
		}
		events = append(events, KeyedEvent{nthKey(rapid.Uint64Range(0, subjectsDrawn-1).Draw(t, "subject")), e})
	}
	return events
}

// applyAll applies events in entries and commands of random sizes. The names are known from the start, so that all agree on numbers.
func applyAll(t *testing.T, rt *rapid.T, events []KeyedEvent) *feeder {
	t.Helper()
	s, err := Open(Options{Logger: quiet})
	if err != nil {
		rt.Fatal(err)
	}
	rt.Cleanup(func() { closeStore(t, s) })
	f := newFeeder(t, s)
	f.write(nthKey(99), granted(0, "newsletter/email", "newsletter/post", "crm"))
	for len(events) > 0 {
		var commands []Command
		for n := rapid.IntRange(1, 3).Draw(rt, "commands"); n > 0 && len(events) > 0; n-- {
			size := rapid.IntRange(1, len(events)).Draw(rt, "size")
			commands = append(commands, Command{Write: &WriteCommand{Tenant: testTenant, RequestID: f.id(), Events: events[:size]}})
			events = events[size:]
		}
		f.apply(commands...)
	}
	return f
}

// facts returns a record without the index that it changed at, which does follow the order of arrival.
func facts(r consent.Record) []uint64 {
	words := slices.Clone(r)
	if len(words) > 1 {
		words[1] = 0
	}
	return words
}

// TestReplayIsDeterministic applies the same log twice.
func TestReplayIsDeterministic(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	feedMixed(f, 200)
	if stateHash(t, f.store) != stateHash(t, f.replay(f.index())) {
		t.Error("the same log came to two states")
	}
}

// feedMixed applies entries of every kind: new and late events, erasures, repeats.
func feedMixed(f *feeder, entries int) {
	f.tb.Helper()
	permissions := []string{"newsletter/email", "newsletter/post", "crm"}
	var last Command
	for range entries {
		n := mix(f.index())
		key, at, permission := nthKey(n%20), f.stamp-consent.Time(n%50_000), permissions[n>>20%3]
		e := granted(at, permission)
		switch n >> 30 % 8 {
		case 0:
			e = event(consent.Withdrawn, at, permission)
		case 1:
			e = event(consent.Erased, at)
		case 2:
			e.OccurredAt = 0
		}
		next := f.command(key, e)
		commands := []Command{next, f.command(nthKey(n%7), event(consent.Used, 0, permission))}
		if n>>40%5 == 0 && last.Write != nil {
			commands = append(commands, last)
		}
		last = next
		f.apply(commands...)
	}
}

// TestReadersBesideApply reads heads, records, histories and snapshots while entries are applied. A record is never older than the head
// that was loaded before it.
func TestReadersBesideApply(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	const subjects = 10
	withdrawAll := func() {
		var commands []Command
		for i := range uint64(subjects) {
			commands = append(commands, f.command(nthKey(i), event(consent.Withdrawn, 0)))
		}
		f.apply(commands...)
	}
	withdrawAll()
	var written atomic.Bool
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			var buf Buffer
			for i := uint64(0); !written.Load(); i++ {
				head := f.store.Head()
				for j := range uint64(subjects) {
					if r := f.store.Record(nthKey(j), &buf); r.Index() < head.Revision.Index {
						t.Errorf("a record of %d after a head of %d", r.Index(), head.Revision.Index)
						return
					}
				}
				if _, _, err := f.store.History(nthKey(i%subjects), consent.HistoryPage{Limit: 10}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 300 {
		withdrawAll()
	}
	written.Store(true)
	readers.Wait()
}
