package bench_test

import (
	"context"
	"testing"
	"time"

	"github.com/consentd/consentd/bench"
)

// BenchmarkUnary measures a Check of a replica with all its interceptors, over a unix socket, beside a handler without any that decodes the same
// messages and does nothing: answers in a second, to 64 callers.
func BenchmarkUnary(b *testing.B) {
	const callers = 64
	pairs(b, startReplica(b, "unix").checks(b, "check/s", callers), startEmpty(b, "unix").checks(b, "empty/s", callers))
}

// startAlone runs a replica as a process of its own, and returns options to measure it over a unix socket.
func startAlone(b *testing.B, more ...string) bench.Options {
	b.Helper()
	p := newAlone(b)
	p.args = append(p.args, more...)
	p.start()
	p.awaitReady()
	o := bench.Options{Target: p.socket, Seed: 1, Warmup: time.Second, Duration: 5 * time.Second, Subjects: 10_000}
	prepare := o
	prepare.Scenario, prepare.Rate, prepare.Duration, prepare.Warmup = "check", 100, time.Second, -1
	resultOf(b, prepare)
	return o
}

func resultOf(b *testing.B, o bench.Options) bench.Result {
	b.Helper()
	r, err := bench.Run(context.Background(), o)
	if err != nil {
		b.Fatal(err)
	}
	if r.Wrong() > 0 {
		b.Fatalf("%d wrong answers", r.Wrong())
	}
	return r.Runs[0]
}

// BenchmarkHalfOfPeak measures how long a Check over a unix socket takes at half of what 64 callers get who ask as fast as they can, by an open
// loop. An iteration is such a pair, six seconds each.
func BenchmarkHalfOfPeak(b *testing.B) {
	if testing.Short() {
		b.Skip("a process, for long")
	}
	o := startAlone(b)
	o.Scenario = "check"
	var peaks, p50s, p99s []float64
	for b.Loop() {
		o.Closed, o.Callers, o.Rate = true, 64, 0
		peak := resultOf(b, o)
		o.Closed, o.Callers, o.Rate = false, 256, peak.Rate/2
		half := resultOf(b, o)
		peaks, p50s, p99s = append(peaks, peak.Rate), append(p50s, half.Latency.P50), append(p99s, half.Latency.P99)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(peaks), "peak/s")
	b.ReportMetric(median(p50s), "p50-µs")
	b.ReportMetric(median(p99s), "p99-µs")
}

// BenchmarkBesideImport measures the p99 of checks, 500 a second, while a million events are imported by one stream, beside the p99 before. An
// iteration is such a pair; the import goes on from one to the next, until a million events are written.
func BenchmarkBesideImport(b *testing.B) {
	if testing.Short() {
		b.Skip("a process, for long")
	}
	o := startAlone(b)
	o.Scenario, o.Rate = "check", 500
	load := o
	load.Scenario, load.Closed, load.Callers, load.Rate, load.Warmup = "import", true, 1, 0, -1
	load.Duration = o.Duration + 2*time.Second
	var idle, loaded, ratios, events []float64
	for b.Loop() {
		calm := resultOf(b, o)
		imported := make(chan float64, 1)
		go func() {
			r, err := bench.Run(context.Background(), load)
			if err != nil || r.Wrong() > 0 || r.Runs[0].Errors > 0 {
				b.Errorf("importing: %v", err)
				imported <- 0
				return
			}
			imported <- r.Runs[0].Units
		}()
		beside := resultOf(b, o)
		events = append(events, <-imported)
		idle, loaded = append(idle, calm.Latency.P99), append(loaded, beside.Latency.P99)
		ratios = append(ratios, beside.Latency.P99/calm.Latency.P99)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(idle), "idle-p99-µs")
	b.ReportMetric(median(loaded), "import-p99-µs")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(median(events), "events/s")
}

// BenchmarkOverload asks a replica that may use one processor 2 and 10 times as many checks and batches as it can answer.
func BenchmarkOverload(b *testing.B) {
	if testing.Short() {
		b.Skip("a process, for long")
	}
	b.Setenv("GOMAXPROCS", "1") // of the replica: this process has begun
	o := startAlone(b)
	o.Scenario, o.Duration, o.Conns = "overload", 15*time.Second, 4
	figures := map[string][]float64{}
	for b.Loop() {
		for _, f := range resultOf(b, o).Extra {
			figures[f.Name] = append(figures[f.Name], f.Value)
		}
	}
	b.ReportMetric(0, "ns/op")
	for name, values := range figures {
		b.ReportMetric(median(values), name)
	}
}
