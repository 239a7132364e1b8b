package consent

import "fmt"

// checkBases refuses bases that nothing recorded could ever make allow, and an order that the law doesn't know.
func (p *policyParser) checkBases(d *draft) {
	if len(d.Bases) == 0 {
		p.add(d.at("bases"), "the permission %s has no basis, so that nothing could allow it: list at least one under bases", d.Name)
		return
	}
	if d.HasBasis(BasisConsent) && d.Bases[0] != BasisConsent {
		p.add(d.at("consent"), "consent stands after %s, but who was asked and said no mustn't be overridden by another basis: "+
			"list consent first", d.Bases[0])
	}
	for _, b := range d.Bases {
		for _, rule := range basisRules {
			if reason := rule(&d.Permission, b); reason != "" {
				p.add(d.at(b.String()), "%s can't rest on %s: %s", d.Name, b, reason)
			}
		}
	}
}

// basisRules say why a permission can't rest on a basis, and what to do; or nothing.
var basisRules = []func(p *Permission, b Basis) string{
	automatedDecisionRule, terminalEquipmentRule, electronicMailRule, phoneRule, existingCustomerRule, presumedConsentRule,
	contractRule, legalObligationRule, article9Rule,
}

// automatedDecisionRule is row 9.
func automatedDecisionRule(p *Permission, b Basis) string {
	if !p.SignificantDecision || b == BasisConsent || b == BasisContract || b == BasisLegalObligation {
		return ""
	}
	return "a significant automated decision needs explicit consent, a contract or a statute (Art. 22(2) GDPR): take the basis out"
}

// terminalEquipmentRule is row 10.
func terminalEquipmentRule(p *Permission, b Basis) string {
	if !p.TerminalEquipment || p.StrictlyNecessary || b == BasisConsent {
		return ""
	}
	return "reading from or writing to somebody's device needs consent unless it is strictly necessary (Sec. 25 TDDDG): take the basis out"
}

// electronicMailRule is row 13. Sec. 7(3) UWG is for existingCustomerRule.
func electronicMailRule(p *Permission, b Basis) string {
	a := asked{p: p}
	if !p.DirectMarketing || !a.isElectronicMail() || b == BasisConsent || b == BasisExistingCustomer {
		return ""
	}
	return fmt.Sprintf("marketing by %s needs consent (Sec. 7(2) no. 2 UWG): take the basis out", p.Kind)
}

// phoneRule is row 14.
func phoneRule(p *Permission, b Basis) string {
	if !p.DirectMarketing || p.Kind != KindPhone || b == BasisConsent || b == BasisPresumedConsent || b == BasisExistingCustomer {
		return ""
	}
	return "marketing by phone needs consent, or a business's presumed consent (Sec. 7(2) no. 1 UWG): take the basis out"
}

// existingCustomerRule is row 28.
func existingCustomerRule(p *Permission, b Basis) string {
	switch {
	case b != BasisExistingCustomer:
		return ""
	case p.Kind != KindEmail:
		return "it is for e-mail alone (Sec. 7(3) UWG): take the basis out, or use a channel of kind email"
	case !p.DirectMarketing:
		return "it is for direct marketing alone (Sec. 7(3) UWG): set direct_marketing: true, or take the basis out"
	}
	return ""
}

// presumedConsentRule is row 35.
func presumedConsentRule(p *Permission, b Basis) string {
	switch {
	case b != BasisPresumedConsent:
		return ""
	case p.Kind != KindPhone:
		return "it is for calls alone (Sec. 7(2) no. 1 UWG): take the basis out, or use a channel of kind phone"
	case !p.DirectMarketing:
		return "it is for direct marketing alone (Sec. 7(2) no. 1 UWG): set direct_marketing: true, or take the basis out"
	case p.PresumedGrounds == "":
		return "nothing says why businesses would agree (Sec. 7(2) no. 1 UWG): name it under presumed_consent_grounds"
	}
	return ""
}

// contractRule is row 33.
func contractRule(p *Permission, b Basis) string {
	if b != BasisContract || p.NecessaryForContract {
		return ""
	}
	return "nothing says that it is necessary for the contract (Art. 6(1)(b) GDPR): set necessary_for_contract: true if it is, " +
		"or take the basis out"
}

// legalObligationRule is row 34.
func legalObligationRule(p *Permission, b Basis) string {
	if b != BasisLegalObligation || p.Statute != "" {
		return ""
	}
	return "no statute is named that obliges to it (Art. 6(1)(c) GDPR): name it under statute, or take the basis out"
}

// article9Rule is row 8.
func article9Rule(p *Permission, b Basis) string {
	if !p.SpecialCategory || b == BasisConsent || p.Article9Ground[b] != "" {
		return ""
	}
	return fmt.Sprintf("special categories of data need explicit consent, or another ground of Art. 9(2) GDPR: name it as %s under "+
		"article_9_grounds, or take the basis out", b)
}

// checkPermission refuses what contradicts itself whatever the basis.
func (p *policyParser) checkPermission(d *draft) {
	marketing := d.DirectMarketing || d.ProfilingForMarketing || d.ProfiledAdsOnline
	if d.DirectMarketing && d.Kind == KindNone {
		p.add(d.at("direct_marketing"), "direct marketing reaches people over channels, and Sec. 7 UWG asks which: list them under channels")
	}
	if d.ProfiledAdsOnline && !d.ProfilingForMarketing {
		p.add(d.at("profiled_ads_online"), "profiled ads are profiling for marketing, which Art. 21(2) GDPR lets everybody object to: "+
			"set profiling_for_marketing: true")
	}
	if d.ProfiledAdsOnline && d.SpecialCategory {
		p.add(d.at("special_category"), "special categories of data may never serve profiled ads on an online platform (Art. 26(3) DSA), "+
			"so that nothing could allow %s: take one of the two out", d.Name)
	}
	if d.OverridingGround != "" && marketing {
		p.add(d.at("overriding_grounds"), "nothing overrides an objection to marketing (Art. 21(3) GDPR): leave it out")
	}
	p.checkExemptions(d, marketing)
}

func (p *policyParser) checkExemptions(d *draft, marketing bool) {
	exempt := d.ErasureExemption != "" || d.RestrictionExemption != ""
	if exempt && marketing {
		p.add(d.at("exempt_from"), "no ground of Art. 17(3) or 18(2) GDPR carries marketing: leave exempt_from out")
	}
	if d.ErasureExemption != "" && d.HasBasis(BasisConsent) {
		p.add(d.at("exempt_from"), "an erasure ends a consent, so that what lists consent can't be exempt from it (Art. 17(1)(b) GDPR): "+
			"make what has to stay a purpose of its own, without consent")
	}
}
