package bench

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func htmlOf(t *testing.T, r *Report) string {
	t.Helper()
	var text bytes.Buffer
	if err := WriteHTML(&text, r); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestHTML(t *testing.T) {
	r := sampleReport(3)
	thresholds, err := ParseThresholds("p99<1ms,errors=0")
	if err != nil {
		t.Fatal(err)
	}
	r.Judge(thresholds)
	compareGolden(t, "three-runs.html", htmlOf(t, r))
}

// elements matches what a page loads from elsewhere, or runs.
var loading = regexp.MustCompile(`(?i)<script|<link|<img|<iframe|<object|src=|href=|url\(|@import|\son\w+=`)

func TestHTMLNeedsNothingElse(t *testing.T) {
	for _, runs := range []int{0, 1, 3, 15} {
		if found := loading.FindString(htmlOf(t, sampleReport(runs))); found != "" {
			t.Errorf("%d runs: the page has %s", runs, found)
		}
	}
}

// What comes from outside is text.
func TestHTMLEscapes(t *testing.T) {
	const bad = `"><script>alert(1)</script><!--</style></title></svg>{{.}}` + "`'\x00"
	r := sampleReport(2)
	r.Schema = bad
	r.Settings.Scenario, r.Settings.Target, r.Settings.Transport, r.Settings.Arrivals = bad, bad, bad, bad
	r.Environment = Environment{
		Version: bad, Commit: bad, Toolchain: bad, Kernel: bad, Processor: bad, Load: bad, Limits: bad, ServerInfo: bad, SameHost: true,
	}
	r.Verdicts = []Verdict{{Threshold: bad, Why: bad}}
	r.Runs[0].Unit, r.Runs[0].Notes, r.Runs[0].ErrorsBy = bad, []string{bad}, map[string]uint64{bad: 1}
	for n := range r.Runs {
		r.Runs[n].Extra = []Figure{{bad, 1, bad}}
		r.Runs[n].Units = 7
	}
	got := htmlOf(t, r)
	for _, never := range []string{"<script", "alert(1)</script", "<!--", "</title></svg>", "\x00"} {
		if strings.Contains(got, never) {
			t.Errorf("the page has %q", never)
		}
	}
	if n := strings.Count(got, "&lt;script&gt;"); n < 15 {
		t.Errorf("only %d of the texts are there", n)
	}
}

// Each picture is well-formed, says what it shows, and has no place that isn't one.
func TestPicturesAreSound(t *testing.T) {
	huge, empty, alone := sampleReport(1), sampleReport(1), sampleReport(1)
	huge.Runs[0].histogram, huge.Runs[0].Latency = nil, Latency{P50: 1e-300, P90: 1, P99: 1e300, P999: 1e308, P9999: 1e308}
	huge.Runs[0].Series = []Moment{{At: 1e308, Rate: 1e308, P50: 1e308, P99: 1e-308}, {At: -1, Rate: -1}}
	empty.Runs[0] = Result{Series: []Moment{{At: 1}, {At: 2}}}
	alone.Runs[0].Series = alone.Runs[0].Series[:1]
	for name, r := range map[string]*Report{"none": sampleReport(0), "three": sampleReport(3), "huge": huge, "empty": empty, "alone": alone} {
		got := htmlOf(t, r)
		if strings.Contains(got, "NaN") || strings.Contains(got, "Inf") {
			t.Errorf("%s: the page has what is no number", name)
		}
		for _, picture := range regexp.MustCompile(`(?s)<svg class="plot.*?</svg>`).FindAllString(got, -1) {
			if !strings.Contains(picture, "<title id=") || !strings.Contains(picture, "<desc id=") {
				t.Errorf("%s: a picture doesn't say what it shows", name)
			}
			if err := parseXML(picture); err != nil {
				t.Errorf("%s: %v in\n%s", name, err, picture)
			}
		}
	}
}

func TestScales(t *testing.T) {
	for _, test := range []struct {
		name     string
		got      scale
		from, to float64
		ticks    []float64
	}{
		{"round", linearScale("", 9_998, 7, numberText), 0, 10_000, []float64{0, 2_000, 4_000, 6_000, 8_000, 10_000}},
		{"nothing", linearScale("", 0, 4, numberText), 0, 1, []float64{0, 0.5, 1}},
		{"next to nothing", linearScale("", 5e-324, 4, numberText), 0, 1, []float64{0, 0.5, 1}},
		{"within a power of ten", logScale("", 81, 99, timeText), 80, 100, []float64{80, 100}},
		{"some powers of ten", logScale("", 70, 2_400, timeText), 50, 5_000, []float64{50, 100, 200, 500, 1_000, 2_000, 5_000}},
		{"one value", logScale("", 100, 100, timeText), 100, 120, []float64{100, 120}},
		{"many powers of ten", logScale("", 1, 1e9, timeText), 1, 1e9, []float64{1, 100, 1e4, 1e6, 1e8}},
	} {
		if diff := cmp.Diff(test.ticks, test.got.ticks, cmpopts.EquateApprox(1e-9, 0)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		if test.got.from != test.from || math.Abs(test.got.to-test.to) > 1e-6 || test.got.at(test.got.from, 10, 20) != 10 || test.got.at(test.got.to, 10, 20) != 20 {
			t.Errorf("%s: from %v to %v", test.name, test.got.from, test.got.to)
		}
	}
}

func parseXML(text string) error {
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func TestThinned(t *testing.T) {
	var series []Moment
	for n := range 1_000 {
		series = append(series, Moment{At: float64(n + 1), Rate: 10, P50: 5, P99: float64(n), Errors: 1})
	}
	got := thinned(series, 60)
	if len(got) > 60 || got[0] != (Moment{At: 17, Rate: 10, P50: 5, P99: 16, Errors: 17}) || got[len(got)-1].At != 1_000 {
		t.Errorf("got %d moments, from %+v to %+v", len(got), got[0], got[len(got)-1])
	}
	if got := thinned(series[:60], 60); len(got) != 60 {
		t.Errorf("got %d of 60 moments", len(got))
	}
}
