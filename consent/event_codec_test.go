package consent

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// everyEvent returns an event of each kind, and some with all the details there are.
func everyEvent() []Event {
	yes, no, country, none := true, false, "DE", ""
	var events []Event
	for kind := Granted; kind <= Erased; kind++ {
		events = append(events, Event{Kind: kind})
	}
	return append(events,
		Event{
			Kind: Granted, OccurredAt: MaxTime,
			Scope:    Scope{Permissions: []string{email, ""}, Purposes: []string{"ads"}, Channels: []string{"post"}},
			Evidence: Evidence{NoticeVersion: math.MaxUint32, NoticeHash: strings.Repeat("h", hashBytes), Method: 22, Source: "s", Reference: "r"},
			Terms:    Terms{Explicit: true, OverridesRestriction: true, ValidFrom: 1, ExpiresAt: MaxTime},
		},
		Event{Kind: Withdrawn, OccurredAt: math.MinInt64},
		Event{Kind: Objected, OccurredAt: math.MaxInt64, Objection: ObjectionProcessing},
		Event{Kind: EvidenceAdded, OccurredAt: 2, GrantAt: 1},
		Event{Kind: AttributesSet, OccurredAt: 1, Attributes: Attributes{
			BirthDate: &Date{2011, 7, 24}, Country: &country, GuardianAuthorised: &yes, Relationship: RelationshipFormerCustomer,
			AddressFromSale: &no, OptOutNoticeGiven: &yes, ContractActive: &no, Business: &yes,
		}},
		Event{Kind: AttributesSet, OccurredAt: 1, Attributes: Attributes{BirthDate: &Date{}, Country: &none}},
	)
}

func TestEventsSurviveTheirEncoding(t *testing.T) {
	for _, e := range everyEvent() {
		data := AppendEvent([]byte("before"), e)
		got, err := DecodeEvent(data[len("before"):])
		if err != nil {
			t.Errorf("%+v: %v", e, err)
		}
		if diff := cmp.Diff(e, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		e := drawEvent(t, Time(rapid.Int64().Draw(t, "at")&int64(MaxTime)|1))
		got, err := DecodeEvent(AppendEvent(nil, e))
		if diff := cmp.Diff(e, got); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
}

// The ledger holds these bytes for years, so that they must never change.
func TestEventEncodingIsFixed(t *testing.T) {
	e := granted(1_700_000_000_000, explicit)
	want := "\x01\x01\x80\xa0\xab\xfe\xf9\x62\xe9\x03\x01\x10newsletter/email\x03\x01\x08checkout\x0aforms/8812"
	if got := AppendEvent(nil, e); string(got) != want {
		t.Errorf("encoded as %q, want %q", got, want)
	}
}

func TestDecodeEventRejects(t *testing.T) {
	whole := AppendEvent(nil, granted(10, until(90)))
	for n := range whole {
		if _, err := DecodeEvent(whole[:n]); !errors.Is(err, errEvent) {
			t.Errorf("%d bytes of %d: %v", n, len(whole), err)
		}
	}
	for _, tt := range []struct{ name, data string }{
		{"bytes left over", string(whole) + "\x00"},
		{"another version", "\x02" + string(whole[1:])},
		{"kind zero", "\x01\x00\x02\x00"},
		{"an unknown kind", "\x01\x14\x02\x00"},
		{"a number too long", "\x01\x05\x82\x00\x00"},
		{"unknown fields", "\x01\x05\x02\x80\x80\x02"},
		{"an empty list", "\x01\x05\x02\x01\x00"},
		{"an endless list", "\x01\x05\x02\x01\xff\xff\xff\xff\x0f"},
		{"an empty text", "\x01\x01\x02\x40\x00"},
		{"a method of zero", "\x01\x01\x02\x20\x00"},
		{"a notice of zero", "\x01\x01\x02\x08\x00"},
		{"a time of zero", "\x01\x01\x02\x80\x08\x00"},
		{"a notice too large", "\x01\x01\x02\x08\x80\x80\x80\x80\x10"},
		{"attributes of nothing", "\x01\x11\x02\x80\x80\x01\x00"},
		{"yes to nothing", "\x01\x11\x02\x80\x80\x01\x10"},
		{"unknown attributes", "\x01\x11\x02\x80\x80\x01\x80\x40"},
	} {
		if e, err := DecodeEvent([]byte(tt.data)); !errors.Is(err, errEvent) {
			t.Errorf("%s: decoded as %+v, %v", tt.name, e, err)
		}
	}
}

// FuzzDecodeEvent holds that what is accepted is encoded to the same bytes, and that folding it, if it is valid, makes a valid record.
func FuzzDecodeEvent(f *testing.F) {
	for _, e := range everyEvent() {
		f.Add(AppendEvent(nil, e))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := DecodeEvent(data)
		if err != nil {
			return
		}
		if again := AppendEvent(nil, e); !bytes.Equal(again, data) {
			t.Fatalf("%x was decoded, and encoded as %x", data, again)
		}
		if ValidateEvent(e) != nil {
			return
		}
		names, err := (*Names)(nil).AddScope(e.Scope)
		if err != nil {
			t.Fatal(err)
		}
		e = e.Clamped(MaxTime)
		c := FoldContext{Names: names, Index: 1}
		r, _ := Fold(nil, e, c)
		if err := r.Validate(); err != nil {
			t.Fatalf("%+v: %v", e, err)
		}
		if again := FoldHistory([]Event{e}, c); !slices.Equal(r, again) {
			t.Fatalf("%+v folds to %x and to %x", e, []uint64(r), []uint64(again))
		}
	})
}
