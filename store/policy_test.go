package store

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/consentd/consentd/consent"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
)

// shopPolicy is the example's policy, with a line that makes each version another document.
func shopPolicy(tb testing.TB, version int) []byte {
	tb.Helper()
	document, err := os.ReadFile("../examples/shop/policy.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	return append(document, fmt.Sprintf("# version %d\n", version)...)
}

func (f *feeder) put(document []byte, etag string) Result {
	f.tb.Helper()
	return f.apply(Command{Policy: &PolicyCommand{Tenant: testTenant, RequestID: f.id(), Document: document, ETag: etag}})[0]
}

// mustPut returns the version that a document got.
func (f *feeder) mustPut(document []byte, etag string) *consent.PolicyVersion {
	f.tb.Helper()
	r := f.put(document, etag)
	if r.Err != nil {
		f.tb.Fatal(r.Err)
	}
	return r.Policy
}

func TestPoliciesAreCountedAndKept(t *testing.T) {
	o := Options{FS: vfs.NewMem(), Dir: "dir"}
	s := openStore(t, o)
	f := newFeeder(t, s)
	f.write(nthKey(1), granted(0, "newsletter/email"))
	var want []consent.PolicyVersion
	for version := 1; version <= 3; version++ {
		r := f.put(shopPolicy(t, version), "")
		if r.Err != nil || !r.PolicyChanged || r.Policy.Version != int64(version) || r.Policy.Revision != r.Revision || r.Policy.PutAt != r.Stamp {
			t.Fatalf("version %d came to %+v", version, r)
		}
		want = append([]consent.PolicyVersion{*r.Policy}, want...)
	}
	checkKept := func() {
		t.Helper()
		tenant := s.Head().Tenants[testTenant]
		p := tenant.Policy.Permission("newsletter/email")
		if tenant.Policy.Version != 3 || p.ID == 0 || p.ID != tenant.Names.ID(consent.PermissionName, "newsletter/email") {
			t.Errorf("the head has version %d, with number %d for newsletter/email", tenant.Policy.Version, p.ID)
		}
		for _, v := range want {
			got, err := s.Policy(testTenant, v.Version)
			if diff := cmp.Diff(v, got); diff != "" || err != nil {
				t.Errorf("version %d: error %v (-put +read):\n%s", v.Version, err, diff)
			}
		}
		newest, err := s.Policy(testTenant, 0)
		if diff := cmp.Diff(want[0], newest); diff != "" || err != nil {
			t.Errorf("the newest: error %v (-put +read):\n%s", err, diff)
		}
	}
	checkKept()
	closeStore(t, s)
	s = openStore(t, o)
	checkKept()
}

func TestPolicyVersionsByPages(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	for version := 1; version <= 3; version++ {
		f.mustPut(shopPolicy(t, version), "")
	}
	tests := []struct {
		before int64
		limit  int
		want   []int64
	}{{0, 10, []int64{3, 2, 1}}, {0, 2, []int64{3, 2}}, {2, 2, []int64{1}}, {1, 2, nil}}
	for _, tt := range tests {
		versions, err := f.store.PolicyVersions(testTenant, tt.before, tt.limit)
		var got []int64
		for _, v := range versions {
			if got = append(got, v.Version); v.Document != nil || v.ETag == "" {
				t.Errorf("version %d: %d bytes of document, etag %q; want none, and one", v.Version, len(v.Document), v.ETag)
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("below %d, up to %d: error %v (-want +got):\n%s", tt.before, tt.limit, err, diff)
		}
	}
}

func TestPutPolicyByETag(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	refused := func(etag string) {
		t.Helper()
		if r := f.put(shopPolicy(t, 9), etag); !errors.Is(r.Err, consent.ErrETag) || r.Policy != nil {
			t.Errorf("etag %q: %+v, want ErrETag", etag, r)
		}
	}
	refused("1-0000000000000000")
	first := f.mustPut(shopPolicy(t, 1), consent.ETagNone)
	refused(consent.ETagNone)
	second := f.mustPut(shopPolicy(t, 2), first.ETag)
	refused(first.ETag)
	f.mustPut(shopPolicy(t, 1), second.ETag)
	refused(first.ETag) // the same document again is another version
}

func TestPutPolicyAgainChangesNothing(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	first := f.put(shopPolicy(t, 1), "")
	again := f.put(shopPolicy(t, 1), first.Policy.ETag)
	if diff := cmp.Diff(first.Policy, again.Policy); diff != "" || again.PolicyChanged || again.Revision == first.Revision {
		t.Errorf("changed %v, revision %v (-first +again):\n%s", again.PolicyChanged, again.Revision, diff)
	}
}

func TestRepeatedPoliciesGetTheFirstResult(t *testing.T) {
	o := Options{FS: vfs.NewMem(), Dir: "dir"}
	s := openStore(t, o)
	f := newFeeder(t, s)
	c := Command{Policy: &PolicyCommand{Tenant: testTenant, RequestID: f.id(), Document: shopPolicy(t, 1), ETag: consent.ETagNone}}
	results := f.apply(c, c)
	f.mustPut(shopPolicy(t, 2), "")
	results = append(results, f.apply(c)...)
	closeStore(t, s)
	f.store = openStore(t, o)
	results = append(results, f.apply(c)...)
	for i, r := range results {
		if diff := cmp.Diff(results[0], r); diff != "" || r.Err != nil || !r.PolicyChanged {
			t.Errorf("repeat %d: %+v (-first +repeat):\n%s", i, r, diff)
		}
	}
}

func TestRefusedPolicies(t *testing.T) {
	f := newFeeder(t, openStore(t, Options{}))
	var faults *consent.PolicyError
	if r := f.put([]byte("no policy"), ""); !errors.As(r.Err, &faults) {
		t.Errorf("error %v, want a PolicyError", r.Err)
	}
	if _, err := f.store.Policy(testTenant, 0); !errors.Is(err, consent.ErrUnknownTenant) {
		t.Errorf("the policy of an unknown tenant: %v", err)
	}
	if _, err := f.store.PolicyVersions(testTenant, 0, 1); !errors.Is(err, consent.ErrUnknownTenant) {
		t.Errorf("the policies of an unknown tenant: %v", err)
	}
	f.write(nthKey(1), granted(0, "newsletter/email"))
	for _, version := range []int64{0, 1, -1} {
		if _, err := f.store.Policy(testTenant, version); !errors.Is(err, consent.ErrUnknownVersion) {
			t.Errorf("version %d, where there is none: %v", version, err)
		}
	}
}
