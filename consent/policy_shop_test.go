package consent

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestShopPolicy holds the example to what the demo and the README promise of it.
func TestShopPolicy(t *testing.T) {
	document, err := os.ReadFile("../examples/shop/policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParsePolicy(document)
	if err != nil {
		t.Fatal(err)
	}
	ages := map[[2]byte]uint8{{'A', 'T'}: 14, {'F', 'R'}: 15}
	permission := func(purpose, channel string, kind Kind, bases ...Basis) Permission {
		name := purpose
		if channel != "" {
			name += "/" + channel
		}
		return Permission{
			Name: name, Purpose: purpose, Channel: channel, Kind: kind, Bases: bases,
			ProofRequired: true, NoticeCurrent: 3, NoticeMin: 2, AgeOfConsent: 16, AgeByCountry: ages,
		}
	}
	email := permission("newsletter", "email", KindEmail, BasisConsent, BasisExistingCustomer)
	email.DirectMarketing, email.DoubleOptIn = true, true
	post := permission("newsletter", "post", KindPost, BasisLegitimateInterest)
	post.DirectMarketing, post.NoticeAtCollect = true, true
	post.Assessment, post.Relationships = "LIA-2026-01, letters to customers", 1<<RelationshipCustomer
	phone := permission("newsletter", "phone", KindPhone, BasisConsent)
	phone.DirectMarketing = true
	want := []Permission{email, post, phone}
	for _, kind := range []Kind{KindWeb, KindApp} {
		p := permission("recommendations", kind.String(), kind, BasisConsent)
		p.TerminalEquipment = true
		want = append(want, p)
	}
	for _, kind := range []Kind{KindWeb, KindApp} {
		p := permission("ad_personalization", kind.String(), kind, BasisConsent)
		p.TerminalEquipment, p.ProfilingForMarketing = true, true
		want = append(want, p)
	}
	crm := permission("crm_storage", "", KindNone, BasisContract, BasisLegalObligation)
	crm.NecessaryForContract, crm.Statute = true, "Sec. 147 AO, Sec. 257 HGB"
	crm.ErasureExemption, crm.RestrictionExemption = "legal_obligation", "storage"
	want = append(want, crm)
	if diff := cmp.Diff(want, got.Permissions); diff != "" {
		t.Errorf("the shop's permissions (-want +got):\n%s", diff)
	}
}
