package consent

import (
	"strings"
	"testing"
)

func TestDoor(t *testing.T) {
	tests := []struct {
		name, id string
		keepCase bool
		want     string
		usable   bool
	}{
		{"in form", "anna@x.de", false, "anna@x.de", true},
		{"upper case", "Anna@X.de", false, "anna@x.de", true},
		{"spaces around", "\t Anna@X.de\n", false, "anna@x.de", true},
		{"umlauts", "JÜRGEN@MÜLLER.de", false, "jürgen@müller.de", true},
		{"no-break space around", "\u00a0anna@x.de\u00a0", false, "anna@x.de", true},
		{"kept", " Anna@X.de", true, " Anna@X.de", true},
		{"customer number", "K-00ABC", false, "K-00ABC", true},
		{"other id with spaces around", " K-1 ", false, " K-1 ", true},
		{"only a space", " ", false, " ", true},
		{"two ats", "A@b@C", false, "A@b@C", true},
		{"nothing before", "@Anna", false, "@Anna", true},
		{"nothing after", "Anna@", false, "Anna@", true},
		{"spaces only before", " @Anna ", false, " @Anna ", true},
		{"a name beside", "Anna <Anna@X.de>", false, "Anna <Anna@X.de>", true},
		{"empty", "", false, "", false},
		{"256 bytes", strings.Repeat("x", 256), false, strings.Repeat("x", 256), true},
		{"257 bytes", strings.Repeat("x", 257), false, "", false},
		{"not UTF-8", "a\xff", false, "", false},
		{"longer in lower case", strings.Repeat("Ⱥ", 126) + "@x", false, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, usable := Door(tt.id, tt.keepCase)
			if usable != tt.usable || usable && got != tt.want {
				t.Errorf("Door(%q) = %q, %t; want %q, %t", tt.id, got, usable, tt.want, tt.usable)
			}
		})
	}
}

func TestDoorAllocatesNothing(t *testing.T) {
	for _, id := range []string{"anna.mustermann@example.org", "K-00ABC", "jürgen@müller.de"} {
		if n := testing.AllocsPerRun(100, func() { Door(id, false) }); n != 0 {
			t.Errorf("%q: %v allocations", id, n)
		}
	}
}

// FuzzDoor: what came out goes in unchanged, or else one subject would be two.
func FuzzDoor(f *testing.F) {
	for _, seed := range []string{"Anna@X.de", " İ@x ", "ǅ@Ⱥ", "a@b@c", "\u2003a@b\u2003", "ẞ@ß"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		once, usable := Door(id, false)
		if !usable {
			return
		}
		if twice, ok := Door(once, false); !ok || twice != once {
			t.Errorf("%q becomes %q, then %q", id, once, twice)
		}
	})
}

// TestPlainIDs compares each byte at each place, and with others around it, with what the slow way says.
func TestPlainIDs(t *testing.T) {
	for c := range 256 {
		for _, length := range []int{1, 7, 8, 9, 17} {
			for at := range length {
				id := []byte(strings.Repeat("x", length))
				id[at] = byte(c)
				want := c > ' ' && c < 0x80 && (c < 'A' || c > 'Z')
				if got := isPlain(string(id)); got != want {
					t.Fatalf("%q: %t, want %t", id, got, want)
				}
				if want && strings.ToLower(strings.TrimSpace(string(id))) != string(id) {
					t.Fatalf("%q isn't in form", id)
				}
			}
		}
	}
}
