package bench

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"regexp"
	"runtime"
	"strings"
	"unicode"
)

// benchMetrics are the figures of a line, named as our benchmarks name them.
var benchMetrics = []struct{ figure, unit string }{
	{"p50", "p50-µs"}, {"p90", "p90-µs"}, {"p99", "p99-µs"}, {"p99.9", "p99.9-µs"}, {"max", "max-µs"},
	{"rate", "requests/s"}, {"units", ""},
}

// platformForm finds "linux/amd64" in what a report says of its toolchain.
var platformForm = regexp.MustCompile(`\b([a-z0-9]+)/([a-z0-9]+)$`)

// writeGobench writes a line for each run, in Go's benchmark format (golang.org/design/14313-benchmark-format), which benchstat compares. The
// header holds only what Go's own has: benchstat doesn't compare results whose headers differ.
func writeGobench(w io.Writer, r *Report) error {
	var text bytes.Buffer
	goos, goarch := r.Environment.platform()
	fmt.Fprintf(&text, "goos: %s\ngoarch: %s\npkg: github.com/consentd/consentd/bench\n", goos, goarch)
	if cpu := phrases(" ", r.Environment.Processor); cpu != "" {
		fmt.Fprintf(&text, "cpu: %s\n", cpu)
	}
	for _, run := range r.Runs {
		if metrics := run.benchMetrics(); metrics != "" {
			fmt.Fprintf(&text, "%s\t%8d%s\n", r.benchName(), run.Requests, metrics)
		}
	}
	_, err := w.Write(text.Bytes())
	return err
}

// platform is this program's own if the report doesn't say it.
func (e Environment) platform() (goos, goarch string) {
	if parts := platformForm.FindStringSubmatch(e.Toolchain); parts != nil {
		return parts[1], parts[2]
	}
	return runtime.GOOS, runtime.GOARCH
}

func (r *Report) benchName() string {
	name := "BenchmarkConsentd/" + oneWord(r.Settings.Scenario) + "/" + oneWord(r.Settings.Loop)
	if r.Environment.Processors > 1 {
		name += fmt.Sprintf("-%d", r.Environment.Processors)
	}
	return name
}

func (r Result) benchMetrics() string {
	var text strings.Builder
	add := func(value float64, unit string) { fmt.Fprintf(&text, "\t%s %s", cellNumber(value), oneWord(unit)) }
	for _, m := range benchMetrics {
		value, _, found := r.measured(m.figure)
		switch {
		case !found:
		case m.figure != "units":
			add(value, m.unit)
		case r.Unit != "" && r.Unit != "requests":
			add(value, r.Unit+"/s")
		}
	}
	if good := r.Rate * r.Seconds; r.Server != nil && good > 0 {
		add(math.Round(r.Server.CPUSeconds/good*1e9)/1e3, "server-cpu-µs/op") // an operation is a request here, whatever it is made of
	}
	for _, f := range r.Extra {
		add(f.Value, f.Name+"-"+f.Unit)
	}
	return text.String()
}

// oneWord makes a text one word of a line.
func oneWord(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) {
			return '-'
		}
		return r
	}, text)
}
