package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"
)

// ErrIncomparable is returned by Compare for reports of different loads, and for those that have no figures.
var ErrIncomparable = errors.New("the reports can't be compared")

// ComparisonSchema names the form of a Comparison in JSON, as Schema does that of a Report.
const ComparisonSchema = "consentd.bench.comparison/1"

// A Comparison is what became of the figures from one report to another.
type Comparison struct {
	Schema   string   `json:"schema"`
	Old      string   `json:"old"` // which version was measured, and when
	New      string   `json:"new"`
	Warnings []string `json:"warnings,omitempty"` // on what makes the comparison doubtful
	Changes  []Change `json:"changes"`
}

// A Change is what became of a figure.
type Change struct {
	Figure    string   `json:"figure"`
	Unit      string   `json:"unit"`
	Old       Spread   `json:"old"`
	New       Spread   `json:"new"`
	Relative  *float64 `json:"relative,omitempty"` // 0.05 is a median 5 % above the old; nil if the old is 0
	Limit     *float64 `json:"limit,omitempty"`    // by how much it may get worse; nil if nothing was said
	Regressed bool     `json:"regressed"`
	Why       string   `json:"why,omitempty"` // what the judgement rests on, if that isn't plain
}

// A Regress is by how much a figure may get worse.
type Regress struct {
	Figure string
	Limit  float64 // as a share of the old median
}

var regressForm = regexp.MustCompile(`^([a-z][a-z0-9.-]*)\s*=\s*(\S+)%$`)

// ParseRegress reads a list such as "p99=5%,rate=3%". Figures are named as those of ParseThresholds. The error says what was wrong, and what may
// be said instead.
func ParseRegress(list string) ([]Regress, error) {
	limits, err := parseList(list, parseRegress)
	if err != nil {
		return nil, err
	}
	for n, limit := range limits {
		if slices.ContainsFunc(limits[:n], func(other Regress) bool { return other.Figure == limit.Figure }) {
			return nil, fmt.Errorf("%q limits %s twice: say it once", list, limit.Figure)
		}
	}
	return limits, nil
}

func parseRegress(text string) (Regress, error) {
	parts := regressForm.FindStringSubmatch(text)
	if parts == nil {
		return Regress{}, fmt.Errorf("%q isn't a limit: say FIGURE=PERCENT%%, as in p99=5%%", text)
	}
	if err := checkFigure(parts[1]); err != nil {
		return Regress{}, fmt.Errorf("limit %q: %w", text, err)
	}
	value, err := parseNumber(parts[2])
	if err != nil {
		return Regress{}, fmt.Errorf("limit %q: %q isn't a percentage: say a number that is at least 0, as in p99=5%%", text, parts[2])
	}
	return Regress{parts[1], value / 100}, nil
}

