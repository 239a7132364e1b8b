package consent

import (
	"errors"
	"testing"

	"pgregory.net/rapid"
)

func TestRevisionTokens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Revision{rapid.Uint64().Draw(t, "epoch"), rapid.Uint64().Draw(t, "index")}
		got, err := ParseRevision(want.String())
		if err != nil || got != want {
			t.Fatalf("ParseRevision(%q) = %v, %v, want %v", want.String(), got, err, want)
		}
	})
}

func TestParseRevisionRefuses(t *testing.T) {
	token := Revision{1, 2}.String()
	for name, bad := range map[string]string{
		"a word":            "latest",
		"a number":          "42",
		"cut short":         token[:len(token)-1],
		"too long":          token + "AA",
		"another format":    "AgAAAAAAAAABAAAAAAAAAAI",
		"padded":            token + "=",
		"with a line break": token + "\n",
		"a stray bit":       token[:len(token)-1] + "J",
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := ParseRevision(bad); !errors.Is(err, ErrRevision) {
				t.Errorf("ParseRevision(%q) = %v, %v, want ErrRevision", bad, got, err)
			}
		})
	}
}

func FuzzParseRevision(f *testing.F) {
	f.Add("")
	f.Add(Revision{1, 2}.String())
	f.Fuzz(func(t *testing.T, token string) {
		r, err := ParseRevision(token)
		if err == nil && r.String() != token && r != (Revision{}) {
			t.Errorf("%q and %q are both tokens of %v", token, r.String(), r)
		}
	})
}
