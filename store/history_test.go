package store

import (
	"testing"

	"github.com/consentd/consentd/consent"

	"github.com/google/go-cmp/cmp"
)

// TestHistoryByPages reads a history with pages of every length, and gets the same events as in one page.
func TestHistoryByPages(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	key := nthKey(1)
	for _, at := range []consent.Time{50, 10, 30, 30, 20} { // out of order, and two at once
		f.write(key, event(consent.Used, at, "newsletter/email"), granted(at, "newsletter/email"))
	}
	f.write(nthKey(2), granted(40, "newsletter/email"))
	want := history(t, f.store, key)
	if len(want) != 8 {
		t.Fatalf("the history has %d events, want 8: those of 30 came twice", len(want))
	}
	for limit := 1; limit <= len(want)+1; limit++ {
		var got []consent.RecordedEvent
		page := consent.HistoryPage{Limit: limit}
		for more := true; more; {
			var events []consent.RecordedEvent
			var err error
			if events, more, err = f.store.History(key, page); err != nil {
				t.Fatal(err)
			}
			if len(events) > limit || more && len(events) < limit {
				t.Fatalf("a page of %d has %d events, more %v", limit, len(events), more)
			}
			got = append(got, events...)
			last := events[len(events)-1]
			page.AfterTime, page.AfterIndex, page.AfterOrdinal = last.Event.OccurredAt, last.Index, last.Ordinal
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("by pages of %d (-in one +by pages):\n%s", limit, diff)
		}
	}
}

func TestHistoryOfNobody(t *testing.T) {
	s := openStore(t, Options{})
	if events, more, err := s.History(nthKey(1), consent.HistoryPage{Limit: 1}); len(events) != 0 || more || err != nil {
		t.Errorf("History = %v, %v, %v", events, more, err)
	}
	if _, _, err := s.History(nthKey(1), consent.HistoryPage{}); err == nil {
		t.Error("a page of no events has no error")
	}
}

func TestAfterPrefix(t *testing.T) {
	tests := []struct{ prefix, want []byte }{
		{[]byte{1}, []byte{2}}, {[]byte{1, 0xff}, []byte{2}}, {[]byte{1, 0xff, 7}, []byte{1, 0xff, 8}}, {[]byte{0xff, 0xff}, nil},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, afterPrefix(tt.prefix)); diff != "" {
			t.Errorf("afterPrefix(%x) (-want +got):\n%s", tt.prefix, diff)
		}
	}
}
