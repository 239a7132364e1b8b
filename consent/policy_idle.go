package consent

import (
	"fmt"
	"slices"
)

// idleRule says what a key is for, and whether a permission sets it to something, and whether that could then matter.
type idleRule struct {
	key   string
	needs string
	set   func(p *Permission) bool
	used  func(p *Permission) bool
}

func on(bases ...Basis) func(p *Permission) bool {
	return func(p *Permission) bool { return slices.ContainsFunc(bases, p.HasBasis) }
}

// idleRules are the keys that say something only beside others.
var idleRules = []idleRule{
	{"double_opt_in", "consent among the bases", func(p *Permission) bool { return p.DoubleOptIn }, on(BasisConsent)},
	{"confirm_within", "double_opt_in: true", func(p *Permission) bool { return p.ConfirmWithin > 0 },
		func(p *Permission) bool { return p.DoubleOptIn }},
	{"proof_required", "consent among the bases", func(p *Permission) bool { return !p.ProofRequired }, on(BasisConsent)},
	{"expires_after", "consent among the bases", func(p *Permission) bool { return p.ExpiresAfter > 0 }, on(BasisConsent)},
	{"dormant_after", "consent among the bases", func(p *Permission) bool { return p.DormantAfter > 0 }, on(BasisConsent)},
	{"strictly_necessary", "terminal_equipment: true", func(p *Permission) bool { return p.StrictlyNecessary },
		func(p *Permission) bool { return p.TerminalEquipment }},
	{"necessary_for_contract", "contract among the bases", func(p *Permission) bool { return p.NecessaryForContract }, on(BasisContract)},
	{"notice_at_collection", "legitimate_interest among the bases", func(p *Permission) bool { return p.NoticeAtCollect },
		on(BasisLegitimateInterest)},
	{"assessment", "legitimate_interest among the bases", func(p *Permission) bool { return p.Assessment != "" },
		on(BasisLegitimateInterest)},
	{"relationships", "legitimate_interest among the bases", func(p *Permission) bool { return p.Relationships != 0 },
		on(BasisLegitimateInterest)},
	{"presumed_consent_grounds", "presumed_consent among the bases", func(p *Permission) bool { return p.PresumedGrounds != "" },
		on(BasisPresumedConsent)},
	{"statute", "legal_obligation among the bases", func(p *Permission) bool { return p.Statute != "" }, on(BasisLegalObligation)},
	{"overriding_grounds", "legitimate_interest or public_task among the bases",
		func(p *Permission) bool { return p.OverridingGround != "" }, on(BasisLegitimateInterest, BasisPublicTask)},
}

// idleKeys are the keys that say nothing, by where they stand. One that a purpose says for all its channels need matter for one of them
// only.
type idleKeys map[place]string

// used marks keys that matter for some permission, or can't be judged.
const used = ""

// note judges the keys that a permission has.
func (k idleKeys) note(d *draft) {
	for _, rule := range idleRules {
		if rule.set(&d.Permission) {
			k.judge(d, rule.key, rule.used(&d.Permission), rule.needs)
		}
	}
	for b := BasisExistingCustomer; b <= BasisPublicTask; b++ {
		if d.Article9Ground[b] != "" {
			k.judge(d, "article_9_grounds."+b.String(), d.SpecialCategory && d.HasBasis(b),
				fmt.Sprintf("special_category: true and %s among the bases", b))
		}
	}
}

func (k idleKeys) judge(d *draft, key string, matters bool, needs string) {
	at := d.at(key)
	if matters {
		k[at] = used
	} else if _, judged := k[at]; !judged {
		k[at] = "this says nothing without " + needs + ": add that, or take this out"
	}
}

// trust takes every key of a permission that couldn't be read for one that matters.
func (k idleKeys) trust(d *draft) {
	for _, at := range d.set {
		k[at] = used
	}
}

func (k idleKeys) report(f *faults) {
	for at, message := range k {
		if message != used {
			f.add(at, "%s", message)
		}
	}
}
