package bench_test

import (
	"fmt"
	"os"

	"github.com/consentd/consentd/bench"
)

// measured stands for what Run returns.
func measured(p99 float64) *bench.Report {
	return &bench.Report{
		Schema:      bench.Schema,
		Environment: bench.Environment{Toolchain: "go1.26.8 linux/amd64", Processor: "Example 9000"},
		Settings:    bench.Settings{Scenario: "check", Target: "unix:///run/consentd.sock", Transport: "unix", Loop: "closed", Callers: 64, Seconds: 10},
		Runs:        []bench.Result{{Seconds: 10, Rate: 50_000, Requests: 500_000, Latency: bench.Latency{P50: 80, P90: 120, P99: p99, P999: 1_500, Max: 2_000}}},
	}
}

func ExampleWrite() {
	report := measured(812)
	if err := bench.Write(os.Stdout, "gobench", report); err != nil {
		fmt.Println(err)
	}
	if err := bench.Write(os.Stdout, "yaml", report); err != nil {
		fmt.Println(err)
	}
	// Output:
	// goos: linux
	// goarch: amd64
	// pkg: github.com/consentd/consentd/bench
	// cpu: Example 9000
	// BenchmarkConsentd/check/closed	  500000	80 p50-µs	120 p90-µs	812 p99-µs	1500 p99.9-µs	2000 max-µs	50000 requests/s
	// "yaml" isn't a format of reports: say one of table, json, csv, gobench, hgrm
}

func ExampleParseThresholds() {
	thresholds, err := bench.ParseThresholds("p99<1ms,errors=0,cpu<5us")
	if err != nil {
		fmt.Println(err)
		return
	}
	report := measured(812)
	fmt.Println(report.Judge(thresholds))
	for _, verdict := range report.Verdicts {
		fmt.Printf("%s: %t %v %q\n", verdict.Threshold, verdict.Met, verdict.Got, verdict.Why)
	}
	_, err = bench.ParseThresholds("p99<1")
	fmt.Println(err)
	// Output:
	// false
	// p99<1ms: true 812 ""
	// errors=0: true 0 ""
	// cpu<5us: false 0 "it wasn't measured"
	// threshold "p99<1": "1" isn't a value for it: say a time with its unit, as 1ms or 200us
}

func ExampleCompare() {
	limits, err := bench.ParseRegress("p99=5%,rate=3%")
	if err != nil {
		fmt.Println(err)
		return
	}
	comparison, err := bench.Compare(measured(812), measured(1_020), limits)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(comparison.Regressed())
	fmt.Println(comparison.Summary())
	// Output:
	// true
	// FAIL: regressed: p99 from 812 µs to 1.02 ms (+25.6 %, limit 5 %)
}
