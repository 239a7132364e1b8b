package consent

import (
	"slices"
	"strings"
	"time"
)

// refCase is one question to the reference.
type refCase struct {
	*refFacts
	p     *Permission
	q     Question
	now   Time
	basis Basis
	grant *refGrant // that counts, if any
	only  string    // the reason with which every basis but consent is denied, because a later yes overrides rows 4 to 6
}

// refRow is a row of the table: the condition returns the reason, or nothing if it doesn't hold.
type refRow struct {
	number    int
	bases     []Basis // none: every one
	condition func(c *refCase) string
}

func when(condition bool, reason string) string {
	if condition {
		return reason
	}
	return ""
}

const refUndeliverable = 60 // stands between rows 6 and 7

var refOnce = []refRow{
	{2, nil, func(c *refCase) string {
		if !c.p.ProfiledAdsOnline {
			return ""
		}
		return firstOf(when(c.minor(), "MINOR_PROTECTED"), when(c.p.SpecialCategory, "SPECIAL_CATEGORY"))
	}},
	{3, nil, func(c *refCase) string {
		exempt := c.p.ErasureExemption != "" && !c.lists(BasisConsent)
		return when(c.erasedForGood() && !exempt, "ERASED")
	}},
	{4, nil, func(c *refCase) string {
		return c.override(c.times["suppressed"] != 0 && c.p.DirectMarketing, c.laterYes(c.times["suppressed"]), "SUPPRESSED")
	}},
	{5, nil, func(c *refCase) string {
		at := c.times["restricted"]
		return c.override(at != 0 && c.p.RestrictionExemption == "", c.grant != nil && c.grant.at > at && c.grant.overrides, "RESTRICTED")
	}},
	{6, nil, func(c *refCase) string {
		at := c.times["objected to marketing"]
		stands := at != 0 && c.times["lifted for marketing"] <= at && (c.p.DirectMarketing || c.p.ProfilingForMarketing)
		return c.override(stands, c.laterYes(at), "OBJECTED_MARKETING")
	}},
	{refUndeliverable, nil, func(c *refCase) string {
		at := c.times["undeliverable"]
		return when(c.p.Channel != "" && at != 0 && c.times["deliverable"] <= at, "UNDELIVERABLE")
	}},
}

var (
	refConsent  = []Basis{BasisConsent}
	refCustomer = []Basis{BasisExistingCustomer}
	refInterest = []Basis{BasisLegitimateInterest}
	refNoBases  = []Basis{BasisConsent, BasisExistingCustomer, BasisPresumedConsent, BasisLegitimateInterest, BasisPublicTask}
)

