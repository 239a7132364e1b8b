package consent

import "strings"

// draft is a permission while it is read.
type draft struct {
	Permission
	place  place
	set    map[string]place // by key, where the purpose or the channel says so; a basis by its own name too
	broken bool             // something couldn't be read
}

// at returns where a key stands, or else the permission.
func (d *draft) at(key string) place {
	if at, found := d.set[key]; found {
		return at
	}
	return d.place
}

// settings are the keys of purposes and channels alike. What is read goes into the draft.
func (p *policyParser) settings(d *draft) keys {
	known := keys{
		"description":       func(_, value node) bool { return p.describe(value) },
		"bases":             func(_, value node) bool { return p.bases(value, d) },
		"notice":            func(_, value node) bool { return p.notice(value, &d.Permission) },
		"exempt_from":       func(_, value node) bool { return p.exemptions(value, d) },
		"relationships":     func(_, value node) bool { return p.relationships(value, d) },
		"article_9_grounds": func(_, value node) bool { return p.article9Grounds(value, d) },
	}
	for key, flag := range d.flags() {
		known[key] = func(_, value node) (ok bool) {
			*flag, ok = p.boolean(value)
			return ok
		}
	}
	for key, duration := range d.durations() {
		known[key] = func(_, value node) (ok bool) {
			*duration, ok = p.duration(value)
			return ok
		}
	}
	for key, text := range d.texts() {
		known[key] = func(_, value node) (ok bool) {
			*text, ok = p.reason(value)
			return ok
		}
	}
	for key, read := range known {
		known[key] = func(at, value node) bool {
			d.set[key] = at.place()
			return read(at, value)
		}
	}
	return known
}

func (d *draft) flags() map[string]*bool {
	return map[string]*bool{
		"direct_marketing":        &d.DirectMarketing,
		"profiling_for_marketing": &d.ProfilingForMarketing,
		"profiled_ads_online":     &d.ProfiledAdsOnline,
		"special_category":        &d.SpecialCategory,
		"significant_decision":    &d.SignificantDecision,
		"terminal_equipment":      &d.TerminalEquipment,
		"strictly_necessary":      &d.StrictlyNecessary,
		"necessary_for_contract":  &d.NecessaryForContract,
		"double_opt_in":           &d.DoubleOptIn,
		"proof_required":          &d.ProofRequired,
		"notice_at_collection":    &d.NoticeAtCollect,
	}
}

func (d *draft) durations() map[string]*int64 {
	return map[string]*int64{
		"confirm_within": &d.ConfirmWithin,
		"expires_after":  &d.ExpiresAfter,
		"dormant_after":  &d.DormantAfter,
	}
}

func (d *draft) texts() map[string]*string {
	return map[string]*string{
		"assessment":               &d.Assessment,
		"presumed_consent_grounds": &d.PresumedGrounds,
		"statute":                  &d.Statute,
		"overriding_grounds":       &d.OverridingGround,
	}
}

// describe reads a description. It is for people alone.
func (p *policyParser) describe(value node) bool {
	_, ok := p.reason(value)
	return ok
}

func (p *policyParser) bases(value node, d *draft) bool {
	d.Bases = nil
	return p.list(value, func(item node) bool {
		b, ok := ParseBasis(item.Value)
		if !ok {
			p.add(item.place(), "%s is no basis: use one of %s", quoted(item.Value), join(basisNames[BasisConsent:]))
			return false
		}
		d.Bases = append(d.Bases, b)
		d.set[b.String()] = item.place()
		return true
	})
}

// notice reads which version of the notice stands, and which is the oldest that still informs. Neither follows from the other, so both
// have to be said.
func (p *policyParser) notice(value node, to *Permission) bool {
	current, oldest := node{}, node{}
	ok := p.object(value, keys{
		"current": func(key, value node) bool {
			current = key
			version, ok := p.whole(value, 1, maxNotice)
			to.NoticeCurrent = uint32(version)
			return ok
		},
		"min_material": func(key, value node) bool {
			oldest = key
			version, ok := p.whole(value, 0, maxNotice)
			to.NoticeMin = uint32(version)
			return ok
		},
	})
	switch {
	case !ok:
		return false
	case current.Node == nil || oldest.Node == nil:
		p.add(value.place(), "a notice needs both current, the version that stands, and min_material, the oldest that still informs "+
			"(0 if every one does, also one that isn't known): add the other")
	case to.NoticeMin > to.NoticeCurrent:
		p.add(oldest.place(), "min_material is %d, but there is no notice after %d, the current one: lower it, or raise current",
			to.NoticeMin, to.NoticeCurrent)
	default:
		return true
	}
	return false
}

var (
	// Art. 17(3) GDPR, and the retention duties of its (b).
	erasureExemptions = []string{"legal_obligation", "public_interest", "legal_claims"}
	// Art. 18(2) GDPR.
	restrictionExemptions = []string{"storage", "legal_claims", "rights_of_others", "public_interest"}
)

func (p *policyParser) exemptions(value node, d *draft) bool {
	d.ErasureExemption, d.RestrictionExemption = "", ""
	return p.object(value, keys{
		"erasure": func(_, value node) (ok bool) {
			d.ErasureExemption, ok = p.oneOf(value, "ground of Art. 17(3) GDPR", erasureExemptions)
			return ok
		},
		"restriction": func(_, value node) (ok bool) {
			d.RestrictionExemption, ok = p.oneOf(value, "ground of Art. 18(2) GDPR", restrictionExemptions)
			return ok
		},
	})
}

// oneOf reads a text that is one of a few.
func (p *policyParser) oneOf(n node, what string, of []string) (string, bool) {
	text, ok := p.text(n)
	if !ok {
		return "", false
	}
	for _, one := range of {
		if text == one {
			return text, true
		}
	}
	p.add(n.place(), "%s is no %s that can be named here: use one of %s", quoted(text), what, join(of))
	return "", false
}

var relationshipNames = []string{"none", "customer", "former_customer"}

func (p *policyParser) relationships(value node, d *draft) bool {
	d.Relationships = 0
	return p.list(value, func(item node) bool {
		for i, name := range relationshipNames {
			if item.Value == name {
				d.Relationships |= 1 << (int(RelationshipNone) + i)
				return true
			}
		}
		p.add(item.place(), "%s is no relationship: use one of %s", quoted(item.Value), join(relationshipNames))
		return false
	})
}

// article9Grounds reads what lifts the prohibition of Art. 9(1) GDPR for bases other than consent.
func (p *policyParser) article9Grounds(value node, d *draft) bool {
	d.Article9Ground = [len(d.Article9Ground)]string{}
	return p.mapping(value, func(key, value node) bool {
		b, known := ParseBasis(key.Value)
		switch {
		case !known:
			p.add(key.place(), "%s is no basis: use one of %s", quoted(key.Value), join(basisNames[BasisExistingCustomer:]))
			return false
		case b == BasisConsent:
			p.add(key.place(), "consent needs no ground here but has to be explicit, Art. 9(2)(a) GDPR: leave it out")
			return false
		}
		text, ok := p.reason(value)
		d.Article9Ground[b] = text
		d.set["article_9_grounds."+b.String()] = key.place()
		return ok
	})
}

func join(names []string) string { return strings.Join(names, ", ") }
