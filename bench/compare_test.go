package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// withP99 returns a report with a run for each p99.
func withP99(values ...float64) *Report {
	r := sampleReport(len(values))
	for n, value := range values {
		r.Runs[n].Latency.P99 = value
	}
	return r
}

func TestCompareJudges(t *testing.T) {
	rates := func(values ...float64) *Report {
		r := sampleReport(len(values))
		for n, value := range values {
			r.Runs[n].Rate = value
		}
		return r
	}
	failing := withP99(100, 100, 100)
	failing.Runs[0].Rate = 0
	tests := []struct {
		name      string
		old, new  *Report
		limits    string
		regressed bool
		summary   string
	}{
		{"the same", withP99(100, 100, 100), withP99(100, 100, 100), "p99=5%", false, "PASS: the limit holds."},
		{"worse, within the limit", withP99(100, 100, 100), withP99(105, 105, 105), "p99=5%", false, "PASS"},
		{"worse, outside the spread", withP99(99, 100, 101), withP99(106, 107, 108), "p99=5%", true,
			"FAIL: regressed: p99 from 100 µs to 107 µs (+7.0 %, limit 5 %)"},
		{"worse, within the old spread", withP99(90, 100, 120), withP99(106, 107, 108), "p99=5%", false, "PASS"},
		{"worse, too few old runs to know a spread", withP99(90, 120), withP99(118, 118, 118), "p99=5%", true, "FAIL"},
		{"worse, too few new runs to know a spread", withP99(90, 100, 120), withP99(118, 118), "p99=5%", true, "FAIL"},
		{"better", withP99(100, 100, 100), withP99(10, 10, 10), "p99=0%", false, "PASS"},
		{"lower rate", rates(100, 101, 102), rates(90, 91, 92), "rate=3%", true, "FAIL: regressed: rate from 101/s to 91/s (-9.9 %, limit 3 %)"},
		{"lower rate, within the old spread", rates(80, 101, 102), rates(90, 91, 92), "rate=3%", false, "PASS"},
		{"higher rate", rates(100, 101, 102), rates(200, 200, 200), "rate=3%", false, "PASS"},
		{"errors where there were none", sampleReport(1), withErrors(1), "errors=1000%", true, "FAIL: regressed: errors from 0 to 7 (limit 1,000 %)"},
		{"no limit", withP99(100), withP99(1000), "", false, "No limit was given"},
		{"two limits", withP99(100), withP99(100), "p99=5%,rate=3%", false, "PASS: 2 of 2 limits hold."},
		{"no longer measured", withP99(100, 100, 100), failing, "p99=5%", true, "FAIL: regressed: p99 (the new runs didn't measure it)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			limits, err := ParseRegress(test.limits)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Compare(test.old, test.new, limits)
			if err != nil {
				t.Fatal(err)
			}
			if got.Regressed() != test.regressed || !strings.HasPrefix(got.Summary(), test.summary) {
				t.Errorf("got %v, %q, want %v, %q", got.Regressed(), got.Summary(), test.regressed, test.summary)
			}
		})
	}
}

func withErrors(runs int) *Report {
	r := sampleReport(runs)
	for n := range r.Runs {
		r.Runs[n].Errors = 7
	}
	return r
}

func TestCompareRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Report)
		want   string
	}{
		{"another scenario", func(r *Report) { r.Settings.Scenario = "write" }, "scenario (check, then write)"},
		{"another loop", func(r *Report) { r.Settings.Loop = "closed" }, "loop (open, then closed)"},
		{"another rate", func(r *Report) { r.Settings.Rate = 20_000 }, "rate (10000, then 20000)"},
		{"other arrivals", func(r *Report) { r.Settings.Arrivals = "poisson" }, "arrivals"},
		{"more subjects", func(r *Report) { r.Settings.Subjects = 7 }, "subjects"},
		{"skewed", func(r *Report) { r.Settings.Skew = 0.99 }, "skew"},
		{"all allowed", func(r *Report) { r.Settings.Allowed = 1 }, "share of those allowed"},
		{"two at once", func(r *Report) { r.Settings.Allowed, r.Settings.Rate = 1, 1 }, "rate (10000, then 1), share of those allowed (0.5, then 1)"},
		{"no run", func(r *Report) { r.Runs = nil }, "no run"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			other := sampleReport(1)
			test.change(other)
			got, err := Compare(sampleReport(1), other, nil)
			if !errors.Is(err, ErrIncomparable) || got != nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, %v, want ErrIncomparable with %q", got, err, test.want)
			}
		})
	}
	if _, err := Compare(sampleReport(1), sampleReport(1), []Regress{{"first-write", 0.05}}); !errors.Is(err, ErrIncomparable) {
		t.Errorf("a limit of what the old report didn't measure: %v", err)
	}
	closed, busier := sampleReport(1), sampleReport(1)
	closed.Settings.Loop, busier.Settings.Loop, busier.Settings.Callers = "closed", "closed", 64
	if _, err := Compare(closed, busier, nil); !errors.Is(err, ErrIncomparable) || !strings.Contains(err.Error(), "callers (256, then 64)") {
		t.Errorf("another number of callers: %v", err)
	}
}

func TestCompareWarns(t *testing.T) {
	other := sampleReport(2)
	other.Environment.Processor, other.Environment.SameHost, other.Settings.Seed = "Another 1", false, 8
	other.Interrupted, other.Runs[1].Wrong, other.Settings.Callers = true, 1, 64
	got, err := Compare(sampleReport(2), other, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"another processor (Example 9000 @ 3.00GHz, then Another 1)",
		"another place of the generator: beside the server (true, then false)",
		"another seed (7, then 8)",
		"another limit of requests on their way (256, then 64)",
		"the new report was interrupted",
		"run 2 of the new report has wrong answers: its figures are worth nothing",
	}
	if diff := cmp.Diff(want, got.Warnings); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestComparisonIsWritten(t *testing.T) {
	slower := withP99(300, 301, 302)
	slower.Environment.Kernel, slower.Runs[2].Server = "Linux 6.12.0", nil
	for n := range slower.Runs {
		slower.Runs[n].Latency.P50 = 88
	}
	limits, err := ParseRegress("p99=5%, p50=1%,rate=3%,cpu=10%")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Compare(sampleReport(3), slower, limits)
	if err != nil {
		t.Fatal(err)
	}
	var table, text bytes.Buffer
	if err := c.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "comparison.table", table.String())
	if err := c.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	var got Comparison
	if err := json.Unmarshal(text.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c, &got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestParseRegress(t *testing.T) {
	got, err := ParseRegress("p99=5%, rate = 2.5%,last-allow=0%")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Regress{{"p99", 0.05}, {"rate", 0.025}, {"last-allow", 0}}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for list, want := range map[string]string{
		"p99":           `"p99" isn't a limit: say FIGURE=PERCENT%, as in p99=5%`,
		"p99=5":         "say FIGURE=PERCENT%",
		"p99<5%":        "say FIGURE=PERCENT%",
		"p99=5%,":       "say FIGURE=PERCENT%",
		"p98=5%":        `"p98" isn't a figure`,
		"p99=-5%":       "isn't a percentage",
		"p99=NaN%":      "isn't a percentage",
		"p99=5%,p99=6%": "limits p99 twice",
	} {
		if got, err := ParseRegress(list); err == nil || got != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, %v, want an error with %q", list, got, err, want)
		}
	}
}

func FuzzParseRegress(f *testing.F) {
	for _, list := range []string{"p99=5%,rate=3%", "last-allow = 1e3%", "p99=%", ","} {
		f.Add(list)
	}
	f.Fuzz(func(t *testing.T, list string) {
		limits, err := ParseRegress(list)
		if err != nil {
			if limits != nil {
				t.Errorf("both an error and %v", limits)
			}
			return
		}
		for _, limit := range limits {
			if !(limit.Limit >= 0) || checkFigure(limit.Figure) != nil {
				t.Errorf("%q becomes %+v", list, limit)
			}
		}
	})
}