var refRows = []refRow{
	{7, refNoBases, func(c *refCase) string {
		return firstOf(
			when(c.noStands("withdrawn", ""), "WITHDRAWN"),
			when(c.noStands("refused", ""), "REFUSED"),
			when(c.noStands("objected to processing", "lifted for processing"), "OBJECTED"))
	}},
	{8, nil, func(c *refCase) string {
		if c.basis == BasisConsent {
			return when(c.p.SpecialCategory && !c.explicit(), "SPECIAL_CATEGORY")
		}
		return when(c.p.SpecialCategory && c.p.Article9Ground[c.basis] == "", "SPECIAL_CATEGORY")
	}},
	{9, nil, func(c *refCase) string {
		fit := c.basis == BasisConsent && c.explicit() || c.basis == BasisContract || c.basis == BasisLegalObligation
		return when(c.p.SignificantDecision && !fit, "AUTOMATED_DECISION")
	}},
	{10, nil, func(c *refCase) string {
		return when(c.p.TerminalEquipment && !c.p.StrictlyNecessary && c.basis != BasisConsent, "TERMINAL_CONSENT_REQUIRED")
	}},
	{11, refConsent, func(c *refCase) string {
		if c.grant == nil || c.birth == (Date{}) || c.yes["guardian"] {
			return ""
		}
		return when(c.grant.at < refBirthday(c.birth, c.ageOfConsent()), "MINOR_NO_GUARDIAN")
	}},
	{12, []Basis{BasisLegitimateInterest, BasisExistingCustomer}, func(c *refCase) string {
		return when(c.minor() && (c.p.DirectMarketing || c.p.ProfilingForMarketing), "MINOR_PROTECTED")
	}},
	{13, nil, func(c *refCase) string {
		kinds := []string{"email", "sms", "messenger", "fax", "autocall"}
		if !c.p.PushIsNoMail {
			kinds = append(kinds, "push")
		}
		return when(slices.Contains(kinds, c.p.Kind.String()) && c.p.DirectMarketing &&
			c.basis != BasisConsent && c.basis != BasisExistingCustomer, "CHANNEL_CONSENT_REQUIRED")
	}},
	{14, nil, func(c *refCase) string {
		fit := c.basis == BasisConsent || c.basis == BasisPresumedConsent && c.business()
		return when(c.p.Kind == KindPhone && c.p.DirectMarketing && !fit, "CHANNEL_CONSENT_REQUIRED")
	}},
	{15, refConsent, func(c *refCase) string { return when(c.state() == "unknown", "NO_CONSENT") }},
	{16, refConsent, func(c *refCase) string { return when(c.state() == "requested", "PENDING") }},
	{17, refConsent, func(c *refCase) string { return when(c.state() == "refused", "REFUSED") }},
	{18, refConsent, func(c *refCase) string { return when(c.state() == "withdrawn", "WITHDRAWN") }},
	{19, refConsent, func(c *refCase) string { return when(c.state() == "invalidated", "INVALIDATED") }},
	{20, refConsent, func(c *refCase) string { return when(c.p.ProofRequired && !c.grant.proven(), "UNPROVEN") }},
	{21, refConsent, func(c *refCase) string { return when(c.p.DoubleOptIn && !c.grant.confirmed(c.p), "UNCONFIRMED") }},
	{22, refConsent, func(c *refCase) string { return when(c.grant.validFrom > c.now, "NOT_YET_VALID") }},
	{23, refConsent, func(c *refCase) string {
		own := c.grant.expiresAt != 0 && c.now >= c.grant.expiresAt
		policy := c.p.ExpiresAfter != 0 && int64(c.now) >= int64(c.grant.at)+c.p.ExpiresAfter
		return when(own || policy, "EXPIRED")
	}},
	{24, refConsent, func(c *refCase) string {
		last := c.grant.at
		if c.times["used"] > last {
			last = c.times["used"]
		}
		return when(c.p.DormantAfter != 0 && int64(c.now-last) > c.p.DormantAfter, "DORMANT")
	}},
	{25, refConsent, func(c *refCase) string { return when(c.grant.notice < c.p.NoticeMin, "NOTICE_OUTDATED") }},
	{26, refConsent, func(*refCase) string { return "CONSENT" }},
	{27, refCustomer, func(c *refCase) string {
		return when(c.p.Kind == KindEmail && c.relationship == "customer" && c.yes["sale"] && c.q.SimilarGoods && c.yes["opt-out"],
			"EXISTING_CUSTOMER")
	}},
	{28, refCustomer, func(*refCase) string { return "EXISTING_CUSTOMER_CONDITIONS" }},
	{29, refInterest, func(c *refCase) string {
		return when(c.p.Assessment == "" || !c.p.NoticeAtCollect, "INTEREST_UNDOCUMENTED")
	}},
	{30, refInterest, func(c *refCase) string { return when(!c.related(), "NO_RELATIONSHIP") }},
	{31, refInterest, func(*refCase) string { return "LEGITIMATE_INTEREST" }},
	{32, []Basis{BasisContract}, func(c *refCase) string { return when(c.yes["contract"] && c.p.NecessaryForContract, "CONTRACT") }},
	{33, []Basis{BasisContract}, func(*refCase) string { return "NO_CONTRACT" }},
	{34, []Basis{BasisLegalObligation}, func(c *refCase) string { return when(c.p.Statute != "", "LEGAL_OBLIGATION") }},
	{35, []Basis{BasisVitalInterest}, func(*refCase) string { return "VITAL_INTEREST" }},
	{35, []Basis{BasisPublicTask}, func(*refCase) string { return "PUBLIC_TASK" }},
	{35, []Basis{BasisPresumedConsent}, func(c *refCase) string {
		return when(c.p.Kind == KindPhone && c.business() && c.p.PresumedGrounds != "", "PRESUMED_CONSENT")
	}},
	{36, nil, func(*refCase) string { return "NO_BASIS" }},
}

