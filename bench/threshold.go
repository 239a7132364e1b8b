package bench

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Threshold is what a figure is required to be.
type Threshold struct {
	Figure  string
	Compare string  // "<", "<=", ">", ">=" or "="
	Value   float64 // microseconds if Unit is "µs"
	Unit    string  // "µs"; "%" of the requests, and for wrong answers of those compared; or nothing

	text string
}

// String returns the threshold as it was written.
func (t Threshold) String() string { return t.text }

// A name, a comparator and a value. Longer comparators come first.
var thresholdForm = regexp.MustCompile(`^([a-z][a-z0-9.-]*)\s*(<=|>=|<|>|=)\s*(\S+)$`)

// ParseThresholds reads a list such as "p99<1ms,errors=0,late<1%,last-allow<20ms". A figure is one of Figures, or one that only some scenarios
// have, whose name has a dash. Times have a unit, as 1ms or 200us; counts of requests are a number or a percentage of the requests; rates are a
// number a second. Nothing, or blanks, is a list without thresholds. The error says what was wrong, and what may be said instead.
func ParseThresholds(list string) ([]Threshold, error) {
	return parseList(list, parseThreshold)
}

// parseList reads what commas separate.
func parseList[T any](list string, parse func(string) (T, error)) ([]T, error) {
	if strings.TrimSpace(list) == "" {
		return nil, nil
	}
	var all []T
	for part := range strings.SplitSeq(list, ",") {
		one, err := parse(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

func parseThreshold(text string) (Threshold, error) {
	parts := thresholdForm.FindStringSubmatch(text)
	if parts == nil {
		return Threshold{}, fmt.Errorf("%q isn't a threshold: say FIGURE, one of < <= > >= =, and a value, as in p99<1ms or errors=0", text)
	}
	t := Threshold{Figure: parts[1], Compare: parts[2], text: text}
	err := checkFigure(t.Figure)
	if err == nil {
		t.Value, t.Unit, err = parseValue(parts[3], accepted(t.Figure))
	}
	if err != nil {
		return Threshold{}, fmt.Errorf("threshold %q: %w", text, err)
	}
	return t, nil
}

// checkFigure finds misspelt names before anything is measured.
func checkFigure(name string) error {
	if _, found := figureNamed(name); found || strings.Contains(name, "-") {
		return nil
	}
	return fmt.Errorf("%q isn't a figure: say one of %s, or one of the scenario's own such as last-allow", name, strings.Join(Figures(), " "))
}

// valueKinds are the ways to say a value.
type valueKinds struct{ time, number, percent bool }

func accepted(figure string) valueKinds {
	f, found := figureNamed(figure)
	switch {
	case !found:
		return valueKinds{time: true, number: true, percent: true}
	case f.unit == unitMicros:
		return valueKinds{time: true}
	case f.unit == unitRequests:
		return valueKinds{number: true, percent: true}
	}
	return valueKinds{number: true}
}

func (k valueKinds) String() string {
	var ways []string
	if k.time {
		ways = append(ways, "a time with its unit, as 1ms or 200us")
	}
	if k.number {
		ways = append(ways, "a number, as 0 or 9900 or 1e6")
	}
	if k.percent {
		ways = append(ways, "a percentage, as 1%")
	}
	return strings.Join(ways, ", or ")
}

// parseValue reads a value in one of the ways, and returns it with its unit: times in microseconds.
func parseValue(text string, kinds valueKinds) (value float64, unit string, err error) {
	unsaid := fmt.Errorf("%q isn't a value for it: say %s", text, kinds)
	if kinds.number {
		if value, err := parseNumber(text); err == nil {
			return value, "", nil
		}
	}
	if digits, found := strings.CutSuffix(text, "%"); kinds.percent && found {
		if value, err := parseNumber(digits); err == nil {
			return value, unitPercent, nil
		}
	}
	if took, err := time.ParseDuration(text); kinds.time && err == nil && took >= 0 && text != "0" {
		return float64(took) / float64(time.Microsecond), unitMicros, nil
	}
	return 0, "", unsaid
}

var errNoNumber = errors.New("neither finite nor at least 0")

// parseNumber reads a finite number that isn't negative.
func parseNumber(text string) (float64, error) {
	value, err := strconv.ParseFloat(text, 64)
	if err == nil && (math.IsNaN(value) || math.IsInf(value, 0) || value < 0) {
		err = errNoNumber
	}
	return value, err
}

// Judge fills the report's verdicts, one for each threshold in their order, in place of those it had, and returns whether all are met. A
// figure is judged by the median of the runs, a count of requests by the worst of them. A figure that a run didn't measure isn't met.
func (r *Report) Judge(thresholds []Threshold) bool {
	r.Verdicts = nil
	all := true
	for _, t := range thresholds {
		v := t.judge(r)
		r.Verdicts = append(r.Verdicts, v)
		all = all && v.Met
	}
	return all
}

func (t Threshold) judge(r *Report) Verdict {
	v := Verdict{Threshold: t.String()}
	var values []float64
	for _, run := range r.Runs {
		value, err := t.of(run)
		if err != nil {
			v.Why = err.Error()
			return v
		}
		values = append(values, value)
	}
	if len(values) == 0 {
		v.Why = "no run was finished"
		return v
	}
	v.Got = t.telling(values)
	v.Met = t.holds(v.Got)
	return v
}

// of returns the figure of a run in the threshold's unit.
func (t Threshold) of(run Result) (float64, error) {
	value, unit, found := run.measured(t.Figure)
	switch {
	case !found:
		return 0, errors.New("it wasn't measured")
	case t.Unit == unitPercent && unit == unitRequests && t.isOfRequests():
		return 100 * value / float64(run.whole(t.Figure)), nil
	case t.Unit == unit, t.Unit == "" && unit != unitMicros:
		return value, nil
	}
	return 0, fmt.Errorf("it was measured in %s: say the threshold so", quoteUnit(unit))
}

func (t Threshold) isOfRequests() bool {
	f, found := figureNamed(t.Figure)
	return found && f.unit == unitRequests
}

// whole returns how many a count is a share of.
func (r Result) whole(figure string) uint64 {
	if figure == "wrong" {
		return max(1, r.Checked)
	}
	return max(1, r.Requests)
}

func quoteUnit(unit string) string {
	if unit == "" {
		return "plain numbers"
	}
	return unit
}

// telling returns the value that a threshold is judged by.
func (t Threshold) telling(values []float64) float64 {
	switch {
	case !t.isOfRequests():
		return spreadOf(values).Median
	case strings.HasPrefix(t.Compare, "<"):
		return slices.Max(values)
	case strings.HasPrefix(t.Compare, ">"):
		return slices.Min(values)
	}
	return slices.MaxFunc(values, func(a, b float64) int {
		if math.Abs(a-t.Value) < math.Abs(b-t.Value) {
			return -1
		}
		return 1
	})
}

func (t Threshold) holds(got float64) bool {
	switch t.Compare {
	case "<":
		return got < t.Value
	case "<=":
		return got <= t.Value
	case ">":
		return got > t.Value
	case ">=":
		return got >= t.Value
	}
	return got == t.Value
}
