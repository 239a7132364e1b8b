package consent

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// rowsPolicy has a permission for every row that a policy as put can reach.
const rowsPolicy = `
format: 1
age_of_consent: {default: 16, by_country: {AT: 14}}
notice: {current: 3, min_material: 2}
channels:
  inapp: {kind: push, electronic_mail: false}
purposes:
  newsletter:
    direct_marketing: true
    channels:
      email: {bases: [consent, existing_customer], double_opt_in: true, confirm_within: 2d}
      post: {bases: [legitimate_interest], assessment: LIA-1, notice_at_collection: true, relationships: [customer]}
      phone: {bases: [consent, presumed_consent], presumed_consent_grounds: they sell what we make}
  offers:
    direct_marketing: true
    channels:
      email: {bases: [consent], expires_after: 10d, dormant_after: 5d}
      inapp: {bases: [legitimate_interest], assessment: LIA-2, notice_at_collection: true}
  ads:
    profiled_ads_online: true
    profiling_for_marketing: true
    bases: [consent]
  health:
    special_category: true
    bases: [consent, public_task]
    article_9_grounds: {public_task: 'Art. 9(2)(i)'}
  scoring: {significant_decision: true, bases: [consent, contract], necessary_for_contract: true}
  analytics: {bases: [legitimate_interest], assessment: LIA-3, notice_at_collection: true, overriding_grounds: fraud}
  undocumented: {bases: [legitimate_interest]}
  mixed: {bases: [consent, contract], necessary_for_contract: true}
  crm:
    bases: [contract, legal_obligation]
    necessary_for_contract: true
    statute: Sec. 147 AO
    exempt_from: {erasure: legal_obligation, restriction: storage}
  delivery: {bases: [contract], necessary_for_contract: true}
  ledger: {bases: [legal_obligation], statute: Sec. 257 HGB}
  emergency: {bases: [vital_interest]}
  archive: {bases: [public_task]}
  census: {bases: [public_task], overriding_grounds: the census act}
`

// world is a bound policy, and the context to fold with.
type world struct {
	policy *Policy
	c      FoldContext
}

