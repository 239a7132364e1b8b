package store

import (
	"strings"
	"testing"
)

func testPseudonymizer() Pseudonymizer {
	var key [16]byte
	for i := range key {
		key[i] = byte(i)
	}
	return NewPseudonymizer(key)
}

// TestPseudonymsNeverChange: with another one, no record of a running cluster would be found again.
func TestPseudonymsNeverChange(t *testing.T) {
	p := testPseudonymizer()
	if got, want := p.Of("default", "anna@example.com"), (Key{0x294d631e4e2a8f54, 0x1bbd4330e858955f}); got != want {
		t.Errorf("Of = %#x, want %#x", got, want)
	}
	if got, want := p.CheckValue(), [16]byte{0x6d, 0x5f, 0x2b, 0xc7, 0xec, 0x50, 0x89, 0xf5, 0x23, 0xf6, 0xad, 0x58, 0x8a, 0xdb, 0x4a, 0x59}; got != want {
		t.Errorf("CheckValue = %x, want %x", got, want)
	}
}

func TestPseudonymsDiffer(t *testing.T) {
	p := testPseudonymizer()
	long := strings.Repeat("x", 2*usualIDBytes)
	seen := map[Key][2]string{}
	for _, pair := range [][2]string{{"", ""}, {"a", "bc"}, {"ab", "c"}, {"abc", ""}, {"", "abc"}, {"a", "bd"}, {"a", long}, {"a", long + "x"}} {
		key := p.Of(pair[0], pair[1])
		if other, found := seen[key]; found {
			t.Errorf("%.10q and %.10q have the same pseudonym", pair, other)
		}
		seen[key] = pair
	}
	if NewPseudonymizer([16]byte{1}).Of("a", "bc") == p.Of("a", "bc") {
		t.Error("two keys make the same pseudonym")
	}
}

func TestPseudonymsAllocateNothing(t *testing.T) {
	p := testPseudonymizer()
	tenant, subject := "default", strings.Repeat("x", 256)
	if n := testing.AllocsPerRun(1000, func() { sink += p.Of(tenant, subject)[0] }); n != 0 {
		t.Errorf("a pseudonym allocates %v times", n)
	}
}

func BenchmarkPseudonym(b *testing.B) {
	p := testPseudonymizer()
	b.ReportAllocs()
	for b.Loop() {
		sink += p.Of("default", "anna@example.com")[0]
	}
}

// TestAllOfIsOf: together, of short ids and long ones, pseudonyms are what they are one by one.
func TestAllOfIsOf(t *testing.T) {
	p := NewPseudonymizer([16]byte{1, 2, 3})
	ids := []string{"anna@x.de", "", strings.Repeat("x", 600), "b", strings.Repeat("y", 256), "anna@x.de"}
	keys := make([]Key, len(ids))
	p.AllOf("shop", ids, keys)
	for i, id := range ids {
		if want := p.Of("shop", id); keys[i] != want {
			t.Errorf("the pseudonym of id %d is %x, want %x", i, keys[i], want)
		}
	}
}
