package consent

// Explanation is a decision and the walk that led to it.
type Explanation struct {
	Decision Decision
	Steps    []Step            // the rows asked, in order, up to the deciding one
	Failed   []FailedCondition // all that stands against it, also where the walk didn't come
}

// Step is one row of the decision table, as asked.
type Step struct {
	Row       string // its number in the table, or "undeliverable"
	Basis     Basis  // that it was asked for; none for the rows asked once
	Condition string
	Matched   bool // the condition holds, so that the row's answer applies to the basis, or to all if there is none
	Allows    bool // what the row answers if it matches
	Reason    Reason
	Facts     []string // of record, policy and question: "name = value"
	Source    string   // of the rule
}

// FailedCondition is a condition that has to change before the permission is given on that basis.
type FailedCondition struct {
	Row    string
	Basis  Basis // none if it fails every basis
	Reason Reason
	Detail string // what is missing or stands against it, with the facts
	Remedy Remedy
	Advice string // the remedy in words
	Source string
}

// Explain walks the same rows as Decide and comes to the same decision. Beside the walk it lists every condition that failed: of a
// denial on all bases, and of an ALLOW on those before the one that allowed.
func Explain(p *Permission, r Record, q Question, now Time) Explanation {
	return Explanation{
		Decision: Decide(p, r, q, now),
		Steps:    steps(p, r, q, now),
		Failed:   failures(p, r, q, now),
	}
}

func steps(p *Permission, r Record, q Question, now Time) []Step {
	a := asked{p: p, r: r, q: q, now: now}
	a.read()
	steps, matched := a.ask(nil, onceRows, BasisNone)
	if matched != rowNone {
		return steps
	}
	if len(p.Bases) == 0 {
		return append(steps, a.step(rowNothing, BasisNone, true))
	}
	for _, b := range p.Bases {
		steps, matched = a.askBasis(steps, b)
		if matched.allows() || matched.ends() {
			break
		}
	}
	return steps
}

// askBasis appends the steps of a basis, and returns the row that decided it.
func (a *asked) askBasis(steps []Step, b Basis) ([]Step, row) {
	if a.closed != rowNone && b != BasisConsent {
		return append(steps, a.step(a.closed, b, true)), a.closed
	}
	steps, matched := a.ask(steps, rowsFor(b), b)
	if matched != rowNone {
		return steps, matched
	}
	return append(steps, a.step(rowNothing, b, true)), rowNothing
}

// ask appends a step for each of the rows, up to the first that matches, and returns that.
func (a *asked) ask(steps []Step, rows []row, b Basis) ([]Step, row) {
	for _, w := range rows {
		matched := a.matches(w, b)
		steps = append(steps, a.step(w, b, matched))
		if matched {
			return steps, w
		}
	}
	return steps, rowNone
}

func (a *asked) step(w row, b Basis, matched bool) Step {
	return Step{
		Row: w.number(), Basis: b, Condition: rowTexts[w].condition, Matched: matched, Allows: w.allows(), Reason: w.reason(),
		Facts: a.facts(w, b), Source: rowTexts[w].source,
	}
}
