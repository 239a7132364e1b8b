package store

import (
	"testing"

	"github.com/consentd/consentd/consent"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
)

const (
	year  = 365 * 24 * 60 * minute
	phone = "newsletter/phone" // whose evidence the shop has to keep (Sec. 7a UWG)
)

// summary is what a history comes to for these tests.
func summary(events []consent.RecordedEvent) (kinds []consent.EventKind, retained int) {
	for _, e := range events {
		kinds = append(kinds, e.Event.Kind)
		if e.RetainedUntil != 0 {
			retained++
		}
	}
	return kinds, retained
}

// visible returns what a page without evidence lists.
func visible(tb testing.TB, s *Store, key Key) []consent.EventKind {
	tb.Helper()
	events, _, err := s.History(key, consent.HistoryPage{Limit: 100})
	if err != nil {
		tb.Fatal(err)
	}
	kinds, _ := summary(events)
	return kinds
}

// TestErasureByEvent: what goes, what stays folded, and what stays as evidence, whichever way the erasure comes.
func TestErasureByEvent(t *testing.T) {
	at := firstStamp - 10*minute
	before := []consent.Event{
		granted(at, "newsletter/email"), granted(at+1, phone), event(consent.Withdrawn, at+2, "newsletter/post"),
		event(consent.Used, at+3, phone),
	}
	erased, after := event(consent.Erased, at+5), granted(at+6, "newsletter/email")
	tests := []struct {
		name   string
		writes [][]consent.Event
	}{
		{"dated last", [][]consent.Event{before, {erased}, {after}}},
		{"in one write", [][]consent.Event{append(append([]consent.Event{}, before...), erased, after)}},
		{"late", [][]consent.Event{append(append([]consent.Event{}, before...), after), {erased}}},
		{"twice", [][]consent.Event{before, {erased}, {erased}, {after}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFeeder(t, openStore(t, Options{}))
			f.mustPut(shopPolicy(t, 1), "")
			for _, events := range tt.writes {
				f.write(nthKey(1), events...)
			}
			kinds, retained := summary(history(t, f.store, nthKey(1)))
			want := []consent.EventKind{consent.Granted, consent.Withdrawn, consent.Used, consent.Erased, consent.Granted}
			if diff := cmp.Diff(want, kinds); diff != "" || retained != 2 {
				t.Errorf("%d events are retained, want the grant and the use by phone; kinds (-want +got):\n%s", retained, diff)
			}
			want = []consent.EventKind{consent.Withdrawn, consent.Erased, consent.Granted}
			if diff := cmp.Diff(want, visible(t, f.store, nthKey(1))); diff != "" {
				t.Errorf("without evidence (-want +got):\n%s", diff)
			}
			p := f.store.Head().Tenants[testTenant].Policy.Permission("newsletter/email")
			if got := f.record(nthKey(1)); got.ErasedAt() != at+5 || got.Consent(p).Since != at+6 {
				t.Errorf("erased at %d, given at %d", got.ErasedAt(), got.Consent(p).Since)
			}
		})
	}
}

// TestLateEventsAfterAnErasure: what dates from before leaves no trace, a "no" apart; evidence that is retained isn't folded again.
func TestLateEventsAfterAnErasure(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	f.mustPut(shopPolicy(t, 1), "")
	at := firstStamp - 10*minute
	f.write(nthKey(1), granted(at, phone))
	f.write(nthKey(1), event(consent.Erased, at+5))
	checkEffects(t, f.write(nthKey(1), granted(at+1, "newsletter/email")), consent.Superseded)
	checkEffects(t, f.write(nthKey(1), granted(at, phone)), consent.Superseded) // as if the evidence weren't there
	checkEffects(t, f.write(nthKey(1), event(consent.Withdrawn, at+2, "newsletter/email")), consent.Applied)
	p := f.store.Head().Tenants[testTenant].Policy.Permission(phone)
	if got := f.record(nthKey(1)).Consent(p).State; got == consent.StateGiven {
		t.Error("evidence of an erased consent was folded into the record")
	}
	if diff := cmp.Diff([]consent.EventKind{consent.Withdrawn, consent.Erased}, visible(t, f.store, nthKey(1))); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

// TestEvidenceGoesWhenDue: it isn't listed any more from that instant, and removed a little at a time, also after a start.
func TestEvidenceGoesWhenDue(t *testing.T) {
	o := Options{FS: vfs.NewMem(), Dir: "dir"}
	s := openStore(t, o)
	f := newFeeder(t, s)
	f.mustPut(shopPolicy(t, 1), "")
	const subjects = maxRemovals + 10
	at := f.stamp - minute
	for i := range uint64(subjects) {
		f.write(nthKey(i), granted(at, phone), event(consent.Erased, at+5))
	}
	if n := evidence(t, s); n != subjects {
		t.Fatalf("%d events are retained, want %d", n, subjects)
	}
	f.stamp = at + 4*year
	f.write(nthKey(9999), granted(0, "newsletter/email"))
	if n, listed := evidence(t, s), len(history(t, s, nthKey(0))); n != subjects || listed != 2 {
		t.Errorf("after four years %d events are retained, and %d of a subject's listed; want %d and 2", n, listed, subjects)
	}
	closeStore(t, s)
	s = openStore(t, o)
	f.store = s
	f.stamp = at + 6*year
	for _, want := range []int{subjects - maxRemovals, 0, 0} {
		f.write(nthKey(9999), event(consent.Used, 0, "newsletter/email"))
		if got := evidence(t, s); got != want {
			t.Errorf("after six years %d events are retained, want %d", got, want)
		}
		for i := range uint64(subjects) {
			if n := len(history(t, s, nthKey(i))); n != 1 {
				t.Fatalf("subject %d has %d events, want the erasure alone", i, n)
			}
		}
	}
	if got := s.state.Load().nextDue; got != never {
		t.Errorf("the next evidence is due at %d, want never", got)
	}
	if stateHash(t, s) != stateHash(t, f.replay(f.index())) {
		t.Error("a replay comes to another state")
	}
}

// evidence counts what the ledger holds for a time, in the index and among the events.
func evidence(tb testing.TB, s *Store) (indexed int) {
	tb.Helper()
	db := s.state.Load().ledger.db
	err := eachWith(db, []byte{prefixDue}, func(_, _ []byte) error {
		indexed++
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	events := 0
	err = eachWith(db, []byte{prefixEvent}, func(key, value []byte) error {
		e, err := decodeEventValue(key, value)
		if e.retainedUntil != 0 {
			events++
		}
		return err
	})
	if err != nil || events != indexed {
		tb.Fatalf("%d events are retained, and %d indexed; error %v", events, indexed, err)
	}
	return indexed
}
