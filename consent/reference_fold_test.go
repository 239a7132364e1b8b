package consent

import (
	"slices"
	"sort"
)

// The reference is the second, dumber implementation of the decision table: it folds a subject's history for one permission with
// strings and slices, and asks the table's rows literally, one after the other. It knows nothing of records and of Decide.

type refGrant struct {
	at, confirmedAt, validFrom, expiresAt                   Time
	notice                                                  uint32
	hasMethod, hasSource, hasReference, explicit, overrides bool
	out                                                     bool // for good: another says all that it does, or counts more
	repeat                                                  bool // out from the first, for one of the same instant
}

type refFacts struct {
	times map[string]Time // "withdrawn", "refused", "invalidated", "objected to marketing", ...: the latest, covering the permission

	grants       []refGrant // oldest first, those that are out among them
	requested    bool
	birth        Date
	country      string
	relationship string
	yes          map[string]bool // "guardian", "sale", "opt-out", "contract", "business"
}

// refFold folds what a history says about a permission.
func refFold(p *Permission, history []Event) *refFacts {
	f := &refFacts{times: map[string]Time{}, yes: map[string]bool{}, relationship: "unknown"}
	events := slices.Clone(history)
	sort.SliceStable(events, func(i, j int) bool {
		if events[i].OccurredAt != events[j].OccurredAt {
			return events[i].OccurredAt < events[j].OccurredAt
		}
		return refRank(events[i]) < refRank(events[j])
	})
	for _, e := range events {
		f.fold(p, e)
	}
	return f
}

// refRank puts yes before no at the same time: ties deny. Grants come before what refers to them, and limits after what they limit.
func refRank(e Event) int {
	switch {
	case refSaysNo(e):
		return 3
	case e.Kind != Granted:
		return 2
	case e.Terms.ValidFrom != 0, e.Terms.ExpiresAt != 0:
		return 1
	}
	return 0
}

func refSaysNo(e Event) bool {
	switch e.Kind {
	case Refused, Withdrawn, Invalidated, Objected, Suppressed, Undeliverable, Restricted, Erased:
		return true
	case Granted:
		return refVoid(e.Evidence.Method)
	}
	return false
}

func refVoid(m Method) bool {
	return m == MethodPreTicked || m == MethodImplied || m == MethodBoughtList
}

// refCovers reports whether an event is about the permission. A "no" may write a purpose as a permission.
func refCovers(e Event, p *Permission) bool {
	s := e.Scope
	if refSaysNo(e) && slices.Contains(s.Permissions, p.Purpose) {
		return true
	}
	if len(s.Permissions)+len(s.Purposes)+len(s.Channels) == 0 {
		return true
	}
	return slices.Contains(s.Permissions, p.Name) || slices.Contains(s.Purposes, p.Purpose) || slices.Contains(s.Channels, p.Channel)
}

func (f *refFacts) fold(p *Permission, e Event) {
	covered, named := refCovers(e, p), slices.Contains(e.Scope.Permissions, p.Name)
	no := func(name string) {
		if covered {
			f.times[name] = e.OccurredAt
			f.grants, f.requested = nil, false
		}
	}
	mark := func(name string) {
		if covered {
			f.times[name] = e.OccurredAt
		}
	}
	switch e.Kind {
	case Granted:
		switch {
		case refVoid(e.Evidence.Method):
			no("invalidated")
		case named:
			f.grant(e)
		}
	case Requested:
		asked := f.times["withdrawn"] == 0 && f.times["refused"] == 0 && f.times["invalidated"] == 0 && !f.stands()
		f.requested = f.requested || named && asked
	case Confirmed:
		for i := range f.grants {
			if g := &f.grants[i]; named && g.confirmedAt == 0 {
				g.confirmedAt = e.OccurredAt
			}
		}
		f.tidy()
	case EvidenceAdded:
		if named {
			f.prove(e)
		}
	case Used:
		if named {
			f.times["used"] = e.OccurredAt
		}
	case Refused:
		no("refused")
	case Withdrawn:
		no("withdrawn")
	case Invalidated:
		no("invalidated")
	case Objected:
		if e.Objection != ObjectionProcessing {
			mark("objected to marketing")
		}
		if e.Objection != ObjectionMarketing {
			mark("objected to processing")
		}
	case ObjectionLifted:
		if e.Objection != ObjectionProcessing {
			mark("lifted for marketing")
		}
		if e.Objection != ObjectionMarketing {
			mark("lifted for processing")
		}
	case Suppressed:
		f.times["suppressed"] = e.OccurredAt
	case Unsuppressed:
		delete(f.times, "suppressed")
	case Restricted:
		f.times["restricted"] = e.OccurredAt
	case Unrestricted:
		delete(f.times, "restricted")
	case Undeliverable:
		mark("undeliverable")
	case Deliverable:
		mark("deliverable")
	case GroundsRecorded:
		mark("grounds")
	case AttributesSet:
		f.set(e.Attributes)
	case Erased:
		f.erase(e.OccurredAt)
	}
}

