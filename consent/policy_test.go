package consent

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func parsed(t *testing.T, document string) *Policy {
	t.Helper()
	p, err := ParsePolicy([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// plain is what a permission has that says nothing but its bases.
func plain(name string, kind Kind, bases ...Basis) Permission {
	p := Permission{Name: name, Kind: kind, Bases: bases, ProofRequired: true, AgeOfConsent: 16}
	p.Purpose, p.Channel = SplitPermission(name)
	return p
}

// TestPolicyKeys sets every key of a permission once, in a purpose without channels or for its channel, and looks at what became of it.
func TestPolicyKeys(t *testing.T) {
	const hours = int64(3600 * 1000)
	tests := []struct {
		name, document string
		want           Permission
		set            func(p *Permission)
	}{
		{"nothing", "a: {bases: [consent]}", plain("a", KindNone, BasisConsent), func(*Permission) {}},
		{"description", "a: {bases: [consent], description: for people}", plain("a", KindNone, BasisConsent), func(*Permission) {}},
		{"bases in their order", "a: {bases: [consent, vital_interest, public_task, legitimate_interest]}",
			plain("a", KindNone, BasisConsent, BasisVitalInterest, BasisPublicTask, BasisLegitimateInterest), func(*Permission) {}},
		{"direct_marketing", "a: {bases: [consent], direct_marketing: true, channels: {email: }}",
			plain("a/email", KindEmail, BasisConsent), func(p *Permission) { p.DirectMarketing = true }},
		{"profiling_for_marketing", "a: {bases: [consent], profiling_for_marketing: true}",
			plain("a", KindNone, BasisConsent), func(p *Permission) { p.ProfilingForMarketing = true }},
		{"profiled_ads_online", "a: {bases: [consent], profiling_for_marketing: true, profiled_ads_online: true}",
			plain("a", KindNone, BasisConsent), func(p *Permission) { p.ProfilingForMarketing, p.ProfiledAdsOnline = true, true }},
		{"special_category", "a: {bases: [consent], special_category: true}",
			plain("a", KindNone, BasisConsent), func(p *Permission) { p.SpecialCategory = true }},
		{"article_9_grounds", "a: {bases: [vital_interest], special_category: true, article_9_grounds: {vital_interest: Art. 9(2)(c)}}",
			plain("a", KindNone, BasisVitalInterest), func(p *Permission) {
				p.SpecialCategory = true
				p.Article9Ground[BasisVitalInterest] = "Art. 9(2)(c)"
			}},
		{"significant_decision", "a: {bases: [consent, contract], significant_decision: true, necessary_for_contract: true}",
			plain("a", KindNone, BasisConsent, BasisContract),
			func(p *Permission) { p.SignificantDecision, p.NecessaryForContract = true, true }},
		{"terminal_equipment, strictly_necessary", "a: {bases: [contract], terminal_equipment: true, strictly_necessary: true, " +
			"necessary_for_contract: true, channels: {app: }}", plain("a/app", KindApp, BasisContract),
			func(p *Permission) {
				p.TerminalEquipment, p.StrictlyNecessary, p.NecessaryForContract = true, true, true
			}},
		{"exempt_from", "a: {bases: [public_task], exempt_from: {erasure: legal_claims, restriction: rights_of_others}}",
			plain("a", KindNone, BasisPublicTask),
			func(p *Permission) { p.ErasureExemption, p.RestrictionExemption = "legal_claims", "rights_of_others" }},
		{"double_opt_in, confirm_within", "a: {bases: [consent], double_opt_in: true, confirm_within: 48h}",
			plain("a", KindNone, BasisConsent), func(p *Permission) { p.DoubleOptIn, p.ConfirmWithin = true, 48*hours }},
		{"proof_required", "a: {bases: [consent], proof_required: false}",
			plain("a", KindNone, BasisConsent), func(p *Permission) { p.ProofRequired = false }},
		{"expires_after, dormant_after", "a: {bases: [consent], expires_after: 2y, dormant_after: 18mo}",
			plain("a", KindNone, BasisConsent), func(p *Permission) { p.ExpiresAfter, p.DormantAfter = 2*365*24*hours, 18*30*24*hours }},
		{"notice", "a: {bases: [consent], notice: {current: 7, min_material: 5}}",
			plain("a", KindNone, BasisConsent), func(p *Permission) { p.NoticeCurrent, p.NoticeMin = 7, 5 }},
		{"notice_at_collection, assessment, relationships", "a: {bases: [legitimate_interest], notice_at_collection: true, " +
			"assessment: ' LIA-1 ', relationships: [customer, former_customer, none]}", plain("a", KindNone, BasisLegitimateInterest),
			func(p *Permission) { p.NoticeAtCollect, p.Assessment, p.Relationships = true, "LIA-1", 1<<1|1<<2|1<<3 }},
		{"presumed_consent_grounds", "a: {bases: [presumed_consent], direct_marketing: true, presumed_consent_grounds: trade, " +
			"channels: {phone: }}", plain("a/phone", KindPhone, BasisPresumedConsent),
			func(p *Permission) { p.DirectMarketing, p.PresumedGrounds = true, "trade" }},
		{"statute", "a: {bases: [legal_obligation], statute: Sec. 147 AO}",
			plain("a", KindNone, BasisLegalObligation), func(p *Permission) { p.Statute = "Sec. 147 AO" }},
		{"overriding_grounds", "a: {bases: [public_task], overriding_grounds: fraud}",
			plain("a", KindNone, BasisPublicTask), func(p *Permission) { p.OverridingGround = "fraud" }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.set(&test.want)
			got := parsed(t, "purposes: {"+test.document+"}").Permissions
			if diff := cmp.Diff([]Permission{test.want}, got); diff != "" {
				t.Errorf("the permissions (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPolicyInheritance holds that a channel's key replaces its purpose's, and the purpose's the document's, and each for itself alone.
func TestPolicyInheritance(t *testing.T) {
	got := parsed(t, `
keep_case: true
format: 1
notice: {current: 3, min_material: 2}
age_of_consent: {default: 14, by_country: {NO: 15}}
channels: {whatsapp: messenger, push: {kind: push, electronic_mail: false}, alert: {kind: push}, bell: {kind: push, electronic_mail: true}}
purposes:
  a:
    bases: [consent, vital_interest]
    double_opt_in: true
    expires_after: 1y
    exempt_from: {restriction: storage}
    channels:
      whatsapp:
      push: {bases: [consent], double_opt_in: false, expires_after: none, exempt_from: {}}
      alert: {notice: {current: 4, min_material: 4}}
      bell: {}
  b:
    bases: [consent]
`)
	if !got.KeepCase {
		t.Error("keep_case is lost")
	}
	base := func(name string, kind Kind, bases ...Basis) Permission {
		p := plain(name, kind, bases...)
		p.NoticeCurrent, p.NoticeMin = 3, 2
		p.AgeOfConsent, p.AgeByCountry = 14, map[[2]byte]uint8{{'N', 'O'}: 15}
		return p
	}
	want := []Permission{
		base("a/whatsapp", KindMessenger, BasisConsent, BasisVitalInterest), base("a/push", KindPush, BasisConsent),
		base("a/alert", KindPush, BasisConsent, BasisVitalInterest), base("a/bell", KindPush, BasisConsent, BasisVitalInterest),
		base("b", KindNone, BasisConsent),
	}
	for _, i := range []int{0, 2, 3} {
		want[i].DoubleOptIn, want[i].ExpiresAfter, want[i].RestrictionExemption = true, 365*24*3600*1000, "storage"
	}
	want[1].PushIsNoMail = true
	want[2].NoticeCurrent, want[2].NoticeMin = 4, 4
	if diff := cmp.Diff(want, got.Permissions); diff != "" {
		t.Errorf("the permissions (-want +got):\n%s", diff)
	}
}

// TestPolicyDurations holds every unit, and the longest of each.
func TestPolicyDurations(t *testing.T) {
	const day = int64(24 * 3600 * 1000)
	for text, want := range map[string]int64{
		"1min": 60_000, "90min": 90 * 60_000, "1h": day / 24, "1d": day, "1w": 7 * day, "1mo": 30 * day, "1y": 365 * day, "100y": 36500 * day,
		"36500d": 36500 * day, "876000h": 36500 * day, "none": 0,
	} {
		p := parsed(t, "purposes: {a: {bases: [consent], expires_after: "+text+"}}")
		if got := p.Permissions[0].ExpiresAfter; got != want {
			t.Errorf("%s is %d ms, want %d", text, got, want)
		}
	}
	for _, text := range []string{
		"", "1", "d", "1m", "1s", "1 d", "1D", "1.5d", "-1d", "+1d", "0d", "0x1d", "1d2h", "36501d", "99999999999999999999y", "4294967295y", "None",
	} {
		if _, err := ParsePolicy([]byte("purposes: {a: {bases: [consent], expires_after: '" + text + "'}}")); err == nil {
			t.Errorf("%q was taken for a duration", text)
		}
	}
}

func TestBind(t *testing.T) {
	p := parsed(t, "purposes: {a: {bases: [consent], channels: {email: , web: }}, b: {bases: [consent]}}")
	before, err := (*Names)(nil).AddScope(Scope{Channels: []string{"web"}, Permissions: []string{"gone/email"}})
	if err != nil {
		t.Fatal(err)
	}
	bound, names, err := p.Bind(7, before)
	if err != nil {
		t.Fatal(err)
	}
	if bound.Version != 7 || p.Version != 0 || p.Permissions[0].ID != 0 {
		t.Errorf("the policy has version %d, and the one it was made of %d", bound.Version, p.Version)
	}
	for _, name := range []string{"a/email", "a/web", "b"} {
		got := bound.Permission(name)
		if got == nil || got.Name != name || p.Permission(name) == nil {
			t.Fatalf("%s isn't found", name)
		}
		purpose, channel := SplitPermission(name)
		if got.ID == 0 || got.ID != names.ID(PermissionName, name) || got.PurposeID != names.ID(PurposeName, purpose) ||
			got.ChannelID != names.ID(ChannelName, channel) {
			t.Errorf("%s has the numbers %d, %d and %d", name, got.ID, got.PurposeID, got.ChannelID)
		}
	}
	if bound.Permission("a/phone") != nil || bound.Permission("a") != nil || bound.Permission("gone/email") != nil {
		t.Error("a permission is found that isn't declared")
	}
	for id := range NameID(before.Len()) {
		kind, text := before.Name(id + 1)
		if nowKind, now := names.Name(id + 1); nowKind != kind || now != text {
			t.Errorf("number %d was %q and is %q", id+1, text, now)
		}
	}
	again, same, err := p.Bind(8, names)
	if err != nil || same != names {
		t.Errorf("binding again gave out numbers: %v", err)
	}
	if diff := cmp.Diff(bound, again, cmpopts.IgnoreUnexported(Policy{}), cmpopts.IgnoreFields(Policy{}, "Version")); diff != "" {
		t.Errorf("binding again gave another policy:\n%s", diff)
	}
}

func TestBindWithoutNumbersLeft(t *testing.T) {
	scope := Scope{Channels: make([]string, maxNameID)}
	for i := range scope.Channels {
		scope.Channels[i] = fmt.Sprint("c", i)
	}
	full, err := (*Names)(nil).AddScope(scope)
	if err != nil {
		t.Fatal(err)
	}
	p := parsed(t, "purposes: {a: {bases: [consent]}}")
	if bound, names, err := p.Bind(1, full); bound != nil || names != full || !errors.Is(err, ErrTooManyNames) {
		t.Errorf("there is no number left, but: %v", err)
	}
}

func TestPermissionAllocatesNothing(t *testing.T) {
	p := parsed(t, "purposes: {a: {bases: [consent], channels: {email: , web: }}}")
	name := "a/web"
	if got := testing.AllocsPerRun(100, func() {
		if !p.Permission(name).HasBasis(BasisConsent) {
			t.Fatal("the permission isn't found")
		}
	}); got != 0 {
		t.Errorf("looking a permission up allocates %v times", got)
	}
}

func ExampleParsePolicy() {
	p, err := ParsePolicy([]byte(`
purposes:
  newsletter:
    direct_marketing: true
    channels:
      email: {bases: [consent, existing_customer], double_opt_in: true}
      post:  {bases: [legitimate_interest], assessment: LIA-2026-01, notice_at_collection: true}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range p.Permissions {
		fmt.Println(p.Permissions[i].Name, "rests first on", p.Permissions[i].Bases[0])
	}
	// Output:
	// newsletter/email rests first on consent
	// newsletter/post rests first on legitimate_interest
}

func ExamplePolicyError() {
	_, err := ParsePolicy([]byte(`
purposes:
  newsletter:
    direct_marketing: true
    bases: [legitimate_interest]
    channels: {email: }
    expire_after: 2y
`))
	var bad *PolicyError
	if errors.As(err, &bad) {
		fmt.Println(len(bad.Faults), "faults; the first is on line", bad.Faults[0].Line)
		fmt.Println(bad.Faults[0].Message)
	}
	// Output:
	// 2 faults; the first is on line 5
	// newsletter/email can't rest on legitimate_interest: marketing by email needs consent (Sec. 7(2) no. 2 UWG): take the basis out
}

// FuzzParsePolicy holds that reading never panics, that it says where each fault is, that it reads alike each time, and that what it
// reads can be bound and contradicts none of the rows that no record could mend.
func FuzzParsePolicy(f *testing.F) {
	shop, err := os.ReadFile("../examples/shop/policy.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(shop)
	f.Fuzz(func(t *testing.T, document []byte) {
		p, err := ParsePolicy(document)
		again, errAgain := ParsePolicy(document)
		if diff := cmp.Diff(p, again, cmpopts.IgnoreUnexported(Policy{})); diff != "" || fmt.Sprint(err) != fmt.Sprint(errAgain) {
			t.Fatalf("read twice, it isn't the same: %v, %v\n%s", err, errAgain, diff)
		}
		if err != nil {
			checkFaults(t, document, err)
			return
		}
		bound, names, err := p.Bind(1, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range bound.Permissions {
			checkPermissionHolds(t, bound, &bound.Permissions[i], names)
		}
	})
}

// checkFaults holds faults to lie within the document, in order, and to say something.
func checkFaults(t *testing.T, document []byte, err error) {
	t.Helper()
	var bad *PolicyError
	if !errors.As(err, &bad) || len(bad.Faults) == 0 || len(bad.Faults) > maxFaults+1 {
		t.Fatalf("no faults, but %v", err)
	}
	last := lineOf(document, len(document))
	line := 1
	for _, f := range bad.Faults {
		if f.Line < line || f.Line > last || f.Column < 1 || f.Message == "" {
			t.Fatalf("a fault on line %d, after one on line %d of %d: %v", f.Line, line, last, f)
		}
		line = f.Line
	}
}

// checkPermissionHolds asks the rows of the decision table that rest on the policy alone.
func checkPermissionHolds(t *testing.T, p *Policy, permission *Permission, names *Names) {
	t.Helper()
	if err := ValidPermission(permission.Name); err != nil {
		t.Fatal(err)
	}
	if p.Permission(permission.Name) != permission || names.ID(PermissionName, permission.Name) != permission.ID || permission.ID == 0 {
		t.Fatalf("%s isn't found", permission.Name)
	}
	if len(permission.Bases) == 0 || permission.HasBasis(BasisConsent) && permission.Bases[0] != BasisConsent {
		t.Fatalf("%s rests on %v", permission.Name, permission.Bases)
	}
	for _, b := range permission.Bases {
		a := asked{p: permission}
		for _, w := range rowsFor(b) {
			switch w {
			case rowAutomated, rowTerminal, rowChannel, rowSpecialCategory:
				if b != BasisConsent && a.matches(w, b) {
					t.Fatalf("%s can't rest on %s: row %s", permission.Name, b, w.number())
				}
			}
		}
	}
}