var (
	refAllows = []int{26, 27, 31, 32, 34, 35}
	refEnds   = []int{7, 11, 16, 17, 18, 19, 21, 22, 23, 24, 25}
)

// refAnswer is a decision in the reference's words.
type refAnswer struct {
	Allowed       bool
	Reason, Basis string
	Obligations   string
}

// refDecide answers by the table.
func refDecide(p *Permission, history []Event, q Question, now Time) refAnswer {
	c := &refCase{refFacts: refFold(p, history), p: p, q: q, now: now}
	c.grant = c.counts()
	for _, row := range refOnce {
		if reason := row.condition(c); reason != "" {
			return refAnswer{Reason: reason, Basis: "none"}
		}
	}
	var reasons []string
	for _, basis := range p.Bases {
		number, reason := c.ask(basis)
		if slices.Contains(refAllows, number) {
			return refAnswer{true, reason, basis.String(), refObligations(p, basis)}
		}
		reasons = append(reasons, reason)
		if slices.Contains(refEnds, number) {
			break
		}
	}
	if len(reasons) == 0 {
		return refAnswer{Reason: "NO_BASIS", Basis: "none"}
	}
	return refAnswer{Reason: reasons[0], Basis: p.Bases[0].String()}
}

func (c *refCase) ask(basis Basis) (number int, reason string) {
	if c.only != "" && basis != BasisConsent {
		return 0, c.only
	}
	c.basis = basis
	for _, row := range refRows {
		if len(row.bases) > 0 && !slices.Contains(row.bases, basis) {
			continue
		}
		if reason := row.condition(c); reason != "" {
			return row.number, reason
		}
	}
	panic("row 36 always matches")
}

func refObligations(p *Permission, basis Basis) string {
	var o []string
	if p.Kind == KindPhone || p.DormantAfter != 0 {
		o = append(o, "LOG_USE")
	}
	if basis == BasisExistingCustomer {
		o = append(o, "SHOW_OPT_OUT")
	}
	return strings.Join(o, " ")
}

// counts returns the grant that counts: the one that comes furthest in the table before time is looked at, the latest of equals.
func (c *refCase) counts() *refGrant {
	var best *refGrant
	furthest := -1
	for i := range c.grants {
		g := &c.grants[i]
		if row := g.stumbles(c); !g.out && row >= furthest {
			limited := *g
			limited.validFrom, limited.expiresAt = c.limits(i)
			best, furthest = &limited, row
		}
	}
	return best
}

func (g *refGrant) stumbles(c *refCase) int {
	needsExplicit := c.p.SignificantDecision || c.p.SpecialCategory
	restricted := c.times["restricted"]
	switch {
	case restricted != 0 && c.p.RestrictionExemption == "" && (!g.overrides || g.at <= restricted):
		return 5
	case needsExplicit && !g.explicit:
		return 8
	case c.p.ProofRequired && !g.proven():
		return 20
	case c.p.DoubleOptIn && !g.confirmed(c.p):
		return 21
	case g.notice < c.p.NoticeMin:
		return 25
	default:
		return 26
	}
}

func (g *refGrant) proven() bool { return g.hasMethod && g.hasSource && g.hasReference }

func (g *refGrant) confirmed(p *Permission) bool {
	if g.confirmedAt == 0 {
		return false
	}
	return p.ConfirmWithin == 0 || int64(g.confirmedAt-g.at) <= p.ConfirmWithin
}

func (c *refCase) lists(b Basis) bool { return slices.Contains(c.p.Bases, b) }

func (c *refCase) explicit() bool { return c.grant != nil && c.grant.explicit }

