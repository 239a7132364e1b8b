package bench

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"time"
)

// csvRow is what a row is made of: a run, and its number from 1.
type csvRow struct {
	*Report
	number int
	run    Result
}

// csvColumns stay in their order; new ones come at the end.
var csvColumns = []struct {
	name string
	cell func(csvRow) string
}{
	{"began", func(r csvRow) string { return r.Began.UTC().Format(time.RFC3339) }},
	{"version", func(r csvRow) string { return cellText(r.Environment.Version) }},
	{"commit", func(r csvRow) string { return cellText(r.Environment.Commit) }},
	{"processor", func(r csvRow) string { return cellText(r.Environment.Processor) }},
	{"processors", func(r csvRow) string { return strconv.Itoa(r.Environment.Processors) }},
	{"scenario", func(r csvRow) string { return cellText(r.Settings.Scenario) }},
	{"target", func(r csvRow) string { return cellText(r.Settings.Target) }},
	{"transport", func(r csvRow) string { return cellText(r.Settings.Transport) }},
	{"loop", func(r csvRow) string { return cellText(r.Settings.Loop) }},
	{"arrivals", func(r csvRow) string { return cellText(r.Settings.Arrivals) }},
	{"callers", func(r csvRow) string { return strconv.Itoa(r.Settings.Callers) }},
	{"warmup_seconds", func(r csvRow) string { return cellNumber(r.Settings.Warmup) }},
	{"seed", func(r csvRow) string { return cellCount(r.Settings.Seed) }},
	{"subjects", func(r csvRow) string { return strconv.Itoa(r.Settings.Subjects) }},
	{"skew", func(r csvRow) string { return cellNumber(r.Settings.Skew) }},
	{"allowed", func(r csvRow) string { return cellNumber(r.Settings.Allowed) }},
	{"run", func(r csvRow) string { return strconv.Itoa(r.number) }},
	{"seconds", func(r csvRow) string { return cellNumber(r.run.Seconds) }},
	{"offered", func(r csvRow) string { return cellNumber(r.run.Offered) }},
	{"rate", func(r csvRow) string { return cellNumber(r.run.Rate) }},
	{"unit", func(r csvRow) string { return cellText(r.run.Unit) }},
	{"units", func(r csvRow) string { return cellNumber(r.run.Units) }},
	{"requests", func(r csvRow) string { return cellCount(r.run.Requests) }},
	{"late", func(r csvRow) string { return cellCount(r.run.Late) }},
	{"dropped", func(r csvRow) string { return cellCount(r.run.Dropped) }},
	{"errors", func(r csvRow) string { return cellCount(r.run.Errors) }},
	{"wrong", func(r csvRow) string { return cellCount(r.run.Wrong) }},
	{"checked", func(r csvRow) string { return cellCount(r.run.Checked) }},
	{"mean_us", func(r csvRow) string { return r.figure("mean") }},
	{"p50_us", func(r csvRow) string { return r.figure("p50") }},
	{"p90_us", func(r csvRow) string { return r.figure("p90") }},
	{"p99_us", func(r csvRow) string { return r.figure("p99") }},
	{"p999_us", func(r csvRow) string { return r.figure("p99.9") }},
	{"p9999_us", func(r csvRow) string { return r.figure("p99.99") }},
	{"max_us", func(r csvRow) string { return r.figure("max") }},
	{"server_cpu_us_per_unit", func(r csvRow) string { return r.figure("cpu") }},
	{"generator_cpu_us_per_unit", func(r csvRow) string { return r.figure("generator-cpu") }},
	{"extra", func(r csvRow) string { return cellText(extraText(r.run.Extra)) }},
	{"notes", func(r csvRow) string { return cellText(strings.Join(r.run.Notes, "; ")) }},
}

// writeCSV writes a row for each run. What a run didn't measure is empty.
func writeCSV(w io.Writer, r *Report) error {
	out := csv.NewWriter(w)
	var header []string
	for _, column := range csvColumns {
		header = append(header, column.name)
	}
	_ = out.Write(header) // Error returns what Write does
	for n, run := range r.Runs {
		var row []string
		for _, column := range csvColumns {
			row = append(row, column.cell(csvRow{r, n + 1, run}))
		}
		_ = out.Write(row)
	}
	out.Flush()
	return out.Error()
}

func (r csvRow) figure(name string) string {
	value, _, found := r.run.measured(name)
	if !found {
		return ""
	}
	return cellNumber(value)
}

func cellNumber(value float64) string { return strconv.FormatFloat(value, 'f', -1, 64) }
func cellCount(n uint64) string       { return strconv.FormatUint(n, 10) }

// formulaStarts make a spreadsheet compute a cell in place of showing it (OWASP, CSV Injection); the wide ones do in some languages.
const formulaStarts = "=+-@＝＋－＠"

// cellText keeps a text of others from being run as a formula: an apostrophe before it says that it is text.
func cellText(text string) string {
	text = plain(text)
	if strings.IndexAny(strings.TrimSpace(text), formulaStarts) == 0 {
		return "'" + text
	}
	return text
}

func extraText(figures []Figure) string {
	var all []string
	for _, f := range figures {
		all = append(all, strings.TrimSpace(f.Name+"="+cellNumber(f.Value)+" "+f.Unit))
	}
	return strings.Join(all, "; ")
}
