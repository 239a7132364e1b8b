package bench

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParseThresholds(t *testing.T) {
	tests := []struct {
		list string
		want []Threshold
	}{
		{"", nil},
		{"  ", nil},
		{"p99<1ms", []Threshold{{Figure: "p99", Compare: "<", Value: 1000, Unit: "µs"}}},
		{"p50<=200us", []Threshold{{Figure: "p50", Compare: "<=", Value: 200, Unit: "µs"}}},
		{"p99.99 < 1m30s", []Threshold{{Figure: "p99.99", Compare: "<", Value: 90e6, Unit: "µs"}}},
		{"errors=0, rate>=9900", []Threshold{{Figure: "errors", Compare: "="}, {Figure: "rate", Compare: ">=", Value: 9900}}},
		{"late<1%", []Threshold{{Figure: "late", Compare: "<", Value: 1, Unit: "%"}}},
		{"units>1e6", []Threshold{{Figure: "units", Compare: ">", Value: 1e6}}},
		{"cpu<5us", []Threshold{{Figure: "cpu", Compare: "<", Value: 5, Unit: "µs"}}},
		{"last-allow<20ms", []Threshold{{Figure: "last-allow", Compare: "<", Value: 20_000, Unit: "µs"}}},
		{"hit-ratio>90%", []Threshold{{Figure: "hit-ratio", Compare: ">", Value: 90, Unit: "%"}}},
		{"max-rate>100", []Threshold{{Figure: "max-rate", Compare: ">", Value: 100}}},
	}
	for _, test := range tests {
		got, err := ParseThresholds(test.list)
		if err != nil {
			t.Errorf("%q: %v", test.list, err)
		}
		if diff := cmp.Diff(test.want, got, cmpopts.IgnoreUnexported(Threshold{})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.list, diff)
		}
	}
}

func TestParseThresholdsSaysWhatIsWrong(t *testing.T) {
	tests := []struct{ list, want string }{
		{"p99", `"p99" isn't a threshold`},
		{"p99<1ms,", `"" isn't a threshold`},
		{"p99==1ms", `say a time with its unit`},
		{"p95<1ms", `"p95" isn't a figure: say one of rate units p50`},
		{"eror=0", `"eror" isn't a figure`},
		{"p99<1", `"1" isn't a value for it: say a time with its unit, as 1ms or 200us`},
		{"p99<0", `say a time with its unit`},
		{"p99<-1ms", `say a time with its unit`},
		{"errors<1ms", `say a number, as 0 or 9900 or 1e6, or a percentage`},
		{"errors<-1", `say a number`},
		{"rate>=99%", `say a number`},
		{"rate>NaN", `say a number`},
		{"rate<Inf", `say a number`},
		{"P99<1ms", `isn't a threshold`},
	}
	for _, test := range tests {
		got, err := ParseThresholds(test.list)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: got %v, %v, want an error with %q", test.list, got, err, test.want)
		}
	}
}

func TestJudge(t *testing.T) {
	runs := func(change ...func(*Result)) []Result {
		all := make([]Result, len(change))
		for n := range all {
			all[n] = Result{
				Seconds: 10, Offered: 100, Rate: 100, Units: 200, Requests: 1000, Checked: 10,
				Latency: Latency{P99: 900}, Server: &Usage{PerUnit: 4}, Extra: []Figure{{"last-allow", 19, "ms"}, {"max-rate", 70, "requests/s"}},
			}
			change[n](&all[n])
		}
		return all
	}
	as := func(*Result) {}
	tests := []struct {
		name, threshold string
		runs            []Result
		want            Verdict
	}{
		{"below", "p99<1ms", runs(as), Verdict{Got: 900, Met: true}},
		{"not below itself", "p99<900us", runs(as), Verdict{Got: 900}},
		{"at most itself", "p99<=900us", runs(as), Verdict{Got: 900, Met: true}},
		{"above", "rate>=100", runs(as), Verdict{Got: 100, Met: true}},
		{"not above itself", "rate>100", runs(as), Verdict{Got: 100}},
		{"server's processor time", "cpu<5us", runs(as), Verdict{Got: 4, Met: true}},
		{"the scenario's own, a time", "last-allow<20ms", runs(as), Verdict{Got: 19_000, Met: true}},
		{"the scenario's own, a rate", "max-rate>71", runs(as), Verdict{Got: 70}},
		{"a time isn't a number", "last-allow<20", runs(as), Verdict{Why: "it was measured in µs: say the threshold so"}},
		{"the median tells", "p99<1ms", runs(as, func(r *Result) { r.Latency.P99 = 2000 }, func(r *Result) { r.Latency.P99 = 950 }), Verdict{Got: 950, Met: true}},
		{"the worst count tells", "errors=0", runs(as, func(r *Result) { r.Errors = 1 }), Verdict{Got: 1}},
		{"the worst share tells", "late<1%", runs(as, func(r *Result) { r.Late = 9 }), Verdict{Got: 0.9, Met: true}},
		{"a share of the answers that were compared", "wrong<1%", runs(func(r *Result) { r.Wrong = 1 }), Verdict{Got: 10}},
		{"a count that has to be reached", "errors>1", runs(func(r *Result) { r.Errors = 5 }, as), Verdict{Got: 0}},
		{"no run", "errors=0", nil, Verdict{Why: "no run was finished"}},
		{"no request", "errors=0", runs(func(r *Result) { r.Requests = 0 }), Verdict{Why: "it wasn't measured"}},
		{"no answer", "p99<1ms", runs(func(r *Result) { r.Rate, r.Latency.P99 = 0, 0 }), Verdict{Why: "it wasn't measured"}},
		{"no answer compared", "wrong=0", runs(func(r *Result) { r.Checked = 0 }), Verdict{Why: "it wasn't measured"}},
		{"no server asked", "cpu<5us", runs(as, func(r *Result) { r.Server = nil }), Verdict{Why: "it wasn't measured"}},
		{"unknown to the scenario", "first-write<1s", runs(as), Verdict{Why: "it wasn't measured"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			thresholds, err := ParseThresholds(test.threshold)
			if err != nil {
				t.Fatal(err)
			}
			r := &Report{Runs: test.runs, Verdicts: []Verdict{{Threshold: "stale"}}}
			if got := r.Judge(thresholds); got != test.want.Met {
				t.Errorf("Judge returns %v", got)
			}
			test.want.Threshold = test.threshold
			if diff := cmp.Diff([]Verdict{test.want}, r.Verdicts); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func FuzzParseThresholds(f *testing.F) {
	for _, list := range []string{"p99<1ms,errors=0", "late<1%", "last-allow<=20ms , rate>=1e4", "p99.9>", "=", "a-b=0x1p4"} {
		f.Add(list)
	}
	f.Fuzz(func(t *testing.T, list string) {
		got, err := ParseThresholds(list)
		if err != nil {
			if got != nil {
				t.Errorf("both an error and %v", got)
			}
			return
		}
		for _, threshold := range got {
			again, err := ParseThresholds(threshold.String())
			if err != nil || len(again) != 1 || again[0] != threshold || !(threshold.Value >= 0) {
				t.Errorf("%+v becomes %+v, %v", threshold, again, err)
			}
		}
	})
}