func (f *refFacts) grant(e Event) {
	g := refGrant{
		at: e.OccurredAt, validFrom: e.Terms.ValidFrom, expiresAt: e.Terms.ExpiresAt, notice: e.Evidence.NoticeVersion,
		explicit: e.Terms.Explicit, overrides: e.Terms.OverridesRestriction,
	}
	g.prove(e.Evidence)
	f.grants = append(f.grants, g)
	f.requested = false
	if f.lastIsRepeat() {
		last := &f.grants[len(f.grants)-1]
		last.out, last.repeat = true, true
		return
	}
	f.tidy()
	f.crowd()
}

// lastIsRepeat reports whether another grant of the same instant, and of the same limits, says all that the last one does.
func (f *refFacts) lastIsRepeat() bool {
	last := len(f.grants) - 1
	g := f.grants[last]
	for i, other := range f.grants[:last] {
		from, until := f.limits(i)
		if !other.out && other.at == g.at && g.saysNoMoreThan(other) && from == g.validFrom && until == g.expiresAt {
			return true
		}
	}
	return false
}

// limits returns what limits a grant: the narrowest of its own terms and those of all later ones, whatever became of them.
func (f *refFacts) limits(of int) (from, until Time) {
	for _, g := range f.grants[of:] {
		if g.validFrom > from {
			from = g.validFrom
		}
		if g.expiresAt != 0 && (until == 0 || g.expiresAt < until) {
			until = g.expiresAt
		}
	}
	return from, until
}

// tidy takes out what says nothing that a later grant doesn't.
func (f *refFacts) tidy() {
	for i := range f.grants {
		for _, later := range f.grants[i+1:] {
			f.grants[i].out = f.grants[i].out || !later.out && f.grants[i].saysNoMoreThan(later)
		}
	}
}

func (g *refGrant) saysNoMoreThan(later refGrant) bool {
	switch {
	case g.hasMethod && !later.hasMethod, g.hasSource && !later.hasSource, g.hasReference && !later.hasReference,
		g.explicit && !later.explicit, g.overrides && !later.overrides, g.notice > later.notice:
		return false
	case g.confirmedAt == 0:
		return true
	}
	return later.confirmedAt != 0 && later.confirmedAt-later.at <= g.confirmedAt-g.at
}

// crowd lets a fifth grant push one out: any without proof, or any but the newest without confirmation, or any; the oldest of these.
func (f *refFacts) crowd() {
	var in []*refGrant
	for i := range f.grants {
		if !f.grants[i].out {
			in = append(in, &f.grants[i])
		}
	}
	if len(in) <= 4 {
		return
	}
	for _, g := range in {
		if !g.proven() {
			g.out = true
			return
		}
	}
	for _, g := range in[:4] {
		if g.confirmedAt == 0 {
			g.out = true
			return
		}
	}
	in[0].out = true
}

// prove adds evidence to the last grant of the instant it names, or to the last of all; to none if that was left out.
func (f *refFacts) prove(e Event) {
	told := slices.Clone(f.grants)
	told = slices.DeleteFunc(told, func(g refGrant) bool { return g.repeat })
	if len(told) == 0 {
		return
	}
	last, at := told[len(told)-1], e.GrantAt
	if at == 0 {
		at = last.at
	}
	if last.out && last.at == at {
		return
	}
	for i := len(f.grants) - 1; i >= 0; i-- {
		g := &f.grants[i]
		if g.out || g.at != at {
			continue
		}
		g.prove(e.Evidence)
		if g.notice == 0 {
			g.notice = e.Evidence.NoticeVersion
		}
		break
	}
	f.tidy()
}

func (g *refGrant) prove(e Evidence) {
	g.hasMethod = g.hasMethod || e.Method != MethodUnknown && !refVoid(e.Method)
	g.hasSource = g.hasSource || e.Source != ""
	g.hasReference = g.hasReference || e.Reference != "" || e.NoticeHash != ""
}

func (f *refFacts) set(a Attributes) {
	if a.BirthDate != nil {
		f.birth = *a.BirthDate
	}
	if a.Country != nil {
		f.country = *a.Country
	}
	switch a.Relationship {
	case RelationshipNone:
		f.relationship = "none"
	case RelationshipCustomer:
		f.relationship = "customer"
	case RelationshipFormerCustomer:
		f.relationship = "former customer"
	}
	for name, value := range map[string]*bool{
		"guardian": a.GuardianAuthorised, "sale": a.AddressFromSale, "opt-out": a.OptOutNoticeGiven, "contract": a.ContractActive,
		"business": a.Business,
	} {
		if value != nil {
			f.yes[name] = *value
		}
	}
}

// stands reports whether any grant does.
func (f *refFacts) stands() bool {
	return slices.ContainsFunc(f.grants, func(g refGrant) bool { return !g.out })
}

// erase cuts: what is left is every "no", what took one back, and the erasure itself, which suppresses.
func (f *refFacts) erase(at Time) {
	delete(f.times, "used")
	delete(f.times, "grounds")
	*f = refFacts{times: f.times, yes: map[string]bool{}, relationship: "unknown"}
	f.times["erased"], f.times["suppressed"] = at, at
}