func newWorld(tb testing.TB, document string) world {
	tb.Helper()
	p, err := ParsePolicy([]byte(document))
	if err != nil {
		tb.Fatal(err)
	}
	bound, names, err := p.Bind(7, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return world{bound, FoldContext{Tenant: 1, Names: names, Index: 9}}
}

func (w world) permission(tb testing.TB, name string) *Permission {
	tb.Helper()
	p := w.policy.Permission(name)
	if p == nil {
		tb.Fatalf("the policy doesn't declare %s", name)
	}
	return p
}

// onDay returns the instant of a day of the stories in this file, counted from genStart.
func onDay(n int) Time { return genStart + Time(n)*genDay }

func about(kind EventKind, n int, permissions ...string) Event {
	return Event{Kind: kind, OccurredAt: onDay(n), Scope: Scope{Permissions: permissions}}
}

var fullProof = Evidence{NoticeVersion: 3, Method: MethodWebForm, Source: "checkout", Reference: "forms/8812"}

// yes is a grant with proof.
func yes(n int, permission string, change ...func(*Event)) Event {
	e := about(Granted, n, permission)
	e.Evidence = fullProof
	for _, c := range change {
		c(&e)
	}
	return e
}

func noProof(e *Event) { e.Evidence = Evidence{NoticeVersion: 3} }

func express(e *Event) { e.Terms.Explicit = true }

func overriding(e *Event) { e.Terms.OverridesRestriction = true }

func set(n int, a Attributes) Event {
	return Event{Kind: AttributesSet, OccurredAt: onDay(n), Attributes: a}
}

func born(year uint16, month, dayOfMonth uint8) Attributes {
	return Attributes{BirthDate: &Date{year, month, dayOfMonth}}
}

func objection(n int, kind ObjectionKind, permissions ...string) Event {
	e := about(Objected, n, permissions...)
	e.Objection = kind
	return e
}

// lift takes back objections of both kinds.
func lift(n int) Event { return Event{Kind: ObjectionLifted, OccurredAt: onDay(n)} }

var (
	sure     = true
	customer = Attributes{Relationship: RelationshipCustomer, AddressFromSale: &sure, OptOutNoticeGiven: &sure}
	contract = Attributes{ContractActive: &sure}
	similar  = Question{SimilarGoods: true}
	business = Question{SubjectType: Business}
)

// rowCase is a story and what it comes to.
type rowCase struct {
	row, name  string
	permission string
	story      []Event
	q          Question
	now        Time // zero: day 30
	want       string
	change     Time // the next one, if any
}

func rowCases() []rowCase {
	const (
		email = "newsletter/email"
		phone = "newsletter/phone"
		offer = "offers/email"
	)
	return []rowCase{
		{"2", "profiled ads to a minor", "ads", []Event{set(1, born(2008, 5, 1)), yes(2, "ads")}, Question{}, 0, "MINOR_PROTECTED none",
			TimeOf(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC))},
		{"2", "profiled ads on the 18th birthday", "ads", []Event{set(1, born(2006, 3, 10)), yes(2, "ads")}, Question{},
			TimeOf(time.Date(2024, 3, 10, 0, 0, 0, 0, time.UTC)), "CONSENT consent", 0},
		{"2", "profiled ads just before the 18th birthday", "ads", []Event{set(1, born(2006, 3, 10)), yes(2, "ads")}, Question{},
			TimeOf(time.Date(2024, 3, 10, 0, 0, 0, 0, time.UTC)) - 1, "MINOR_PROTECTED none",
			TimeOf(time.Date(2024, 3, 10, 0, 0, 0, 0, time.UTC))},
		{"3", "erased", "delivery", []Event{set(1, contract), about(Erased, 2)}, Question{}, 0, "ERASED none", 0},
		{"3", "erased, and off the suppression list", "delivery", []Event{set(1, contract), about(Erased, 2), about(Unsuppressed, 3)},
			Question{}, 0, "ERASED none", 0},
		{"3", "erased, a contract since", "delivery", []Event{about(Erased, 2), set(3, contract)}, Question{}, 0, "CONTRACT contract", 0},
		{"3", "erased, an unproven grant since", "mixed", []Event{about(Erased, 2), yes(3, "mixed", noProof)}, Question{}, 0,
			"ERASED none", 0},
		{"3", "erased, but the law says to keep it", "crm", []Event{about(Erased, 2)}, Question{}, 0, "LEGAL_OBLIGATION legal_obligation", 0},
		{"4", "suppressed", email, []Event{set(1, customer), about(Suppressed, 2)}, similar, 0, "SUPPRESSED none", 0},
		{"4", "suppressed by an erasure, then a customer again", "newsletter/post", []Event{about(Erased, 2), set(3, customer)}, Question{}, 0,
			"SUPPRESSED none", 0},
		{"4", "suppressed, then a proven and confirmed yes", email, []Event{about(Suppressed, 2), yes(3, email), about(Confirmed, 4, email)},
			Question{}, 0, "CONSENT consent", 0},
		{"4", "suppressed, then an unconfirmed yes", email, []Event{about(Suppressed, 2), yes(3, email)}, Question{}, 0, "SUPPRESSED none", 0},
		{"4", "suppressed, then an unproven yes", offer, []Event{about(Suppressed, 27), yes(28, offer, noProof)}, Question{}, 0,
			"SUPPRESSED none", 0},
		{"4", "suppressed at the instant of a yes", offer, []Event{about(Suppressed, 29), yes(29, offer)}, Question{}, 0,
			"SUPPRESSED none", 0},
		{"4", "not suppressed any more", "newsletter/post", []Event{set(1, customer), about(Suppressed, 2), about(Unsuppressed, 3)},
			Question{}, 0, "LEGITIMATE_INTEREST legitimate_interest", 0},
		{"5", "restricted", "delivery", []Event{set(1, contract), about(Restricted, 2)}, Question{}, 0, "RESTRICTED none", 0},
		{"5", "restricted, but only stored", "crm", []Event{set(1, contract), about(Restricted, 2)}, Question{}, 0, "CONTRACT contract", 0},
		{"5", "restricted, then a consent that overrides it", "mixed", []Event{about(Restricted, 2), yes(3, "mixed", overriding)}, Question{}, 0,
			"CONSENT consent", 0},
		{"5", "restricted, then a consent that doesn't", "mixed", []Event{about(Restricted, 2), yes(3, "mixed")}, Question{}, 0,
			"RESTRICTED none", 0},
		{"5", "only the consent that overrides it counts", "mixed",
			[]Event{set(1, contract), about(Restricted, 2), yes(3, "mixed", overriding, noProof)}, Question{}, 0, "UNPROVEN consent", 0},
		{"6", "objected to marketing", "newsletter/post", []Event{set(1, customer), objection(2, ObjectionMarketing)}, Question{}, 0,
			"OBJECTED_MARKETING none", 0},
		{"6", "objected to profiling for it", "ads", []Event{yes(1, "ads"), objection(2, ObjectionMarketing, "ads")}, Question{}, 0,
			"OBJECTED_MARKETING none", 0},
		{"6", "objected, then said yes", "ads", []Event{objection(2, ObjectionMarketing, "ads"), yes(3, "ads")}, Question{}, 0,
			"CONSENT consent", 0},
		{"6", "said yes at the instant of the objection", "ads", []Event{yes(2, "ads"), objection(2, ObjectionMarketing, "ads")}, Question{}, 0,
			"OBJECTED_MARKETING none", 0},
		{"6", "objected, then lifted", "newsletter/post", []Event{set(1, customer), objection(2, ObjectionMarketing), lift(3)},
			Question{}, 0, "LEGITIMATE_INTEREST legitimate_interest", 0},
		{"6", "objected at the instant of the lift", "newsletter/post", []Event{set(1, customer), lift(2), objection(2, ObjectionMarketing)},
			Question{}, 0, "OBJECTED_MARKETING none", 0},
		{"undeliverable", "bounces", "newsletter/post", []Event{set(1, customer), {
			Kind: Undeliverable, OccurredAt: onDay(2), Scope: Scope{Channels: []string{"post"}},
		}}, Question{}, 0, "UNDELIVERABLE none", 0},
		{"undeliverable", "delivered again", "newsletter/post", []Event{
			set(1, customer), about(Undeliverable, 2), about(Deliverable, 3),
		}, Question{}, 0, "LEGITIMATE_INTEREST legitimate_interest", 0},
		{"undeliverable", "bounces at the instant of a delivery", "newsletter/post", []Event{
			set(1, customer), about(Undeliverable, 2), about(Deliverable, 2),
		}, Question{}, 0, "UNDELIVERABLE none", 0},
		{"undeliverable", "no channel", "delivery", []Event{set(1, contract), about(Undeliverable, 2)}, Question{}, 0, "CONTRACT contract", 0},
		{"7", "withdrawn", email, []Event{yes(1, email), about(Confirmed, 2, email), about(Withdrawn, 3)}, Question{}, 0,
			"WITHDRAWN consent", 0},
		{"7", "withdrawn, though a customer", email, []Event{set(1, customer), about(Withdrawn, 3, email)}, similar, 0, "WITHDRAWN consent", 0},
		{"7", "withdrawn at the instant of the grant", offer, []Event{yes(29, offer), about(Withdrawn, 29, offer)}, Question{}, 0,
			"WITHDRAWN consent", 0},
		{"7", "withdrawn, then an unproven grant", email, []Event{about(Withdrawn, 2), yes(3, email, noProof), set(4, customer)}, similar, 0,
			"UNPROVEN consent", 0},
		{"7", "withdrawn, then an unconfirmed grant", email, []Event{about(Withdrawn, 2), yes(3, email)}, Question{}, 0,
			"UNCONFIRMED consent", 0},
		{"7", "refused, then an unproven grant", email, []Event{about(Refused, 2, email), yes(3, email, noProof)}, Question{}, 0,
			"REFUSED consent", 0},
		{"7", "refused, then an unproven grant, without double opt-in", "ads", []Event{about(Refused, 2, "ads"), yes(3, "ads", noProof)},
			Question{}, 0, "REFUSED consent", 0},
		{"7", "refused, then a yes", "ads", []Event{about(Refused, 2, "ads"), yes(3, "ads")}, Question{}, 0, "CONSENT consent", 0},
		{"7", "objected to processing", "analytics", []Event{objection(2, ObjectionProcessing, "analytics")}, Question{}, 0,
			"OBJECTED legitimate_interest", 0},
		{"7", "objected to processing at the instant of the lift", "analytics", []Event{lift(2), objection(2, ObjectionUnclear, "analytics")},
			Question{}, 0, "OBJECTED legitimate_interest", 0},
		{"7", "objected to processing, then lifted", "analytics", []Event{objection(2, ObjectionProcessing, "analytics"), lift(3)},
			Question{}, 0, "LEGITIMATE_INTEREST legitimate_interest", 0},
		{"7", "objected, overriding grounds recorded", "analytics",
			[]Event{objection(2, ObjectionUnclear, "analytics"), about(GroundsRecorded, 3, "analytics")}, Question{}, 0,
			"LEGITIMATE_INTEREST legitimate_interest", 0},
		{"7", "objected, grounds recorded that the policy doesn't name", "archive",
			[]Event{objection(2, ObjectionUnclear, "archive"), about(GroundsRecorded, 3, "archive")}, Question{}, 0,
			"OBJECTED public_task", 0},
		{"7", "objected after the grounds", "census", []Event{about(GroundsRecorded, 2, "census"), objection(3, ObjectionUnclear, "census")},
			Question{}, 0, "OBJECTED public_task", 0},
		{"7", "objected at the instant of the grounds", "census",
			[]Event{about(GroundsRecorded, 2, "census"), objection(2, ObjectionUnclear, "census")}, Question{}, 0, "OBJECTED public_task", 0},
		{"7", "objected to what a contract needs", "delivery", []Event{set(1, contract), objection(2, ObjectionUnclear)}, Question{}, 0,
			"CONTRACT contract", 0},
		{"8", "special category, consent not explicit", "health", []Event{yes(1, "health")}, Question{}, 0, "PUBLIC_TASK public_task", 0},
		{"8", "special category, consent explicit", "health", []Event{yes(1, "health", express)}, Question{}, 0, "CONSENT consent", 0},
		{"9", "a significant decision, consent not explicit", "scoring", []Event{yes(1, "scoring")}, Question{}, 0,
			"AUTOMATED_DECISION consent", 0},
		{"9", "a significant decision, consent explicit", "scoring", []Event{yes(1, "scoring", express)}, Question{}, 0,
			"CONSENT consent", 0},
		{"11", "under 16, no guardian", offer, []Event{set(1, born(2009, 1, 1)), yes(28, offer)}, Question{}, 0, "MINOR_NO_GUARDIAN consent", 0},
		{"11", "under 16, a guardian authorised it", offer, []Event{
			set(1, Attributes{BirthDate: &Date{2009, 1, 1}, GuardianAuthorised: &sure}), yes(28, offer),
		}, Question{}, 0, "CONSENT consent", onDay(33) + 1},
		{"11", "15 in Austria", offer, []Event{
			set(1, Attributes{BirthDate: &Date{2009, 1, 1}, Country: new("AT")}), yes(28, offer),
		}, Question{}, 0, "CONSENT consent", onDay(33) + 1},
		{"11", "16 by now, but not when it was given", "mixed", []Event{
			set(1, born(2008, 3, 20)), yes(2, "mixed"), set(3, contract),
		}, Question{}, 0,
			"MINOR_NO_GUARDIAN consent", 0},
		{"12", "letters to a minor", "newsletter/post", []Event{
			set(1, Attributes{BirthDate: &Date{2006, 12, 24}, Relationship: RelationshipCustomer}),
		}, Question{}, 0, "MINOR_PROTECTED legitimate_interest", TimeOf(time.Date(2024, 12, 24, 0, 0, 0, 0, time.UTC))},
		{"12", "born on 29 February, of age on 1 March", "newsletter/post", []Event{
			set(1, Attributes{BirthDate: &Date{2008, 2, 29}, Relationship: RelationshipCustomer}),
		}, Question{}, 0, "MINOR_PROTECTED legitimate_interest", TimeOf(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))},
		{"13", "a push channel that isn't electronic mail", "offers/inapp", nil, Question{}, 0, "LEGITIMATE_INTEREST legitimate_interest", 0},
		{"14", "a business, asked but not recorded", phone, nil, business, 0, "NO_CONSENT consent", 0},
		{"14", "a business, recorded but not asked", phone, []Event{set(1, Attributes{Business: &sure})}, Question{}, 0,
			"NO_CONSENT consent", 0},
		{"15", "never asked", offer, nil, Question{}, 0, "NO_CONSENT consent", 0},
		{"16", "asked, unanswered", "mixed", []Event{about(Requested, 1, "mixed"), set(2, contract)}, Question{}, 0, "PENDING consent", 0},
		{"17", "refused", "ads", []Event{about(Refused, 1, "ads")}, Question{}, 0, "REFUSED consent", 0},
		{"18", "withdrawn", "ads", []Event{yes(1, "ads"), about(Withdrawn, 2, "ads")}, Question{}, 0, "WITHDRAWN consent", 0},
		{"19", "pre-ticked", "mixed", []Event{set(1, contract), yes(2, "mixed", func(e *Event) { e.Evidence.Method = MethodPreTicked })},
			Question{}, 0, "INVALIDATED consent", 0},
		{"19", "failed an audit", "ads", []Event{yes(1, "ads"), about(Invalidated, 2, "ads")}, Question{}, 0, "INVALIDATED consent", 0},
		{"20", "unproven", email, []Event{yes(1, email, noProof)}, Question{}, 0, "UNPROVEN consent", 0},
		{"20", "unproven, but a customer", email, []Event{yes(1, email, noProof), set(2, customer)}, similar, 0,
			"EXISTING_CUSTOMER existing_customer", 0},
		{"21", "unconfirmed, though a customer", email, []Event{yes(1, email), set(2, customer)}, similar, 0, "UNCONFIRMED consent", 0},
		{"21", "confirmed too late", email, []Event{yes(1, email), about(Confirmed, 4, email)}, Question{}, 0, "UNCONFIRMED consent", 0},
		{"21", "confirmed at the last instant", email, []Event{yes(1, email), about(Confirmed, 3, email)}, Question{}, 0, "CONSENT consent", 0},
		{"22", "not yet valid", "mixed", []Event{yes(1, "mixed", func(e *Event) { e.Terms.ValidFrom = onDay(31) })}, Question{}, 0,
			"NOT_YET_VALID consent", onDay(31)},
		{"22", "valid from this instant", "mixed", []Event{yes(1, "mixed", func(e *Event) { e.Terms.ValidFrom = onDay(30) })}, Question{}, 0,
			"CONSENT consent", 0},
		{"23", "the instant of expiry is expired", offer, []Event{yes(1, offer)}, Question{}, onDay(11), "EXPIRED consent", 0},
		{"23", "just before", offer, []Event{yes(1, offer), about(Used, 8, offer)}, Question{}, onDay(11) - 1, "CONSENT consent", onDay(11)},
		{"23", "its own expiry is earlier", offer, []Event{yes(1, offer, func(e *Event) { e.Terms.ExpiresAt = onDay(3) })}, Question{}, onDay(3),
			"EXPIRED consent", 0},
		{"24", "dormant", offer, []Event{yes(1, offer)}, Question{}, onDay(6) + 1, "DORMANT consent", onDay(11)},
		{"24", "just not dormant", offer, []Event{yes(1, offer)}, Question{}, onDay(6), "CONSENT consent", onDay(6) + 1},
		{"25", "an old notice", "mixed", []Event{set(1, contract), yes(2, "mixed", func(e *Event) { e.Evidence.NoticeVersion = 1 })}, Question{}, 0,
			"NOTICE_OUTDATED consent", 0},
		{"25", "an unknown notice", "ads", []Event{yes(1, "ads", func(e *Event) {
			e.Evidence.NoticeVersion, e.Evidence.NoticeHash = 0, strings.Repeat("h", 32)
		})}, Question{}, 0, "NOTICE_OUTDATED consent", 0},
		{"26", "a consent", "ads", []Event{yes(1, "ads")}, Question{}, 0, "CONSENT consent", 0},
		{"27", "an existing customer", email, []Event{set(1, customer)}, similar, 0, "EXISTING_CUSTOMER existing_customer", 0},
		{"28", "other goods", email, []Event{set(1, customer)}, Question{}, 0, "NO_CONSENT consent", 0},
		{"29", "undocumented", "undocumented", nil, Question{}, 0, "INTEREST_UNDOCUMENTED legitimate_interest", 0},
		{"30", "a former customer", "newsletter/post", []Event{set(1, Attributes{Relationship: RelationshipFormerCustomer})}, Question{}, 0,
			"NO_RELATIONSHIP legitimate_interest", 0},
		{"31", "an interest", "analytics", nil, Question{}, 0, "LEGITIMATE_INTEREST legitimate_interest", 0},
		{"32", "a contract", "delivery", []Event{set(1, contract)}, Question{}, 0, "CONTRACT contract", 0},
		{"33", "no contract", "delivery", nil, Question{}, 0, "NO_CONTRACT contract", 0},
		{"34", "a statute", "ledger", nil, Question{}, 0, "LEGAL_OBLIGATION legal_obligation", 0},
		{"35", "a vital interest", "emergency", nil, Question{}, 0, "VITAL_INTEREST vital_interest", 0},
		{"35", "a public task", "census", nil, Question{}, 0, "PUBLIC_TASK public_task", 0},
		{"35", "presumed consent", phone, []Event{set(1, Attributes{Business: &sure})}, business, 0, "PRESUMED_CONSENT presumed_consent", 0},
	}
}

