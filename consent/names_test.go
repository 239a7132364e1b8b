package consent

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestValidNames(t *testing.T) {
	long := strings.Repeat("a", 64)
	tests := []struct {
		text             string
		name, permission bool
	}{
		{"newsletter", true, true},
		{"crm_storage", true, true},
		{"2.a-b_c", true, true},
		{long, true, true},
		{long + "a", false, false},
		{long + "/" + long, false, true},
		{long + "/" + long + "a", false, false},
		{"newsletter/email", false, true},
		{"newsletter/", false, false},
		{"/email", false, false},
		{"newsletter/email/de", false, false},
		{"", false, false},
		{"Newsletter", false, false},
		{"news letter", false, false},
		{"brände", false, false},
		{"a\x00", false, false},
	}
	for _, test := range tests {
		if err := ValidName(test.text); (err == nil) != test.name {
			t.Errorf("ValidName(%q) = %v", test.text, err)
		}
		if err := ValidPermission(test.text); (err == nil) != test.permission {
			t.Errorf("ValidPermission(%q) = %v", test.text, err)
		}
	}
}

func TestNilNamesAreEmpty(t *testing.T) {
	var n *Names
	purpose, channel := n.Parts(1)
	kind, text := n.Name(1)
	if n.Len() != 0 || n.ID(PurposeName, "a") != 0 || purpose != 0 || channel != 0 || kind != 0 || text != "" {
		t.Errorf("names that don't exist have a name")
	}
	if added, err := n.AddScope(Scope{}); added != nil || err != nil {
		t.Errorf("adding nothing gave %v, %v", added, err)
	}
}

func TestNamesGiveAPermissionItsParts(t *testing.T) {
	n, err := (*Names)(nil).AddScope(Scope{
		Purposes: []string{"newsletter"}, Permissions: []string{"newsletter/email", "crm_storage"}, Channels: []string{"email", "phone"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		kind             NameKind
		text             string
		purpose, channel string
	}{
		{PermissionName, "newsletter/email", "newsletter", "email"},
		{PurposeName, "newsletter", "", ""},
		{ChannelName, "email", "", ""},
		{PermissionName, "crm_storage", "crm_storage", ""},
		{PurposeName, "crm_storage", "", ""},
		{ChannelName, "phone", "", ""},
	}
	if n.Len() != len(want) {
		t.Fatalf("%d names, want %d", n.Len(), len(want))
	}
	for i, w := range want {
		id := NameID(i + 1)
		if kind, text := n.Name(id); kind != w.kind || text != w.text || n.ID(w.kind, w.text) != id {
			t.Errorf("name %d is %d %q, found as %d; want %d %q", id, kind, text, n.ID(w.kind, w.text), w.kind, w.text)
		}
		purpose, channel := n.Parts(id)
		if purpose != n.ID(PurposeName, w.purpose) || channel != n.ID(ChannelName, w.channel) {
			t.Errorf("the parts of %q are %d and %d", w.text, purpose, channel)
		}
	}
}

// TestNamesAreImmutable holds names against a plain list, and every older value of them against what it was.
func TestNamesAreImmutable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type moment struct {
			names *Names
			want  []string
		}
		var moments []moment
		now := moment{}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			if len(moments) > 0 && rapid.IntRange(0, 4).Draw(t, "branch") == 0 {
				now = moments[rapid.IntRange(0, len(moments)-1).Draw(t, "moment")]
			}
			kind := NameKind(rapid.IntRange(int(PurposeName), int(ChannelName)).Draw(t, "kind"))
			many := rapid.SampledFrom([]int{1, 2, chunkNames - 1, chunkNames}).Draw(t, "many")
			scope, want := Scope{}, now.want[:len(now.want):len(now.want)]
			for range many {
				text := fmt.Sprint(rapid.IntRange(0, 2000).Draw(t, "text"))
				if kind == PurposeName {
					scope.Purposes = append(scope.Purposes, text)
				} else {
					scope.Channels = append(scope.Channels, text)
				}
				if key := fmt.Sprint(kind, text); !slices.Contains(want, key) {
					want = append(want, key)
				}
			}
			names, err := now.names.AddScope(scope)
			if err != nil {
				t.Fatal(err)
			}
			now = moment{names, want}
			moments = append(moments, now)
		}
		for _, m := range moments {
			if m.names.Len() != len(m.want) {
				t.Fatalf("%d names, want %d", m.names.Len(), len(m.want))
			}
			for i, want := range m.want {
				kind, text := m.names.Name(NameID(i + 1))
				if fmt.Sprint(kind, text) != want || m.names.ID(kind, text) != NameID(i+1) {
					t.Fatalf("name %d is %d %q, want %s", i+1, kind, text, want)
				}
			}
		}
	})
}

func TestNamesRunOut(t *testing.T) {
	scope := Scope{Purposes: make([]string, maxNameID-1)}
	for i := range scope.Purposes {
		scope.Purposes[i] = fmt.Sprint("p", i)
	}
	almost, err := (*Names)(nil).AddScope(scope)
	if err != nil {
		t.Fatal(err)
	}
	// A permission with a new purpose needs two numbers, and there is one left.
	same, err := almost.Add(PermissionName, "new")
	if !errors.Is(err, ErrTooManyNames) || same != almost || almost.Len() != maxNameID-1 {
		t.Fatalf("a name too many: %v, %d names", err, almost.Len())
	}
	full, err := almost.Add(PermissionName, "p1")
	if err != nil || full.Len() != maxNameID {
		t.Fatalf("the last name: %v", err)
	}
	if purpose, _ := full.Parts(maxNameID); purpose != full.ID(PurposeName, "p1") {
		t.Errorf("the last permission's purpose is %d", purpose)
	}
	if _, err = full.Add(ChannelName, "email"); !errors.Is(err, ErrTooManyNames) {
		t.Errorf("no number is left, but: %v", err)
	}
	if again, err := full.Add(PurposeName, "p7"); err != nil || again != full {
		t.Errorf("adding a name that is there: %v", err)
	}
}

func BenchmarkNamesID(b *testing.B) {
	for _, count := range []int{20, 20_000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			scope := Scope{Purposes: make([]string, count)}
			for i := range scope.Purposes {
				scope.Purposes[i] = fmt.Sprint("purpose_", i)
			}
			n, err := (*Names)(nil).AddScope(scope)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if n.ID(PurposeName, scope.Purposes[i%count]) == 0 {
					b.Fatal("a name isn't found")
				}
			}
		})
	}
}
