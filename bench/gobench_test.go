package bench

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestGobench(t *testing.T) {
	r := sampleReport(3)
	r.Settings.Scenario, r.Runs[1].Server = "batch-100", nil
	for n := range r.Runs {
		r.Runs[n].Unit, r.Runs[n].Units = "decisions", 100*r.Runs[n].Rate
	}
	r.Runs = append(r.Runs, Result{}) // interrupted before it measured anything
	var got bytes.Buffer
	if err := Write(&got, "gobench", r); err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "three-runs.gobench", got.String())
}

func TestGobenchIsOneWordEach(t *testing.T) {
	r := sampleReport(1)
	r.Settings.Scenario, r.Settings.Loop, r.Environment.Processor = "two words\n", "\u2028", "a\nBenchmarkB 1 2 ns/op"
	r.Runs[0].Unit, r.Runs[0].Extra = "new\tthings", []Figure{{"10x-goodput", 0.9, "of the peak"}}
	var got bytes.Buffer
	if err := Write(&got, "gobench", r); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(got.String()), "\n")
	last := strings.Fields(lines[len(lines)-1])
	if len(lines) != 5 || last[0] != "BenchmarkConsentd/two-words-/--2" || len(last)%2 != 0 || last[len(last)-1] != "10x-goodput-of-the-peak" {
		t.Errorf("got\n%s", got.String())
	}
}

// benchstat reads every metric, if it is there.
func TestBenchstatReadsGobench(t *testing.T) {
	benchstat, err := filepath.Abs("../.tools/benchstat")
	if err == nil {
		_, err = os.Stat(benchstat)
	}
	if err != nil {
		t.Skip("no benchstat: make tools builds it")
	}
	var text bytes.Buffer
	if err := Write(&text, "gobench", sampleReport(6)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "runs.txt")
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := exec.Command(benchstat, "old="+file, "new="+file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, got)
	}
	for _, want := range []string{"p50-µs", "p99-µs", "requests/s", "checks/s", "server-cpu-µs/op", "last-allow-ms", "Consentd/check/open-2", "n=6"} {
		if !strings.Contains(string(got), want) {
			t.Errorf("benchstat doesn't say %s:\n%s", want, got)
		}
	}
}