func TestRows(t *testing.T) {
	w := newWorld(t, rowsPolicy)
	for _, tt := range rowCases() {
		t.Run(tt.row+" "+tt.name, func(t *testing.T) {
			if tt.now == 0 {
				tt.now = onDay(30)
			}
			for _, e := range tt.story {
				if err := ValidateEvent(e); err != nil {
					t.Fatal(err)
				}
			}
			p := w.permission(t, tt.permission)
			d := Decide(p, FoldHistory(tt.story, w.c), tt.q, tt.now)
			if got := d.Reason.String() + " " + d.Basis.String(); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if d.NextChange != tt.change {
				t.Errorf("next change at %v, want %v", d.NextChange, tt.change)
			}
			if got, want := inReferenceWords(d), refDecide(p, tt.story, tt.q, tt.now); got != want {
				t.Errorf("%+v, but the reference says %+v", got, want)
			}
		})
	}
}

// TestRowsOfImpossiblePolicies reaches the rows whose contradictions are refused when a policy is put. They stay as a second line.
func TestRowsOfImpossiblePolicies(t *testing.T) {
	tests := []struct {
		row, name, want string
		permission      Permission
		story           []Event // over everything
	}{
		{"2", "profiled ads from special categories", "SPECIAL_CATEGORY none", Permission{
			ProfiledAdsOnline: true, SpecialCategory: true, Bases: []Basis{BasisVitalInterest},
		}, nil},
		{"8", "no ground of Art. 9(2)", "SPECIAL_CATEGORY vital_interest", Permission{SpecialCategory: true, Bases: []Basis{BasisVitalInterest}}, nil},
		{"9", "a significant decision out of interest", "AUTOMATED_DECISION legitimate_interest", Permission{
			SignificantDecision: true, Assessment: "LIA", NoticeAtCollect: true, Bases: []Basis{BasisLegitimateInterest},
		}, nil},
		{"10", "cookies out of interest", "TERMINAL_CONSENT_REQUIRED legitimate_interest", Permission{
			TerminalEquipment: true, Assessment: "LIA", NoticeAtCollect: true, Bases: []Basis{BasisLegitimateInterest},
		}, nil},
		{"10", "strictly necessary cookies", "LEGITIMATE_INTEREST legitimate_interest", Permission{
			TerminalEquipment: true, StrictlyNecessary: true, Assessment: "LIA", NoticeAtCollect: true, Bases: []Basis{BasisLegitimateInterest},
		}, nil},
		{"13", "mail out of interest", "CHANNEL_CONSENT_REQUIRED legitimate_interest", Permission{
			Kind: KindEmail, DirectMarketing: true, Assessment: "LIA", NoticeAtCollect: true, Bases: []Basis{BasisLegitimateInterest},
		}, nil},
		{"13", "push out of interest", "CHANNEL_CONSENT_REQUIRED legitimate_interest", Permission{
			Kind: KindPush, DirectMarketing: true, Assessment: "LIA", NoticeAtCollect: true, Bases: []Basis{BasisLegitimateInterest},
		}, nil},
		{"14", "calls out of interest", "CHANNEL_CONSENT_REQUIRED legitimate_interest", Permission{
			Kind: KindPhone, DirectMarketing: true, Assessment: "LIA", NoticeAtCollect: true, Bases: []Basis{BasisLegitimateInterest},
		}, nil},
		{"14", "calls to existing customers", "CHANNEL_CONSENT_REQUIRED existing_customer", Permission{
			Kind: KindPhone, DirectMarketing: true, Bases: []Basis{BasisExistingCustomer},
		}, nil},
		{"28", "letters to existing customers", "EXISTING_CUSTOMER_CONDITIONS existing_customer", Permission{
			Kind: KindPost, Bases: []Basis{BasisExistingCustomer},
		}, nil},
		{"3", "erased, recorded since that there is no relationship", "ERASED none", Permission{
			Assessment: "LIA", NoticeAtCollect: true, Relationships: 1 << RelationshipNone, Bases: []Basis{BasisLegitimateInterest},
		}, []Event{about(Erased, 1), set(2, Attributes{Relationship: RelationshipNone})}},
		{"3", "erased, an opt-out notice since", "EXISTING_CUSTOMER_CONDITIONS existing_customer", Permission{
			Kind: KindEmail, Bases: []Basis{BasisExistingCustomer},
		}, []Event{about(Erased, 1), set(2, Attributes{OptOutNoticeGiven: &sure})}},
		{"7", "presumed consent, objected, grounds recorded", "OBJECTED presumed_consent", Permission{
			Kind: KindPhone, OverridingGround: "fraud", Bases: []Basis{BasisPresumedConsent},
		}, []Event{objection(1, ObjectionProcessing), about(GroundsRecorded, 2)}},
		{"12", "profiling for marketing of who may be a minor, exempt from erasure", "MINOR_PROTECTED legitimate_interest", Permission{
			ProfilingForMarketing: true, ErasureExemption: "legal_claims", Assessment: "LIA", NoticeAtCollect: true,
			Bases: []Basis{BasisLegitimateInterest},
		}, []Event{set(1, born(2010, 1, 1)), about(Erased, 2)}},
		{"29", "an assessment, but no notice", "INTEREST_UNDOCUMENTED legitimate_interest", Permission{
			Assessment: "LIA", Bases: []Basis{BasisLegitimateInterest},
		}, nil},
		{"30", "an erasure forgot the relationship", "NO_RELATIONSHIP legitimate_interest", Permission{
			ErasureExemption: "legal_claims", Assessment: "LIA", NoticeAtCollect: true, Relationships: 1 << RelationshipNone,
			Bases: []Basis{BasisLegitimateInterest},
		}, []Event{set(1, customer), about(Erased, 2)}},
		{"33", "a contract that doesn't need it", "NO_CONTRACT contract", Permission{Bases: []Basis{BasisContract}}, []Event{set(1, contract)}},
		{"36", "no basis", "NO_BASIS none", Permission{}, nil},
		{"36", "no statute", "NO_BASIS legal_obligation", Permission{Bases: []Basis{BasisLegalObligation}}, nil},
		{"36", "a basis of a later version", "NO_BASIS unknown", Permission{Bases: []Basis{42}}, nil},
		{"36", "presumed consent without grounds", "NO_BASIS presumed_consent", Permission{
			Kind: KindPhone, Bases: []Basis{BasisPresumedConsent},
		}, nil},
		{"16", "consent after another basis", "NO_CONTRACT contract", Permission{Bases: []Basis{BasisContract, BasisConsent}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.row+" "+tt.name, func(t *testing.T) {
			d := Decide(&tt.permission, FoldHistory(tt.story, FoldContext{}), business, onDay(30))
			if got := d.Reason.String() + " " + d.Basis.String(); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// TestKindsOfRow13 are electronic mail, of which only push is open to the policy.
func TestKindsOfRow13(t *testing.T) {
	mail := []Kind{KindEmail, KindSMS, KindMessenger, KindFax, KindAutocall, KindPush}
	for kind := KindNone; int(kind) < len(kindNames); kind++ {
		for _, noMail := range []bool{false, true} {
			p := Permission{Kind: kind, DirectMarketing: true, PushIsNoMail: noMail, Bases: []Basis{BasisVitalInterest}}
			want := slices.Contains(mail, kind) && (kind != KindPush || !noMail) || kind == KindPhone
			if got := Decide(&p, nil, Question{}, onDay(1)).Reason == ReasonChannelConsentRequired; got != want {
				t.Errorf("%v, push no mail %t: consent required %t, want %t", kind, noMail, got, want)
			}
		}
	}
}

// TestDefaultAgeOfConsent is that of Art. 8(1) GDPR, where a permission built by hand says none.
func TestDefaultAgeOfConsent(t *testing.T) {
	p := genBound("crm")
	p.Bases = []Basis{BasisConsent}
	for birth, want := range map[Date]Reason{{2008, 3, 3}: ReasonConsent, {2008, 3, 4}: ReasonMinorNoGuardian} {
		r := FoldHistory([]Event{set(1, born(birth.Year, birth.Month, birth.Day)), yes(2, "crm")}, genContext)
		if d := Decide(p, r, Question{}, onDay(30)); d.Reason != want {
			t.Errorf("born %v: %v, want %v", birth, d.Reason, want)
		}
	}
}

// TestConsentOnTheBirthday gives consent at the first instant of the day on which one may, and a millisecond before.
func TestConsentOnTheBirthday(t *testing.T) {
	p := genBound("crm")
	p.Bases = []Basis{BasisConsent}
	birthday := TimeOf(time.Date(2024, 3, 3, 0, 0, 0, 0, time.UTC))
	for at, want := range map[Time]Reason{birthday: ReasonConsent, birthday - 1: ReasonMinorNoGuardian} {
		g := yes(2, "crm")
		g.OccurredAt = at
		if d := Decide(p, FoldHistory([]Event{set(1, born(2008, 3, 3)), g}, genContext), Question{}, onDay(30)); d.Reason != want {
			t.Errorf("given at %v: %v, want %v", at, d, want)
		}
	}
}

// TestLaterYesNeedsProof overrides a "no" with a consent that has no proof, where the policy asks for none otherwise.
func TestLaterYesNeedsProof(t *testing.T) {
	p := genBound("newsletter/email")
	p.Bases, p.DirectMarketing = []Basis{BasisConsent}, true
	for _, no := range []Event{about(Suppressed, 1), objection(1, ObjectionMarketing), about(Refused, 1), objection(1, ObjectionProcessing)} {
		for allowed, g := range map[bool]Event{true: yes(2, p.Name), false: yes(2, p.Name, noProof)} {
			if d := Decide(p, FoldHistory([]Event{no, g}, genContext), Question{}, onDay(3)); d.Allowed != allowed {
				t.Errorf("%v, and a yes with proof %t: %v", no.Kind, allowed, d)
			}
		}
	}
}

// TestStateOfALaterVersion allows nothing.
func TestStateOfALaterVersion(t *testing.T) {
	a := asked{p: &Permission{Bases: []Basis{BasisConsent}}, c: Consent{State: StateInvalidated + 1}}
	if w := a.ownRow(BasisConsent); w != rowNothing {
		t.Errorf("row %s, want 36", w.number())
	}
}

// TestRowsAreAllTested counts on the names of the cases above.
func TestRowsAreAllTested(t *testing.T) {
	tested := []string{"9", "10", "13", "14", "36"}
	for _, tt := range rowCases() {
		tested = append(tested, tt.row)
	}
	for w := rowMinorAds; w < rowCount; w++ {
		if !slices.Contains(tested, w.number()) {
			t.Errorf("no case for row %s, %s", w.number(), rowTexts[w].condition)
		}
	}
}

// TestChain is how a new address comes to be allowed, step by step, and how it is lost again.
func TestChain(t *testing.T) {
	const email = "newsletter/email"
	w := newWorld(t, rowsPolicy)
	p := w.permission(t, email)
	added := about(EvidenceAdded, 2, email)
	added.Evidence, added.GrantAt = fullProof, onDay(1)
	var r Record
	for _, step := range []struct {
		name string
		e    Event
		want Reason
	}{
		{"a grant without proof", yes(1, email, noProof), ReasonUnproven},
		{"its proof is added", added, ReasonUnconfirmed},
		{"it is confirmed", about(Confirmed, 3, email), ReasonConsent},
		{"an unclear objection", objection(4, ObjectionUnclear), ReasonObjectedMarketing},
		{"a new grant", yes(5, email), ReasonObjectedMarketing},
		{"which is confirmed", about(Confirmed, 6, email), ReasonConsent},
		{"everything is withdrawn, so that the objection stands again", about(Withdrawn, 7), ReasonObjectedMarketing},
		{"erasure", about(Erased, 8), ReasonErased},
	} {
		r, _ = Fold(r, step.e, w.c)
		if d := Decide(p, r, Question{}, step.e.OccurredAt); d.Reason != step.want {
			t.Fatalf("%s: %v, want %v", step.name, d.Reason, step.want)
		}
	}
}

func TestObligations(t *testing.T) {
	w := newWorld(t, rowsPolicy)
	tests := []struct {
		name, permission string
		story            []Event
		q                Question
		now              Time
		want             Obligations
	}{
		{"calls are logged", "newsletter/phone", []Event{yes(1, "newsletter/phone")}, Question{}, onDay(2), LogUse},
		{"uses keep a consent awake", "offers/email", []Event{yes(1, "offers/email")}, Question{}, onDay(2), LogUse},
		{"existing customers see how to object", "newsletter/email", []Event{set(1, customer)}, similar, onDay(2), ShowOptOut},
		{"a denial asks for nothing", "newsletter/phone", nil, Question{}, onDay(2), 0},
		{"nothing is owed for letters", "newsletter/post", []Event{set(1, customer)}, Question{}, onDay(2), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := Decide(w.permission(t, tt.permission), FoldHistory(tt.story, w.c), tt.q, tt.now); d.Obligations != tt.want {
				t.Errorf("obligations %b of %v, want %b", d.Obligations, d, tt.want)
			}
		})
	}
}
