package consent

import "fmt"

// facts returns what a row looked at, as "name = value". Names are those of policies, attributes and questions.
func (a *asked) facts(w row, b Basis) []string {
	switch w {
	case rowMinorAds:
		return []string{fact("profiled_ads_online", a.p.ProfiledAdsOnline), a.birthFact(), a.nowFact()}
	case rowSpecialAds:
		return []string{fact("profiled_ads_online", a.p.ProfiledAdsOnline), fact("special_category", a.p.SpecialCategory)}
	case rowErased:
		return []string{fact("erased_at", a.r.ErasedAt()), fact("exempt_from.erasure", text(a.p.ErasureExemption))}
	case rowSuppressed:
		return append(a.laterFacts(), fact("suppressed_at", a.r.SuppressedAt()), fact("direct_marketing", a.p.DirectMarketing))
	case rowRestricted:
		return append(a.laterFacts(), fact("restricted_at", a.r.RestrictedAt()),
			fact("exempt_from.restriction", text(a.p.RestrictionExemption)), fact("overrides_restriction", a.c.OverridesRestriction))
	case rowObjectedMarketing:
		return append(a.laterFacts(), a.markFact("objected_to_marketing_at", MarkObjectedMarketing),
			a.markFact("lifted_at", MarkLiftedMarketing), fact("direct_marketing", a.p.DirectMarketing),
			fact("profiling_for_marketing", a.p.ProfilingForMarketing))
	case rowUndeliverable:
		return []string{a.kindFact(), a.markFact("undeliverable_at", MarkUndeliverable), a.markFact("deliverable_at", MarkDeliverable)}
	case rowWithdrawn, rowRefused, rowObjected:
		return a.noFacts(w, b)
	default:
		return a.basisFacts(w, b)
	}
}

// noFacts are those of row 7.
func (a *asked) noFacts(w row, b Basis) []string {
	var facts []string
	switch w {
	case rowWithdrawn:
		facts = append(facts, a.markFact("withdrawn_at", MarkWithdrawn))
	case rowRefused:
		facts = append(facts, a.markFact("refused_at", MarkRefused))
	default:
		facts = append(facts, a.markFact("objected_at", MarkObjectedProcessing), a.markFact("lifted_at", MarkLiftedProcessing))
	}
	switch b {
	case BasisConsent:
		return append(facts, a.laterFacts()...)
	case BasisLegitimateInterest, BasisPublicTask:
		return append(facts, fact("overriding_grounds", text(a.p.OverridingGround)), a.markFact("grounds_recorded_at", MarkGrounds))
	default:
		return facts
	}
}

// basisFacts are those of rows 8 to 14 and, through ownFacts, of the rows of one basis.
func (a *asked) basisFacts(w row, b Basis) []string {
	switch w {
	case rowSpecialCategory:
		facts := []string{fact("special_category", a.p.SpecialCategory)}
		if b == BasisConsent {
			return append(facts, fact("explicit", a.isExplicit()))
		}
		return append(facts, fact("article_9_ground", text(a.p.Article9Ground[b])))
	case rowAutomated:
		return []string{fact("significant_decision", a.p.SignificantDecision), fact("explicit", a.isExplicit())}
	case rowTerminal:
		return []string{fact("terminal_equipment", a.p.TerminalEquipment), fact("strictly_necessary", a.p.StrictlyNecessary)}
	case rowMinor:
		return []string{a.birthFact(), a.nowFact(), fact("direct_marketing", a.p.DirectMarketing),
			fact("profiling_for_marketing", a.p.ProfilingForMarketing)}
	case rowChannel:
		return []string{a.kindFact(), fact("direct_marketing", a.p.DirectMarketing), fact("electronic_mail", a.isElectronicMail())}
	case rowPhone:
		return append(a.businessFacts(), fact("direct_marketing", a.p.DirectMarketing))
	default:
		return a.ownFacts(w)
	}
}

