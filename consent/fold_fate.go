package consent

import "slices"

// RetentionYears is how long the evidence of a consent to direct marketing by phone is kept, from the grant and from each use.
// Sec. 7a(2) UWG.
const RetentionYears = 5

// Fate is what becomes of an event of the history when its subject is erased.
type Fate struct {
	Folded        bool // stays, and counts in folding: the "no"s and what an erasure doesn't reach
	RetainedUntil Time // not folded any more, but kept as evidence until then (Sec. 7a UWG); zero for removed at once
}

// FatesOf returns what becomes of each event of a history that has an erasure. The policy, which may be nil, says where a duty to keep
// evidence applies: for direct marketing by phone, a use is due five years after it, and a grant, its confirmations and its evidence
// five years after the last use before the erasure, or after they occurred if that is later.
func FatesOf(history []Event, erasure Event, p *Policy) []Fate {
	fates := make([]Fate, len(history))
	for i := range history {
		switch e := &history[i]; {
		case e.OccurredAt > erasure.OccurredAt || e.outlivesErasure():
			fates[i].Folded = true
		default:
			fates[i].RetainedUntil = retention(e, history, erasure.OccurredAt, p)
		}
	}
	return fates
}

// retention returns until when an event must be kept as evidence, or zero.
func retention(e *Event, history []Event, erased Time, p *Policy) Time {
	switch e.Kind {
	case Granted, Confirmed, EvidenceAdded, Used:
	default:
		return 0
	}
	last := Time(0)
	for _, name := range e.Scope.Permissions {
		if !mustProve(p, name) {
			continue
		}
		last = max(last, e.OccurredAt)
		if e.Kind != Used {
			last = max(last, lastUse(history, name, erased))
		}
	}
	if last == 0 {
		return 0
	}
	return min(TimeOf(last.Std().AddDate(RetentionYears, 0, 0)), MaxTime)
}

// mustProve reports whether the evidence of a permission has to be kept. One that the policy doesn't declare any more is taken for direct
// marketing by phone if its channel is called so: the duty outlives the policy.
func mustProve(p *Policy, name string) bool {
	if p == nil {
		return false
	}
	if permission := p.Permission(name); permission != nil {
		return permission.DirectMarketing && permission.Kind == KindPhone
	}
	_, channel := SplitPermission(name)
	return channel == KindPhone.String()
}

func lastUse(history []Event, permission string, erased Time) Time {
	last := Time(0)
	for i := range history {
		e := &history[i]
		if e.Kind == Used && e.OccurredAt <= erased && slices.Contains(e.Scope.Permissions, permission) {
			last = max(last, e.OccurredAt)
		}
	}
	return last
}
