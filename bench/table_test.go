package bench

import (
	"bytes"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	judged := sampleReport(3)
	thresholds, err := ParseThresholds("p99<1ms,errors=0,late<1%,first-write<1s")
	if err != nil {
		t.Fatal(err)
	}
	judged.Judge(thresholds)
	closed := sampleReport(1)
	closed.Settings.Loop, closed.Settings.Rate, closed.Settings.Arrivals, closed.Settings.Callers = "closed", 0, "", 64
	closed.Settings.Scenario, closed.Settings.Skew, closed.Settings.Seconds, closed.Settings.Warmup = "batch-100", 0.99, 600, 0
	closed.Runs[0].Unit, closed.Runs[0].Units = "decisions", 999_800
	closed.Environment, closed.Runs[0].Extra = Environment{}, nil
	closed.Runs[0].Server = nil
	short := sampleReport(0)
	short.Settings.Repeats, short.Interrupted = 3, true
	for name, r := range map[string]*Report{"three-runs.table": judged, "closed.table": closed, "interrupted.table": short} {
		var got bytes.Buffer
		if err := Write(&got, "table", r); err != nil {
			t.Fatal(err)
		}
		compareGolden(t, name, got.String())
	}
}

// What a server says of itself moves nobody's cursor.
func TestTableIsPlain(t *testing.T) {
	r := sampleReport(1)
	const bad = "\x1b[2J\r\n"
	r.Settings.Target, r.Environment.ServerInfo, r.Runs[0].Notes = bad, bad, []string{bad}
	r.Runs[0].ErrorsBy, r.Runs[0].Unit, r.Settings.Scenario = map[string]uint64{bad: 1}, bad, bad
	r.Runs[0].Extra, r.Verdicts = []Figure{{bad, 1, bad}}, []Verdict{{Threshold: bad, Why: bad}}
	var got bytes.Buffer
	if err := WriteTable(&got, r); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(got.String(), "\x1b\r") {
		t.Errorf("got %q", got.String())
	}
}

func TestQuantities(t *testing.T) {
	tests := []struct {
		value float64
		unit  string
		want  string
	}{
		{0, "µs", "0 µs"},
		{84.32, "µs", "84.3 µs"},
		{1_234, "µs", "1.23 ms"},
		{2_500_000, "µs", "2.50 s"},
		{9_998.4, "/s", "9,998/s"},
		{1_234_567, "", "1,234,567"},
		{0.0123, "%", "0.0123 %"},
		{-1_234, "", "-1,234"},
		{123, "", "123"},
		{70, "requests/s", "70 requests/s"},
	}
	for _, test := range tests {
		if got := quantityText(test.value, test.unit); got != test.want {
			t.Errorf("%v %s: got %s, want %s", test.value, test.unit, got, test.want)
		}
	}
	for seconds, want := range map[float64]string{0.5: "0.5 s", 30: "30 s", 600: "10 min 00 s", 7_260: "2 h 01 min"} {
		if got := secondsText(seconds); got != want {
			t.Errorf("%v s: got %s, want %s", seconds, got, want)
		}
	}
}

func TestWriteRefusesUnknownFormats(t *testing.T) {
	err := Write(new(bytes.Buffer), "yaml", sampleReport(1))
	if err == nil || !strings.Contains(err.Error(), "say one of table, json") {
		t.Errorf("got %v", err)
	}
}