func (a *asked) ownFacts(w row) []string {
	switch w {
	case rowUnderAge:
		return []string{a.givenFact(), a.birthFact(), fact("country", countryText(a.r.Country())), fact("age_of_consent", a.ageOfConsent()),
			fact("guardian_authorised", a.r.GuardianAuthorised())}
	case rowUnknown, rowRequested, rowStateRefused, rowStateWithdrawn, rowInvalidated:
		return []string{fact("state", stateText(a.c.State)), fact("since", a.c.Since)}
	case rowUnproven, rowUnconfirmed, rowNotYetValid, rowExpired, rowDormant, rowOutdated, rowConsent:
		return a.givenFacts(w)
	case rowCustomer, rowNoCustomer:
		return []string{a.kindFact(), fact("relationship", relationshipText(a.r.Relationship())), fact("address_from_sale", a.r.AddressFromSale()),
			fact("similar_goods", a.q.SimilarGoods), fact("opt_out_notice_given", a.r.OptOutNoticeGiven())}
	case rowUndocumented:
		return []string{fact("assessment", text(a.p.Assessment)), fact("notice_at_collection", a.p.NoticeAtCollect)}
	case rowNoRelationship:
		return []string{fact("relationship", relationshipText(a.r.Relationship())), fact("relationships", relationshipsText(a.p.Relationships))}
	case rowContract, rowNoContract:
		return []string{fact("contract_active", a.r.ContractActive()), fact("necessary_for_contract", a.p.NecessaryForContract)}
	case rowStatute:
		return []string{fact("statute", text(a.p.Statute))}
	case rowPresumed:
		return append(a.businessFacts(), fact("presumed_consent_grounds", text(a.p.PresumedGrounds)))
	default:
		return nil
	}
}

// givenFacts are those of the rows on a consent that was given.
func (a *asked) givenFacts(w row) []string {
	facts := []string{a.givenFact()}
	switch w {
	case rowUnproven:
		return append(facts, fact("proof_required", a.p.ProofRequired), fact("proven", a.c.Proven))
	case rowUnconfirmed:
		return append(facts, fact("double_opt_in", a.p.DoubleOptIn), fact("confirmed_at", a.c.ConfirmedAt),
			fact("confirm_within", span(a.p.ConfirmWithin)))
	case rowNotYetValid:
		return append(facts, fact("valid_from", a.c.ValidFrom), a.nowFact())
	case rowExpired:
		return append(facts, fact("expiry", a.expiry()), a.nowFact())
	case rowDormant:
		return append(facts, fact("last_used_at", a.c.LastUsedAt), fact("dormant_after", span(a.p.DormantAfter)), a.nowFact())
	case rowOutdated:
		return append(facts, a.noticeFact(), fact("min_material", a.p.NoticeMin))
	default:
		return facts
	}
}

func (a *asked) noticeFact() string {
	if a.c.NoticeVersion == 0 {
		return fact("notice_version", "unknown")
	}
	return fact("notice_version", a.c.NoticeVersion)
}

// laterFacts are those that make a later yes.
func (a *asked) laterFacts() []string {
	return []string{fact("state", stateText(a.c.State)), fact("since", a.c.Since), fact("proven", a.c.Proven), fact("confirmed_at", a.c.ConfirmedAt)}
}

func (a *asked) businessFacts() []string {
	return []string{a.kindFact(), fact("business", a.r.Business()), fact("asked_as_business", a.q.SubjectType == Business)}
}

func (a *asked) birthFact() string {
	born := a.r.BirthDate()
	if born == (Date{}) {
		return "birth_date = unknown"
	}
	return fmt.Sprintf("birth_date = %04d-%02d-%02d", born.Year, born.Month, born.Day)
}

func (a *asked) nowFact() string { return fact("now", a.now) }

func (a *asked) kindFact() string { return fact("kind", a.p.Kind) }

func (a *asked) givenFact() string { return fact("given_at", a.c.Since) }

func (a *asked) markFact(name string, kind MarkKind) string { return fact(name, a.r.Mark(kind, a.p)) }

func fact(name string, value any) string { return fmt.Sprintf("%s = %v", name, value) }
