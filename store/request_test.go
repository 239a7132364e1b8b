package store

import (
	"errors"
	"testing"

	"github.com/consentd/consentd/consent"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
)

// again asks how a repeat is answered, in every state that a replica can be in: in the same entry, later, after a start, after a restore.
func TestRepeatsGetTheFirstResult(t *testing.T) {
	o := Options{FS: vfs.NewMem(), Dir: "dir"}
	s := openStore(t, o)
	f := newFeeder(t, s)
	c := f.command(nthKey(1), granted(firstStamp, "newsletter/email"), event(consent.Used, firstStamp+1, "newsletter/email"))
	results := f.apply(c, c)
	want := results[0]
	checkRepeat := func(when string, got Result) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-first +repeat):\n%s", when, diff)
		}
		if n := len(history(t, f.store, nthKey(1))); n != 2 {
			t.Errorf("%s: the history has %d events, want 2", when, n)
		}
	}
	checkRepeat("in the same entry", results[1])
	checkRepeat("in a later entry", f.apply(c)[0])
	closeStore(t, s)
	f.store = openStore(t, o)
	checkRepeat("after a start", f.apply(c)[0])
	other := openStore(t, Options{})
	restore(t, other, f.store)
	f.store = other
	checkRepeat("after a restore", f.apply(c)[0])
}

func TestReusedRequestIDs(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	c := f.command(nthKey(1), granted(firstStamp, "newsletter/email"))
	other := Command{Write: &WriteCommand{Tenant: "other", RequestID: c.Write.RequestID, Events: c.Write.Events}}
	policy := Command{Policy: &PolicyCommand{Tenant: testTenant, RequestID: c.Write.RequestID, Document: []byte("x")}}
	results := f.apply(c, other, policy)
	results = append(results, f.apply(other, policy)...)
	for _, r := range results[1:] {
		if !errors.Is(r.Err, consent.ErrRequestReused) {
			t.Errorf("error %v, want ErrRequestReused", r.Err)
		}
	}
	if f.store.Head().Tenants["other"] != nil {
		t.Error("a reused request id wrote something")
	}
}

func TestRequestIDsByTheirTime(t *testing.T) {
	tests := []struct {
		name string
		id   func(stamp consent.Time) consent.RequestID
		want error
	}{
		{"none", func(consent.Time) consent.RequestID { return consent.RequestID{} }, ErrRequestID},
		{"of another version", func(s consent.Time) consent.RequestID {
			id := requestID(s, 1)
			id[6] = 0x40
			return id
		}, ErrRequestID},
		{"of another variant", func(s consent.Time) consent.RequestID {
			id := requestID(s, 1)
			id[8] = 0
			return id
		}, ErrRequestID},
		{"as far ahead as may be", func(s consent.Time) consent.RequestID { return requestID(s+requestWindow, 1) }, nil},
		{"too far ahead", func(s consent.Time) consent.RequestID { return requestID(s+requestWindow+1, 1) }, consent.ErrRequestFuture},
		{"as old as may be", func(s consent.Time) consent.RequestID { return requestID(s-requestWindow, 1) }, nil},
		{"too old", func(s consent.Time) consent.RequestID { return requestID(s-requestWindow-second, 1) }, consent.ErrRequestExpired},
		{"of 1970", func(consent.Time) consent.RequestID { return requestID(1, 1) }, consent.ErrRequestExpired},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFeeder(t, openStore(t, Options{}))
			c := f.command(nthKey(1), granted(0, "newsletter/email"))
			c.Write.RequestID = tt.id(f.stamp + second)
			if got := f.apply(c)[0].Err; !errors.Is(got, tt.want) {
				t.Errorf("error %v, want %v", got, tt.want)
			}
		})
	}
}

// TestNothingIsExecutedTwice repeats a write in every second from its first time until long after it is forgotten.
func TestNothingIsExecutedTwice(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	c := f.command(nthKey(1), event(consent.Used, 0, "newsletter/email"))
	expired := 0
	for range 2 * requestWindow / second {
		switch err := f.apply(c)[0].Err; {
		case errors.Is(err, consent.ErrRequestExpired):
			expired++
		case err != nil || expired > 0:
			t.Fatalf("after %d refusals: %v", expired, err)
		}
	}
	if n := len(history(t, f.store, nthKey(1))); n != 1 || expired == 0 {
		t.Errorf("the history has %d events, want 1; %d repeats were too old", n, expired)
	}
}

// TestForgottenRequestsLeaveTheLedger counts what is left after an hour.
func TestForgottenRequestsLeaveTheLedger(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	for range 60 {
		f.stamp += minute
		f.write(nthKey(1), event(consent.Used, 0, "newsletter/email"))
	}
	st := f.store.state.Load()
	left := 0
	err := eachWith(st.ledger.db, []byte{prefixRequest}, func(_, _ []byte) error {
		left++
		return nil
	})
	if most := int(requestWindow/minute) + 2; err != nil || left > most || st.requests.count > most {
		t.Errorf("%d requests are in the ledger and %d in memory, want %d at most; error %v", left, st.requests.count, most, err)
	}
}

func TestShrinkForgetsTheOldest(t *testing.T) {
	r := newRequests()
	for i := range uint64(100) {
		r.add(requestID(firstStamp+consent.Time(i/10)*second, i))
	}
	horizon := r.shrink(35, 0)
	if r.count != 30 || horizon != uint64(firstStamp)/second+6 {
		t.Errorf("%d are left with horizon %d, want 30 and %d", r.count, horizon, uint64(firstStamp)/second+6)
	}
	for i := range uint64(100) {
		id := requestID(firstStamp+consent.Time(i/10)*second, i)
		if got, want := r.has(id), requestSecond(id) > horizon; got != want {
			t.Errorf("has request %d: %v, want %v", i, got, want)
		}
	}
	if r.shrink(35, horizon) != horizon {
		t.Error("the horizon moved though there was room")
	}
}
