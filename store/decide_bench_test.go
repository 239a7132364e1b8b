package store

import (
	"fmt"
	"testing"

	"github.com/consentd/consentd/consent"
)

// BenchmarkRecordAndDecide compares reading a record and deciding from it with a bare lookup in a Go map of the same keys, in the same
// random order. Half of the subjects allow, half deny; what each costs is told apart by asking for one half alone.
func BenchmarkRecordAndDecide(b *testing.B) {
	for _, n := range benchSizes() {
		b.Run(fmt.Sprintf("subjects=%d", n), func(b *testing.B) {
			benchmarkMap(b, n)
			benchmarkDecide(b, n)
		})
	}
}

func benchmarkDecide(b *testing.B, n int) {
	s, permission := openDecidable(b, n)
	now := s.Head().Stamp + second
	var buf Buffer
	ask := func(half uint64) func(Key) uint64 {
		return func(key Key) uint64 {
			d := consent.Decide(permission, s.Record(key, &buf), consent.Question{}, now)
			if d.Allowed != (half == 0) {
				b.Fatalf("the decision is %v (%v), for half %d", d.Allowed, d.Reason, half)
			}
			return uint64(d.Reason)
		}
	}
	b.Run(fmt.Sprintf("allow/%d", n), func(b *testing.B) { benchmarkKeys(b, 0, n/2, ask(0)) })
	b.Run(fmt.Sprintf("deny/%d", n), func(b *testing.B) { benchmarkKeys(b, n/2, n/2, ask(1)) })
	b.Run(fmt.Sprintf("unknown/%d", n), func(b *testing.B) { benchmarkKeys(b, n, n/2, ask(1)) })
}

// openDecidable returns a store of n subjects with four permissions each, of whom the first half has consented to the permission
// returned, and the second half has withdrawn.
func openDecidable(tb testing.TB, n int) (*Store, *consent.Permission) {
	tb.Helper()
	f := newFeeder(tb, openStore(tb, Options{}))
	const yes, no = 1 << 40, 1<<40 + 1
	f.write(nthKey(yes), granted(firstStamp, benchPermissions[:]...))
	f.write(nthKey(no), granted(firstStamp, benchPermissions[:]...), event(consent.Withdrawn, firstStamp+1, benchPermissions[0]))
	m := f.store.state.Load().memory
	for half, example := range []uint64{yes, no} {
		record := f.record(nthKey(example))
		for i := half * (n / 2); i < (half+1)*(n/2); i++ {
			m.put(nthKey(uint64(i)), record)
		}
	}
	names := f.store.Head().Tenants[testTenant].Names
	p := &consent.Permission{
		Name: benchPermissions[0], Purpose: "newsletter", Channel: "email", Kind: consent.KindEmail,
		ID: names.ID(consent.PermissionName, benchPermissions[0]), Bases: []consent.Basis{consent.BasisConsent},
		DirectMarketing: true, ProofRequired: true, NoticeCurrent: 3, NoticeMin: 2,
	}
	p.PurposeID, p.ChannelID = names.Parts(p.ID)
	return f.store, p
}

// TestDecidingAllocatesNothing guards the way of every check.
func TestDecidingAllocatesNothing(t *testing.T) {
	s, permission := openDecidable(t, 1000)
	now := s.Head().Stamp
	var buf Buffer
	n := uint64(0)
	got := testing.AllocsPerRun(1000, func() {
		n++
		sink += uint64(consent.Decide(permission, s.Record(nthKey(n), &buf), consent.Question{}, now).Reason)
	})
	if got != 0 {
		t.Errorf("reading and deciding allocates %v times", got)
	}
}
