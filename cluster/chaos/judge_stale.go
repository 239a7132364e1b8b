package chaos

import "time"

// JudgeStale looks for a check that allowed what had been withdrawn for longer than the staleness bound: it began later than the bound
// after the withdrawal was acknowledged, and no grant can have come between. It asks nothing of revisions or consistency.
func JudgeStale(h *History) error {
	v := &verdict{judge: "stale"}
	for _, ops := range bySubject(h.Ops) {
		var withdrawn, granted []*Op
		for _, o := range ops {
			switch {
			case o.Kind == Withdraw && o.Outcome == Done:
				withdrawn = append(withdrawn, o)
			case o.Kind == Grant && o.Outcome != NotDone:
				granted = append(granted, o)
			}
		}
		for _, o := range ops {
			if o.Kind == Check && o.Allowed {
				v.judgeAllowed(o, withdrawn, granted, h.Bound)
			}
		}
	}
	return v.err()
}

// judgeAllowed looks at the newest withdrawal that the check had to know of.
func (v *verdict) judgeAllowed(check *Op, withdrawn, granted []*Op, bound time.Duration) {
	var last *Op
	for _, w := range withdrawn {
		if w.Return+bound < check.Call && (last == nil || w.Call > last.Call) {
			last = w
		}
	}
	for _, g := range granted {
		if g.Call <= check.Return && (last == nil || g.Outcome == Unknown || g.Return >= last.Call) {
			return
		}
	}
	if last == nil {
		v.fault("%s, and nothing was granted", check)
		return
	}
	v.fault("%s, which began %s after it was withdrawn: %s", check, check.Call-last.Return, last)
}

// bySubject groups calls.
func bySubject(ops []Op) map[string][]*Op {
	groups := map[string][]*Op{}
	for i := range ops {
		groups[ops[i].Subject] = append(groups[ops[i].Subject], &ops[i])
	}
	return groups
}
