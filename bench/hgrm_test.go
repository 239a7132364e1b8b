package bench

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestHgrm(t *testing.T) {
	r := sampleReport(2)
	var got bytes.Buffer
	if err := Write(&got, "hgrm", r); err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "two-runs.hgrm", got.String())

	last := ""
	for line := range strings.Lines(got.String()) {
		if !strings.HasPrefix(line, "#") {
			last = line
		}
	}
	var value, share float64
	var count int64
	if _, err := fmt.Sscan(last, &value, &share, &count); err != nil {
		t.Fatalf("%q: %v", last, err)
	}
	if share != 1 || count != 40_000 || value != max(r.Runs[0].Latency.Max, r.Runs[1].Latency.Max)/1e3 {
		t.Errorf("the last line is %q: want the maximum, and all 40,000 requests", last)
	}
}

func TestHgrmWithoutHistogram(t *testing.T) {
	r := sampleReport(2)
	r.Runs[1].histogram = nil
	if err := Write(new(bytes.Buffer), "hgrm", r); err == nil {
		t.Error("half of the latencies are written as if they were all")
	}
}
