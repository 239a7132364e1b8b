package bench

import (
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// compareGolden compares a text with a file of testdata, or writes the file.
func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: write it with -update", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); if it should, write it with -update:\n%s", path, diff)
	}
}

// sampleReport is a report of so many runs, each a little slower than the one before. It is the same each time.
func sampleReport(runs int) *Report {
	r := &Report{
		Schema: Schema,
		Began:  time.Date(2026, 11, 25, 13, 0, 0, 0, time.UTC),
		Settings: Settings{
			Scenario: "check", Target: "unix:///run/consentd.sock", Transport: "unix", Loop: "open", Rate: 10_000, Arrivals: "even",
			Callers: 256, Seconds: 30, Warmup: 5, Repeats: runs, Seed: 7, Subjects: 1_000_000, Allowed: 0.5,
		},
		Environment: Environment{
			Version: "0.5.0", Commit: "5891bfc", Toolchain: "go1.26.8 linux/amd64", Kernel: "Linux 6.1.0", Processor: "Example 9000 @ 3.00GHz",
			Processors: 2, MemoryGiB: 8, Load: "0.22 0.45 0.80", Limits: "1048576 open files", SameHost: true,
			ServerInfo: "consentd 0.5.0, 3 voters",
		},
	}
	for n := range runs {
		r.Runs = append(r.Runs, sampleRun(uint64(n)))
	}
	return r
}

func sampleRun(n uint64) Result {
	run := Result{
		Seconds: 30, Offered: 10_000, Rate: 9_998 - float64(n), Unit: "checks", Units: 9_998 - float64(n), Requests: 300_000, Late: 12 + n, Dropped: 0,
		Errors: 3 * n, Checked: 3_000,
		Server: &Usage{CPUSeconds: 6.3, PerUnit: 21 + float64(n)/10, Share: 0.105},
		Client: Usage{CPUSeconds: 4.2, PerUnit: 14 + float64(n)/10, Share: 0.07},
		Extra:  []Figure{{"last-allow", 12.5 + float64(n), "ms"}},
	}
	if n > 0 {
		run.ErrorsBy = map[string]uint64{"RESOURCE_EXHAUSTED (overload)": 2 * n, "UNAVAILABLE": n}
		run.Notes = []string{"the load of the machine rose meanwhile"}
	}
	if err := run.seal(sampleLatencies(n)); err != nil {
		panic(err)
	}
	random := rand.New(rand.NewPCG(9, n))
	for s := range 30 {
		run.Series = append(run.Series, Moment{
			At: float64(s + 1), Rate: 9_990 + 20*random.Float64(), P50: run.Latency.P50 * (0.9 + 0.2*random.Float64()),
			P99: run.Latency.P99 * (0.7 + 0.8*random.Float64()),
		})
	}
	return run
}

// sampleLatencies have a body around 80 µs, and a tail.
func sampleLatencies(seed uint64) *hdrhistogram.Histogram {
	h := hdrhistogram.New(1, 600_000_000, 3)
	random := rand.New(rand.NewPCG(7, seed))
	for range 20_000 {
		took := 700 + 30*float64(seed) + 200*random.ExpFloat64()
		if random.IntN(100) == 0 {
			took *= 1 + 4*random.ExpFloat64()
		}
		if err := h.RecordValue(int64(took)); err != nil {
			panic(err)
		}
	}
	return h
}