func (c *refCase) business() bool { return c.q.SubjectType == Business && c.yes["business"] }

func (c *refCase) laterYes(no Time) bool {
	return c.grant != nil && c.grant.at > no && c.grant.proven() && (!c.p.DoubleOptIn || c.grant.confirmed(c.p))
}

// override returns the reason of a row that applies, unless a later yes overrides it for consent: then it is left to the other bases.
func (c *refCase) override(applies, overridden bool, reason string) string {
	switch {
	case !applies:
		return ""
	case !overridden || !c.lists(BasisConsent):
		return reason
	}
	c.only = firstOf(c.only, reason)
	return ""
}

// noStands reports whether a "no" on the permission itself stands against the basis.
func (c *refCase) noStands(no, lift string) bool {
	at := c.times[no]
	if at == 0 || lift != "" && c.times[lift] > at {
		return false
	}
	switch c.basis {
	case BasisConsent:
		if no == "withdrawn" {
			return c.grant == nil
		}
		return !c.laterYes(at)
	case BasisLegitimateInterest, BasisPublicTask:
		return c.p.OverridingGround == "" || c.times["grounds"] <= at
	}
	return true
}

// state is that of the consent: given if a grant stands, or else the latest "no", the first of equals.
func (c *refCase) state() string {
	if c.grant != nil {
		return "given"
	}
	state, latest := "unknown", Time(0)
	for _, no := range []string{"withdrawn", "refused", "invalidated"} {
		if c.times[no] > latest {
			state, latest = no, c.times[no]
		}
	}
	if state == "unknown" && c.requested {
		return "requested"
	}
	return state
}

// erasedForGood reports whether the subject was erased and nothing is recorded since that a listed basis rests on.
func (c *refCase) erasedForGood() bool {
	rests := c.lists(BasisConsent) && c.grant != nil && (!c.p.ProofRequired || c.grant.proven()) ||
		c.lists(BasisExistingCustomer) && (c.relationship == "customer" || c.yes["sale"] || c.yes["opt-out"]) ||
		c.lists(BasisLegitimateInterest) && (c.relationship == "customer" && c.allows(RelationshipCustomer) ||
			c.relationship == "former customer" && c.allows(RelationshipFormerCustomer)) ||
		c.lists(BasisPresumedConsent) && c.yes["business"] ||
		c.lists(BasisContract) && c.yes["contract"]
	return c.times["erased"] != 0 && !rests
}

func (c *refCase) allows(r Relationship) bool { return c.p.Relationships&(1<<r) != 0 }

func (c *refCase) related() bool {
	if c.p.Relationships == 0 {
		return true
	}
	switch c.relationship {
	case "customer":
		return c.allows(RelationshipCustomer)
	case "former customer":
		return c.allows(RelationshipFormerCustomer)
	case "none":
		return c.allows(RelationshipNone)
	}
	return c.times["erased"] == 0 && c.allows(RelationshipNone)
}

// minor reports whether the subject is under 18. Without a birth date only the exemption from an erasure makes one suspect it.
func (c *refCase) minor() bool {
	if c.birth == (Date{}) {
		return c.erasedForGood() && c.p.ErasureExemption != "" && !c.lists(BasisConsent)
	}
	return c.now < refBirthday(c.birth, 18)
}

func (c *refCase) ageOfConsent() int {
	if len(c.country) == 2 {
		if age := c.p.AgeByCountry[[2]byte{c.country[0], c.country[1]}]; age != 0 {
			return int(age)
		}
	}
	if c.p.AgeOfConsent == 0 {
		return 16
	}
	return int(c.p.AgeOfConsent)
}

// refBirthday returns the midnight that begins the birthday: 1 March for 29 February in most years.
func refBirthday(born Date, age int) Time {
	day := time.Date(int(born.Year), time.Month(born.Month), int(born.Day), 0, 0, 0, 0, time.UTC)
	return TimeOf(day.AddDate(age, 0, 0))
}

func firstOf(reasons ...string) string {
	for _, r := range reasons {
		if r != "" {
			return r
		}
	}
	return ""
}
