package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestJSONReadsBack(t *testing.T) {
	r := sampleReport(3)
	r.Judge([]Threshold{{Figure: "errors", Compare: "=", text: "errors=0"}})
	var text bytes.Buffer
	if err := WriteJSON(&text, r); err != nil {
		t.Fatal(err)
	}
	got, err := ReadReport(&text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, got, cmpopts.IgnoreUnexported(Result{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for n := range got.Runs {
		if !got.Runs[n].histogram.Equals(r.Runs[n].histogram) || latencyOf(got.Runs[n].histogram) != r.Runs[n].Latency {
			t.Errorf("the latencies of run %d aren't those that were written", n+1)
		}
	}
}

func TestJSONSummarizes(t *testing.T) {
	var text bytes.Buffer
	if err := WriteJSON(&text, sampleReport(3)); err != nil {
		t.Fatal(err)
	}
	var got struct{ Summary map[string]Spread }
	if err := json.Unmarshal(text.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Spread{9997, 9996, 9998, 3}, got.Summary["rate"]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if _, found := got.Summary["last-allow"]; !found {
		t.Error("the scenario's own figures are missing")
	}
}

func TestReadReportRefuses(t *testing.T) {
	tests := []struct {
		name, text, want string
		schema           bool
	}{
		{"no JSON", `figure median`, "write one with -o json", false},
		{"cut short", `{"schema":"consentd.bench/1"`, "write one with -o json", false},
		{"two", `{"schema":"consentd.bench/1"}{}`, "write one with -o json", false},
		{"no schema", `{}`, `its schema is ""`, true},
		{"another's", `{"schema":"k6/1"}`, `its schema is "k6/1"`, true},
		{"no number", `{"schema":"consentd.bench/x"}`, `write one with`, true},
		{"newer", `{"schema":"consentd.bench/2"}`, `use the newer one`, true},
		{"older", `{"schema":"consentd.bench/0"}`, `measure again`, true},
		{"another type", `{"schema":"consentd.bench/1","runs":7}`, `a field of the report can't be read`, false},
		{"a broken histogram", `{"schema":"consentd.bench/1","runs":[{},{"histogram":"SGlzdG8="}]}`, `run 2: the histogram`, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ReadReport(strings.NewReader(test.text))
			if err == nil || got != nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, %v, want an error with %q", got, err, test.want)
			}
			if errors.Is(err, ErrSchema) != test.schema {
				t.Errorf("%v: whether it is ErrSchema is wrong", err)
			}
		})
	}
}

func TestReadReportIgnoresWhatItDoesntKnow(t *testing.T) {
	got, err := ReadReport(strings.NewReader(`{"schema":"consentd.bench/1.4","moon":"full","runs":[{"rate":7,"tide":{"high":true}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Runs) != 1 || got.Runs[0].Rate != 7 {
		t.Errorf("got %+v", got)
	}
}

func FuzzReadReport(f *testing.F) {
	var text bytes.Buffer
	r := sampleReport(1)
	r.Runs[0].Series = r.Runs[0].Series[:2]
	if err := WriteJSON(&text, r); err != nil {
		f.Fatal(err)
	}
	f.Add(text.Bytes())
	f.Add([]byte(`{"schema":"consentd.bench/1","runs":[{"histogram":""}]}`))
	f.Add([]byte(`{"schema":"consentd.bench/9"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ReadReport(bytes.NewReader(text))
		if err != nil {
			return
		}
		if err := WriteHTML(io.Discard, r); err != nil {
			t.Error(err)
		}
		for _, format := range Formats() {
			var first, second bytes.Buffer
			if err := Write(&first, format, r); err != nil {
				continue
			}
			if err := Write(&second, format, r); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
				t.Errorf("%s isn't the same each time: %v", format, err)
			}
		}
	})
}
