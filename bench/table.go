package bench

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// WriteTable writes a report for people: what was asked for, where, what it came to, and what follows from it. Several runs are shown by their
// median, with the smallest and the largest.
func WriteTable(w io.Writer, r *Report) error {
	var all strings.Builder
	for _, part := range [][]string{r.settingLines(), r.environmentLines(), r.figureLines(), r.errorLines(), r.noteLines(), r.verdictLines()} {
		if len(part) > 0 && all.Len() > 0 {
			all.WriteByte('\n')
		}
		for _, line := range part {
			all.WriteString(line)
			all.WriteByte('\n')
		}
	}
	_, err := io.WriteString(w, all.String())
	return err
}

func (r *Report) settingLines() []string {
	s := r.Settings
	return []string{
		phrases(", ", s.Scenario+": "+s.load(), s.length()),
		phrases(", ", "of "+s.Target+" ("+s.Transport+")", s.data()),
	}
}

// load says how requests are made.
func (s Settings) load() string {
	if s.Loop == "closed" {
		return fmt.Sprintf("a closed loop of %s callers", numberText(float64(s.Callers)))
	}
	load := fmt.Sprintf("an open loop of %s requests/s", numberText(s.Rate))
	return phrases(" ", load, parenthesized(phrases(", ", s.Arrivals, fmt.Sprintf("at most %d on their way", s.Callers))))
}

func parenthesized(text string) string {
	if text == "" {
		return ""
	}
	return "(" + text + ")"
}

func (s Settings) length() string {
	length := secondsText(s.Seconds)
	if s.Warmup > 0 {
		length += " after a warm-up of " + secondsText(s.Warmup)
	}
	if s.Repeats > 1 {
		length += fmt.Sprintf(", %d times", s.Repeats)
	}
	return length
}

func (s Settings) data() string {
	drawn := "drawn evenly"
	if s.Skew > 0 {
		drawn = "drawn by Zipf's law with " + numberText(s.Skew)
	}
	return fmt.Sprintf("%s subjects %s, %s of them allowed, seed %d", numberText(float64(s.Subjects)), drawn, shareText(s.Allowed), s.Seed)
}

func (r *Report) environmentLines() []string {
	e := r.Environment
	lines := []string{
		phrases(", ", "consentd "+phrases(" ", e.Version, parenthesized(e.Commit)), e.Toolchain, began(r)),
		phrases(", ", e.Processor, e.processors(), e.memory(), e.Kernel),
		phrases("; ", named("load before", e.Load), named("limits", e.Limits), e.sharing()),
		named("server", plain(e.ServerInfo)),
	}
	return slices.DeleteFunc(lines, func(line string) bool { return line == "" })
}

func began(r *Report) string {
	if r.Began.IsZero() {
		return ""
	}
	return r.Began.UTC().Format("2006-01-02 15:04:05 MST")
}

func named(name, text string) string {
	if text == "" {
		return ""
	}
	return name + ": " + text
}

func (e Environment) processors() string {
	switch e.Processors {
	case 0:
		return ""
	case 1:
		return "1 processor"
	}
	return fmt.Sprintf("%d processors", e.Processors)
}

func (e Environment) memory() string {
	if e.MemoryGiB == 0 {
		return ""
	}
	return numberText(e.MemoryGiB) + " GiB"
}

func (e Environment) sharing() string {
	if e.SameHost {
		return "server and generator share the processors"
	}
	return ""
}

// shownFigure is a row of the figures that people read.
type shownFigure struct {
	name, label, unit string
	spread            Spread
}

// shownFigures are those that all runs measured, in the order in which they are read.
func (r *Report) shownFigures() []shownFigure {
	var rows []shownFigure
	add := func(name, label string) {
		if s, unit, found := r.Spread(name); found {
			rows = append(rows, shownFigure{name, label, unit, s})
		}
	}
	for _, f := range knownFigures {
		if label := r.label(f); label != "" {
			add(f.name, label)
		}
	}
	for _, name := range r.extraNames() {
		add(name, plain(name))
	}
	return rows
}

// label names a figure for people. It is empty if there is nothing to say that another figure doesn't.
func (r *Report) label(f knownFigure) string {
	unit := r.unit()
	switch one := strings.TrimSuffix(unit, "s"); {
	case f.name == "units" && (unit == "" || !slices.ContainsFunc(r.Runs, func(run Result) bool { return run.Units != run.Rate })):
		return ""
	case f.name == "units":
		return unit
	case one != "" && strings.HasSuffix(f.name, "cpu"):
		return f.label + " for a " + one
	}
	return f.label
}

// unit is what the report's requests are made of.
func (r *Report) unit() string {
	if len(r.Runs) == 0 {
		return ""
	}
	return plain(r.Runs[0].Unit)
}

