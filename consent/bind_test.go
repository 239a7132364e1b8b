package consent

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// bindings returns the numbers that a bound policy has for its names.
func bindings(p *Policy) map[string]Binding {
	all := map[string]Binding{}
	for i := range p.Permissions {
		of := &p.Permissions[i]
		all[of.Name] = Binding{of.ID, of.PurposeID, of.ChannelID}
	}
	return all
}

// TestBindTo: a policy bound elsewhere to the numbers that a replica gave decides like the replica's.
func TestBindTo(t *testing.T) {
	parsed, err := ParsePolicy([]byte(bindPolicy))
	if err != nil {
		t.Fatal(err)
	}
	there, names, err := parsed.Bind(7, nil)
	if err != nil {
		t.Fatal(err)
	}
	here, err := parsed.BindTo(7, bindings(there))
	if err != nil || here.Version != 7 || here == parsed {
		t.Fatalf("%+v, %v", here, err)
	}
	record, _ := Fold(nil, Event{
		Kind: Granted, OccurredAt: genStart, Scope: Scope{Permissions: []string{"newsletter/email", "crm"}},
		Evidence: Evidence{Method: MethodWebForm, Reference: "form-1"},
	}, FoldContext{Tenant: 1, Names: names, Index: 3})
	for i := range parsed.Permissions {
		name := parsed.Permissions[i].Name
		if parsed.Permission(name).ID != 0 {
			t.Errorf("%s: the parsed policy was bound too", name)
		}
		want := Decide(there.Permission(name), record, Question{}, genStart+1)
		if got := Decide(here.Permission(name), record, Question{}, genStart+1); got != want {
			t.Errorf("%s: %v here, %v there", name, got, want)
		}
	}
}

const bindPolicy = `
purposes:
  newsletter:
    direct_marketing: true
    channels:
      email: {bases: [consent]}
      phone: {bases: [consent]}
  crm:
    bases: [consent]
`

// TestBindToWantsEveryNumber: a policy with a name that has none, or another shape, isn't used.
func TestBindToWantsEveryNumber(t *testing.T) {
	parsed, err := ParsePolicy([]byte(bindPolicy))
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]Binding{
		"no permission":                  {},
		"no purpose":                     {ID: 1, ChannelID: 3},
		"no channel":                     {ID: 1, PurposeID: 2},
		"a channel that it doesn't have": {ID: 1, PurposeID: 2, ChannelID: 3},
	} {
		t.Run(name, func(t *testing.T) {
			bound, _, err := parsed.Bind(1, nil)
			if err != nil {
				t.Fatal(err)
			}
			all := bindings(bound)
			if b.ChannelID != 0 && b.PurposeID != 0 {
				all["crm"] = b
			} else {
				all["newsletter/email"] = b
			}
			if p, err := parsed.BindTo(1, all); err == nil {
				t.Errorf("bound to %v: %+v", all, p)
			}
		})
	}
	if p, err := parsed.BindTo(1, nil); err == nil {
		t.Errorf("bound to nothing: %+v", p)
	}
}

// TestForDecisions: what is cut for who only decides is a record, decides the same, and lies in the space given.
func TestForDecisions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t)
		whole := s.record()
		before := slices.Clone(whole)
		var space Buffer
		cut := whole.ForDecisions(space[:0])
		if len(whole) == 0 {
			if cut != nil {
				t.Fatalf("of nothing %x was left", cut)
			}
			return
		}
		if err := cut.Validate(); err != nil {
			t.Fatalf("%x of %x: %v", cut, whole, err)
		}
		if len(cut) <= len(space) && &cut[0] != &space[0] {
			t.Fatal("it doesn't lie in the space given")
		}
		if cut.Index() != whole.Index() || cut.Tenant() != whole.Tenant() || len(cut) > len(whole) {
			t.Fatalf("%x of %x", cut, whole)
		}
		for range asksPerHistory {
			q, now := drawQuestion(t), drawNow(t)
			want, got := Decide(s.p, whole, q, now), Decide(s.p, cut, q, now)
			if got != want {
				t.Fatalf("%x decides %v, and %x decided %v", cut, got, whole, want)
			}
		}
		clear(cut)
		if !slices.Equal(whole, before) {
			t.Fatal("it shares memory with the whole record")
		}
	})
}

func TestBucket(t *testing.T) {
	for _, tt := range []struct {
		pseudonym Pseudonym
		want      uint32
	}{
		{Pseudonym{0, 1<<64 - 1}, 0},
		{Pseudonym{1<<44 - 1, 0}, 0},
		{Pseudonym{1 << 44, 0}, 1},
		{Pseudonym{1<<64 - 1, 0}, Buckets - 1},
	} {
		if got := tt.pseudonym.Bucket(); got != tt.want {
			t.Errorf("%x is in bucket %d, want %d", tt.pseudonym, got, tt.want)
		}
	}
}