// Compare says what became of each figure that both reports have. A figure has regressed if its median is worse by more than its limit, and, when
// both reports have three runs or more, outside the spread of the old ones: what the old runs did by themselves is no regression. With fewer runs
// the limit alone decides. Of rates and goodput less is worse, of all else more. A figure that has a limit and is missing in the new report has
// regressed.
//
// It returns ErrIncomparable if the reports are of another scenario, loop, rate, or data set, or if a figure with a limit is missing in the old
// one. Of what makes figures doubtful, as another machine, it warns.
func Compare(before, after *Report, limits []Regress) (*Comparison, error) {
	if differing := loadDiffers(before, after); len(differing) > 0 {
		return nil, fmt.Errorf("%w: they differ in %s: measure again with the same settings", ErrIncomparable, strings.Join(differing, ", "))
	}
	if len(before.Runs) == 0 || len(after.Runs) == 0 {
		return nil, fmt.Errorf("%w: one has no run: measure again", ErrIncomparable)
	}
	c := &Comparison{Schema: ComparisonSchema, Old: before.title(), New: after.title(), Warnings: doubts(before, after), Changes: []Change{}}
	for _, name := range slices.Concat(Figures(), after.extraNames()) {
		if change, found := changeOf(name, before, after); found {
			c.Changes = append(c.Changes, change)
		}
	}
	for _, limit := range limits {
		if err := c.hold(limit, before); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// title says what was measured, and when.
func (r *Report) title() string {
	return phrases(", ", phrases(" ", r.Environment.Version, parenthesized(r.Environment.Commit)), began(r))
}

// changeOf returns false unless both reports have the figure, in the same unit.
func changeOf(name string, before, after *Report) (Change, bool) {
	was, unit, found := before.Spread(name)
	is, in, foundToo := after.Spread(name)
	if !found || !foundToo || unit != in {
		return Change{}, false
	}
	c := Change{Figure: name, Unit: unit, Old: was, New: is}
	if was.Median != 0 {
		relative := is.Median/was.Median - 1
		c.Relative = &relative
	}
	return c, true
}

// hold judges the figure of a limit.
func (c *Comparison) hold(limit Regress, before *Report) error {
	at := slices.IndexFunc(c.Changes, func(change Change) bool { return change.Figure == limit.Figure })
	if at >= 0 {
		c.Changes[at].judge(limit.Limit)
		return nil
	}
	was, unit, found := before.Spread(limit.Figure)
	if !found {
		return fmt.Errorf("%w: the old one didn't measure %s in all runs: take it from the limits", ErrIncomparable, limit.Figure)
	}
	c.Changes = append(c.Changes, Change{
		Figure: limit.Figure, Unit: unit, Old: was, Limit: &limit.Limit, Regressed: true, Why: "the new runs didn't measure it",
	})
	return nil
}

// enoughRuns tell how far runs are from each other by themselves.
const enoughRuns = 3

func (c *Change) judge(limit float64) {
	c.Limit = &limit
	if c.worse() <= limit {
		return
	}
	switch {
	case min(c.Old.Runs, c.New.Runs) < enoughRuns:
		c.Regressed, c.Why = true, fmt.Sprintf("judged by the limit alone: fewer than %d runs", enoughRuns)
	case c.isWithinOld():
		c.Why = "within the spread of the old runs"
	default:
		c.Regressed = true
	}
}

// worse returns by which share of the old median the new one is worse. It is negative if it is better.
func (c *Change) worse() float64 {
	by := c.New.Median - c.Old.Median
	if isBetterHigh(c.Figure, c.Unit) {
		by = -by
	}
	switch {
	case c.Old.Median != 0:
		return by / math.Abs(c.Old.Median)
	case by > 0:
		return math.Inf(1)
	}
	return 0
}

func (c *Change) isWithinOld() bool {
	if isBetterHigh(c.Figure, c.Unit) {
		return c.New.Median >= c.Old.Min
	}
	return c.New.Median <= c.Old.Max
}

// Regressed returns whether any figure got worse by more than it may.
func (c *Comparison) Regressed() bool {
	return slices.ContainsFunc(c.Changes, func(change Change) bool { return change.Regressed })
}

// Summary says in a line what follows from the comparison.
func (c *Comparison) Summary() string {
	var limits int
	var worse []string
	for _, change := range c.Changes {
		if change.Limit != nil {
			limits++
		}
		if change.Regressed {
			worse = append(worse, change.text())
		}
	}
	switch {
	case len(worse) > 0:
		return "FAIL: regressed: " + strings.Join(worse, "; ")
	case limits == 0:
		return "No limit was given, so nothing is judged."
	case limits == 1:
		return "PASS: the limit holds."
	}
	return fmt.Sprintf("PASS: %d of %d limits hold.", limits, limits)
}

// text says what became of the figure.
func (c *Change) text() string {
	if c.New.Runs == 0 {
		return plain(c.Figure) + " (" + c.Why + ")"
	}
	return fmt.Sprintf("%s from %s to %s (%s)", plain(c.Figure), quantityText(c.Old.Median, c.Unit), quantityText(c.New.Median, c.Unit),
		phrases(", ", c.relativeText(), "limit "+shareText(*c.Limit)))
}

func (c *Change) relativeText() string {
	if c.Relative == nil {
		return ""
	}
	return fmt.Sprintf("%+.1f %%", 100**c.Relative)
}

// WriteTable writes the comparison for people.
func (c *Comparison) WriteTable(w io.Writer) error {
	lines := append([]string{"old: " + plain(c.Old), "new: " + plain(c.New), ""}, tabulated(c.writeRows)...)
	if len(c.Warnings) > 0 {
		lines = append(lines, "")
	}
	for _, warning := range c.Warnings {
		lines = append(lines, "Warning: "+plain(warning))
	}
	_, err := io.WriteString(w, strings.Join(append(lines, "", c.Summary(), ""), "\n"))
	return err
}

func (c *Comparison) writeRows(w io.Writer) {
	fmt.Fprintln(w, "FIGURE\tOLD\tSPREAD\tNEW\tSPREAD\tCHANGE\tLIMIT\t")
	for _, change := range c.Changes {
		after, spread, limit := "-", "", ""
		if change.New.Runs > 0 {
			after, spread = quantityText(change.New.Median, change.Unit), spreadText(change.New, change.Unit)
		}
		if change.Limit != nil {
			limit = shareText(*change.Limit)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", plain(change.Figure), quantityText(change.Old.Median, change.Unit),
			spreadText(change.Old, change.Unit), after, spread, change.relativeText(), limit, change.verdict())
	}
}

// verdict says how a figure with a limit was judged.
func (c *Change) verdict() string {
	verdict := ""
	switch {
	case c.Regressed:
		verdict = "REGRESSED"
	case c.Limit != nil:
		verdict = "fine"
	}
	return phrases(": ", verdict, c.Why)
}

// WriteJSON writes the comparison for programs.
func (c *Comparison) WriteJSON(w io.Writer) error {
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the comparison as JSON: %w", err)
	}
	_, err = w.Write(append(text, '\n'))
	return err
}