func (r *Report) figureLines() []string {
	rows := r.shownFigures()
	if len(rows) == 0 {
		return []string{"No run was finished: there is nothing to show."}
	}
	return tabulated(func(w io.Writer) {
		if len(r.Runs) > 1 {
			fmt.Fprintf(w, "FIGURE\tMEDIAN\tMIN\tMAX\tSPREAD\n")
		}
		for _, row := range rows {
			fmt.Fprintf(w, "%s\t%s", row.label, quantityText(row.spread.Median, row.unit))
			if len(r.Runs) > 1 {
				fmt.Fprintf(w, "\t%s\t%s\t%s", quantityText(row.spread.Min, row.unit), quantityText(row.spread.Max, row.unit), spreadText(row.spread, row.unit))
			}
			fmt.Fprintln(w)
		}
	})
}

// tabulated returns the lines of a table whose cells are separated by tabs.
func tabulated(write func(io.Writer)) []string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	write(w)
	_ = w.Flush() // into memory
	lines := strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
	for n := range lines {
		lines[n] = strings.TrimRight(lines[n], " ")
	}
	return lines
}

// errorsBy are the errors of all runs, by kind.
func (r *Report) errorsBy() map[string]uint64 {
	all := map[string]uint64{}
	for _, run := range r.Runs {
		for kind, n := range run.ErrorsBy {
			all[kind] += n
		}
	}
	return all
}

// errorKinds returns the kinds of errors, the most frequent first.
func errorKinds(by map[string]uint64) []string {
	return slices.SortedFunc(maps.Keys(by), func(a, b string) int {
		switch {
		case by[a] > by[b]:
			return -1
		case by[a] < by[b]:
			return 1
		}
		return strings.Compare(a, b)
	})
}

func (r *Report) errorLines() []string {
	by := r.errorsBy()
	if len(by) == 0 {
		return nil
	}
	return append([]string{"Errors of all runs:"}, tabulated(func(w io.Writer) {
		for _, kind := range errorKinds(by) {
			fmt.Fprintf(w, "  %s\t%s\n", plain(kind), numberText(float64(by[kind])))
		}
	})...)
}

// notes returns each note once, with the runs that it is of unless it is of all.
func (r *Report) notes() []string {
	var order []string
	runs := map[string][]string{}
	for n, run := range r.Runs {
		for _, note := range run.Notes {
			if runs[note] == nil {
				order = append(order, note)
			}
			runs[note] = append(runs[note], strconv.Itoa(n+1))
		}
	}
	var all []string
	if r.Interrupted {
		all = append(all, fmt.Sprintf("It was interrupted: %d of %d runs are here, the last may be short.", len(r.Runs), max(r.Settings.Repeats, len(r.Runs))))
	}
	for _, note := range order {
		of := ""
		if len(runs[note]) < len(r.Runs) {
			of = " (" + plural("run", len(runs[note])) + " " + strings.Join(runs[note], ", ") + ")"
		}
		all = append(all, plain(note)+of)
	}
	return all
}

func (r *Report) noteLines() []string {
	var lines []string
	for _, note := range r.notes() {
		lines = append(lines, "Note: "+note)
	}
	return lines
}

func (r *Report) verdictLines() []string {
	if len(r.Verdicts) == 0 {
		return nil
	}
	return append(tabulated(func(w io.Writer) {
		for _, v := range r.Verdicts {
			fmt.Fprintf(w, "%s\t%s\t%s\n", v.word(), plain(v.Threshold), v.got())
		}
	}), r.verdictSummary())
}

// word says whether a threshold is met.
func (v Verdict) word() string {
	if v.Met {
		return "met"
	}
	return "NOT MET"
}

// got says what the threshold was held against.
func (v Verdict) got() string {
	if v.Why != "" {
		return plain(v.Why)
	}
	unit := ""
	if t, err := parseThreshold(v.Threshold); err == nil {
		unit = t.Unit
	}
	return quantityText(v.Got, unit)
}

// missed returns how many thresholds aren't met.
func (r *Report) missed() int {
	missed := 0
	for _, v := range r.Verdicts {
		if !v.Met {
			missed++
		}
	}
	return missed
}

func (r *Report) verdictSummary() string {
	switch all, missed := len(r.Verdicts), r.missed(); {
	case missed == 0 && all == 1:
		return "PASS: the threshold is met."
	case missed == 0:
		return fmt.Sprintf("PASS: %d of %d thresholds are met.", all, all)
	case all == 1:
		return "FAIL: the threshold isn't met."
	default:
		return fmt.Sprintf("FAIL: %d of %d thresholds aren't met.", missed, all)
	}
}
