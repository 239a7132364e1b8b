package bench

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
)

var (
	//go:embed page.html
	pageText string
	//go:embed page.css
	pageCSS string

	pageTemplate = template.Must(template.New("page").Parse(pageText))
)

// WriteHTML writes a report as one page that needs nothing else, neither a network nor a script: what was asked for, what it came to, and
// pictures of it, each beside a table of the same. What comes from others, as the server's name, is text there and nothing more.
func WriteHTML(w io.Writer, r *Report) error {
	var text bytes.Buffer
	if err := pageTemplate.Execute(&text, newPage(r)); err != nil {
		return fmt.Errorf("writing the report as a page: %w", err)
	}
	_, err := w.Write(text.Bytes())
	return err
}

// page is what the template shows.
type page struct {
	CSS             template.CSS
	Schema          string
	Title, Subtitle string
	Began           string
	Passed          bool
	Outcome         string // empty if nothing was required
	Tiles           []tile
	Notes           []string
	Verdicts        []verdictRow
	Frame           frame
	Percentiles     *plot // nil if no request was answered
	Moments         []plot
	Runs            []runRow
	Several         bool
	Series          []seriesTable
	Figures         []figureRow
	Errors          [][2]string
	Settings        [][2]string
	Environment     [][2]string
	Closed          bool
}

// verdictRow is what became of a threshold.
type verdictRow struct {
	Met                  bool
	Threshold, Got, Word string
}

// frame is the part of a picture within the axes.
type frame struct{ Width, Height, Left, Right, Top, Bottom float64 }

// tile is a figure that is seen first.
type tile struct{ Label, Value, Note string }

type figureRow struct{ Label, Median, Min, Max, Spread string }

// runRow is the latency of a run.
type runRow struct {
	Name, Style string
	Cells       []string
}

// seriesTable is how a run went.
type seriesTable struct {
	Name, Caption string
	Rows          [][5]string
}

func newPage(r *Report) page {
	p := page{
		CSS: template.CSS(pageCSS), Schema: r.Schema, Title: plain(r.Settings.Scenario), Subtitle: r.Settings.load() + ", " + r.Settings.length(),
		Began: began(r), Tiles: r.tiles(), Notes: r.notes(), Frame: frame{plotWidth, plotHeight, plotLeft, plotRight, plotTop, plotBottom},
		Runs: r.runRows(), Several: len(r.Runs) > 1, Series: r.seriesTables(), Figures: r.figureRows(), Settings: r.Settings.rows(),
		Environment: r.Environment.rows(), Closed: r.Settings.Loop == "closed", Verdicts: r.verdictRows(),
	}
	if len(r.Verdicts) > 0 {
		p.Outcome, p.Passed = r.verdictSummary(), r.missed() == 0
	}
	if chart := r.percentileChart(); len(chart.Lines) > 0 {
		p.Percentiles = &chart
	}
	if len(p.Series) > 0 {
		p.Moments = r.momentCharts()
	}
	by := r.errorsBy()
	for _, kind := range errorKinds(by) {
		p.Errors = append(p.Errors, [2]string{plain(kind), numberText(float64(by[kind]))})
	}
	return p
}

// headlines are the figures that are seen first, if they were measured.
var headlines = []string{"rate", "units", "p50", "p99", "p99.9", "errors", "cpu"}

func (r *Report) tiles() []tile {
	var all []tile
	shown := r.shownFigures()
	for _, name := range headlines {
		for _, f := range shown {
			if f.name == name {
				all = append(all, tile{f.label, quantityText(f.spread.Median, f.unit), r.tileNote(f)})
			}
		}
	}
	return all
}

// tileNote says how far the runs are from each other.
func (r *Report) tileNote(f shownFigure) string {
	switch {
	case len(r.Runs) < 2:
		return ""
	case f.unit == unitRequests:
		return fmt.Sprintf("%s to %s", numberText(f.spread.Min), numberText(f.spread.Max))
	}
	return spreadText(f.spread, f.unit)
}

func (r *Report) figureRows() []figureRow {
	var rows []figureRow
	for _, f := range r.shownFigures() {
		rows = append(rows, figureRow{
			f.label, quantityText(f.spread.Median, f.unit), quantityText(f.spread.Min, f.unit), quantityText(f.spread.Max, f.unit), spreadText(f.spread, f.unit),
		})
	}
	return rows
}

// runRows are the latencies of the runs, with a dash where no request was answered.
func (r *Report) runRows() []runRow {
	var rows []runRow
	for n, run := range r.Runs {
		row := runRow{Name: runName(n), Style: lineStyle(n)}
		for _, name := range []string{"p50", "p90", "p99", "p99.9", "p99.99", "max", "mean"} {
			cell := "-"
			if value, unit, found := run.measured(name); found {
				cell = quantityText(value, unit)
			}
			row.Cells = append(row.Cells, cell)
		}
		rows = append(rows, row)
	}
	return rows
}

// mostSeriesRows are what a person still reads.
const mostSeriesRows = 60

func (r *Report) seriesTables() []seriesTable {
	var tables []seriesTable
	for n, run := range r.Runs {
		if len(run.Series) == 0 {
			continue
		}
		moments := thinned(run.Series, mostSeriesRows)
		t := seriesTable{Name: runName(n)}
		if len(moments) < len(run.Series) {
			t.Caption = fmt.Sprintf("%d moments, several in a row: mean rate and p50, worst p99, all errors", len(run.Series))
		}
		for _, m := range moments {
			t.Rows = append(t.Rows, [5]string{numberText(m.At) + " s", quantityText(m.Rate, "/s"), timeText(m.P50), timeText(m.P99), numberText(float64(m.Errors))})
		}
		tables = append(tables, t)
	}
	return tables
}

func (r *Report) verdictRows() []verdictRow {
	var rows []verdictRow
	for _, v := range r.Verdicts {
		rows = append(rows, verdictRow{v.Met, plain(v.Threshold), v.got(), v.word()})
	}
	return rows
}

func (s Settings) rows() [][2]string {
	return filled([][2]string{
		{"scenario", s.Scenario}, {"load", s.load()}, {"duration", s.length()}, {"target", s.Target}, {"transport", s.Transport}, {"data set", s.data()},
	})
}

func (e Environment) rows() [][2]string {
	return filled([][2]string{
		{"consentd", phrases(" ", e.Version, parenthesized(e.Commit))}, {"toolchain", e.Toolchain}, {"kernel", e.Kernel},
		{"processor", phrases(", ", e.Processor, e.processors())}, {"memory", e.memory()}, {"load before", e.Load}, {"limits", e.Limits},
		{"place", e.sharing()}, {"server", e.ServerInfo},
	})
}

// filled returns the rows that say something.
func filled(rows [][2]string) [][2]string {
	var all [][2]string
	for _, row := range rows {
		if row[1] = phrases("", row[1]); row[1] != "" {
			all = append(all, row)
		}
	}
	return all
}

// picture is what the template draws a plot from.
type picture struct {
	Frame frame
	Plot  plot
}

// Picture is for the template.
func (p page) Picture(drawn any) (picture, error) {
	switch drawn := drawn.(type) {
	case plot:
		return picture{p.Frame, drawn}, nil
	case *plot:
		return picture{p.Frame, *drawn}, nil
	}
	return picture{}, fmt.Errorf("%T is no plot", drawn)
}
