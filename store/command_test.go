package store

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"
	"time"

	"github.com/consentd/consentd/consent"

	"github.com/google/go-cmp/cmp"
)

// someCommands are one of each kind.
func someCommands() []Command {
	return []Command{
		{TermStart: &TermStart{Term: 7, CheckValue: [16]byte{1, 2, 3}, Epoch: 1 << 60, Bound: 1500 * time.Millisecond}},
		{Member: &MemberCommand{ID: "node-1", StaysLearner: true}},
		{Member: &MemberCommand{ID: "node-2", Removed: true}},
		{Write: &WriteCommand{Tenant: testTenant, RequestID: requestID(firstStamp, 1), Events: []KeyedEvent{
			{nthKey(1), granted(firstStamp, "newsletter/email", "newsletter/post")},
			{nthKey(2), consent.Event{Kind: consent.Withdrawn}},
		}}},
		{Policy: &PolicyCommand{Tenant: "", RequestID: requestID(firstStamp, 2), Document: []byte("a: b\n"), ETag: consent.ETagNone}},
		{Write: &WriteCommand{Tenant: "empty"}},
	}
}

func TestEntryRoundTrip(t *testing.T) {
	want := someCommands()
	stamp, commands, err := decodeEntry(EncodeEntry(firstStamp, want))
	if err != nil {
		t.Fatal(err)
	}
	var got []Command
	for _, c := range commands {
		got = append(got, c.Command)
	}
	if diff := cmp.Diff(want, got); diff != "" || stamp != firstStamp {
		t.Errorf("stamp %d, want %d; commands (-want +got):\n%s", stamp, firstStamp, diff)
	}
}

// TestEntryRefusesDamage flips every bit and cuts at every length.
func TestEntryRefusesDamage(t *testing.T) {
	whole := EncodeEntry(firstStamp, someCommands())
	for i := range whole {
		if _, _, err := decodeEntry(whole[:i]); !errors.Is(err, ErrEntry) {
			t.Fatalf("cut to %d bytes: %v, want ErrEntry", i, err)
		}
		for bit := range 8 {
			damaged := append([]byte(nil), whole...)
			damaged[i] ^= 1 << bit
			if _, _, err := decodeEntry(damaged); !errors.Is(err, ErrEntry) {
				t.Fatalf("bit %d of byte %d flipped: %v, want ErrEntry", bit, i, err)
			}
		}
	}
}

// sealed gives a body the checksum that fits, so that a test gets past it.
func sealed(body []byte) []byte {
	return binary.LittleEndian.AppendUint32(append([]byte(nil), body...), crc32.Checksum(body, castagnoli))
}

func TestEntryRefusesWhatItDoesNotKnow(t *testing.T) {
	head := func(commands ...byte) []byte { return append(make([]byte, entryHead-1, 64), commands...) }
	tests := []struct {
		name string
		body []byte
	}{
		{"another version", append([]byte{entryVersion + 1}, head()...)},
		{"an unknown kind", append([]byte{entryVersion}, head(1, 99)...)},
		{"an empty command", append([]byte{entryVersion}, head(0)...)},
		{"a length beyond the end", append([]byte{entryVersion}, head(0xff, 0xff, 0xff, 0xff, 0x0f, kindWrite)...)},
		{"a length without an end", append([]byte{entryVersion}, head(0xff, 0xff)...)},
		{"neither yes nor no", append([]byte{entryVersion}, head(4, kindMember, 2, 0, 'a')...)},
		{"a term start that is cut", append([]byte{entryVersion}, head(3, kindTermStart, 1, 2)...)},
		{"a term start that goes on", append([]byte{entryVersion}, head(append([]byte{42, kindTermStart}, make([]byte, 41)...)...)...)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, _, err := decodeEntry(sealed(tt.body)); !errors.Is(err, ErrEntry) {
				t.Errorf("error %v, want ErrEntry", err)
			}
		})
	}
}

// FuzzDecodeEntry decodes anything: without a panic, and so that what it takes for an entry is one that it would write.
func FuzzDecodeEntry(f *testing.F) {
	f.Add(EncodeEntry(firstStamp, nil))
	for _, c := range someCommands() {
		f.Add(EncodeEntry(firstStamp, []Command{c}))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, entry := range [][]byte{text, sealed(text)} {
			stamp, commands, err := decodeEntry(entry)
			if err != nil {
				continue
			}
			var again []Command
			for _, c := range commands {
				again = append(again, c.Command)
			}
			encoded := EncodeEntry(stamp, again)
			if _, twice, err := decodeEntry(encoded); err != nil || len(twice) != len(commands) {
				t.Fatalf("%x encodes to %x, which decodes to %d commands and %v", entry, encoded, len(twice), err)
			}
		}
	})
}
