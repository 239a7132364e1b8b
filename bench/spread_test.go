package bench

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSpread(t *testing.T) {
	tests := []struct {
		values   []float64
		want     Spread
		relative float64
	}{
		{[]float64{7}, Spread{7, 7, 7, 1}, 0},
		{[]float64{9, 11}, Spread{10, 9, 11, 2}, 0.1},
		{[]float64{12, 8, 10}, Spread{10, 8, 12, 3}, 0.2},
		{[]float64{0, 0, 4}, Spread{0, 0, 4, 3}, 0},
	}
	for _, test := range tests {
		got := spreadOf(test.values)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", test.values, diff)
		}
		if got.Relative() != test.relative {
			t.Errorf("%v: ± %v, want %v", test.values, got.Relative(), test.relative)
		}
	}
}

func TestSpreadOfWhatSomeRunsLack(t *testing.T) {
	r := sampleReport(3)
	if s, unit, found := r.Spread("last-allow"); !found || unit != "µs" || s.Median != 13_500 {
		t.Errorf("got %+v %s %v", s, unit, found)
	}
	r.Runs[1].Extra = nil
	if s, _, found := r.Spread("last-allow"); found {
		t.Errorf("got %+v of two runs of three", s)
	}
	if s, _, found := new(Report).Spread("rate"); found {
		t.Errorf("got %+v of no run", s)
	}
}
