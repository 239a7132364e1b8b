package main

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var toMap = comparison{"store.Get/memory", "store.Get/map", 3}

// turns returns outcomes of a benchmark that took so long each time, beside a baseline that took 100 ns.
func turns(allocs, bytes float64, took ...float64) []outcome {
	var all []outcome
	for _, ns := range took {
		all = append(all, outcome{
			toMap.name:     {"ns/op": ns, "allocs/op": allocs, "B/op": bytes},
			toMap.baseline: {"ns/op": 100, "allocs/op": 0, "B/op": 0},
		})
	}
	return all
}

func TestJudge(t *testing.T) {
	before := turns(2, 1000, 200, 210, 190)
	for _, tt := range []struct {
		name         string
		here, before []outcome
		want         string
	}{
		{"the same", turns(2, 1000, 200, 210, 190), before, verdictFine},
		{"less", turns(1, 500, 100, 90, 110), before, verdictFine},
		{"one allocation more", turns(3, 1000, 200, 210, 190), before, verdictMore},
		{"a few bytes more", turns(2, 1016, 200, 210, 190), before, verdictFine},
		{"bytes more", turns(2, 1070, 200, 210, 190), before, verdictBytes},
		{"a little slower", turns(2, 1000, 280, 290, 270), before, verdictFine},
		{"slower", turns(2, 1000, 310, 330, 290), before, verdictSlow},
		{"slower once", turns(2, 1000, 200, 900, 190), before, verdictFine},
		{"slower but once", turns(2, 1000, 400, 500, 200), before, verdictFine},
		{"new", turns(9, 9000, 290, 290, 310), nil, verdictNew},
		{"new and beyond its limit", turns(0, 0, 310, 320, 330), nil, verdictSlow},
		{"new in one of two", turns(9, 9000, 200, 200, 200), []outcome{{}, {}, {}}, verdictNew},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rows, err := judge(tt.here, tt.before, []comparison{toMap})
			if err != nil || len(rows) != 1 {
				t.Fatalf("%v, %v, want one row", rows, err)
			}
			if rows[0].verdict != tt.want {
				t.Errorf("%s, want %s", rows[0].verdict, tt.want)
			}
			bad := tt.want != verdictFine && tt.want != verdictNew
			if got := countWorse(rows) == 1; got != bad {
				t.Errorf("counts as worse: %t, want %t", got, bad)
			}
		})
	}
}

// TestJudgeFractions: half an allocation may come and go where the benchmark knows fractions.
func TestJudgeFractions(t *testing.T) {
	checks := func(allocs float64) []outcome {
		return []outcome{{"bench.Check": {"ns/op": 1, "allocs/op": 9, "allocs/check": allocs, "B/check": 5}}}
	}
	for allocs, want := range map[float64]string{157: verdictFine, 157.4: verdictFine, 157.9: verdictMore, 158: verdictMore} {
		rows, err := judge(checks(allocs), checks(157), nil)
		if err != nil || len(rows) != 1 || rows[0].verdict != want {
			t.Errorf("%v after 157: %v, %v, want %s", allocs, rows, err, want)
		}
	}
}

// TestJudgeBeyondBaseline: what the baseline allocates too isn't ours.
func TestJudgeBeyondBaseline(t *testing.T) {
	here := turns(12, 2000, 200)
	here[0][toMap.baseline] = map[string]float64{"ns/op": 100, "allocs/op": 10, "B/op": 1000}
	rows, err := judge(here, turns(2, 1000, 200), []comparison{toMap})
	if err != nil || rows[0].verdict != verdictFine || rows[0].allocs != 2 || rows[0].bytes != 1000 {
		t.Errorf("%+v, %v, want no more than before", rows, err)
	}
}

func TestJudgeMissesABenchmark(t *testing.T) {
	here := turns(0, 0, 200)
	delete(here[0], toMap.baseline)
	if rows, err := judge(here, nil, []comparison{toMap}); err == nil {
		t.Errorf("judged %v without the baseline", rows)
	}
}

func TestOutcome(t *testing.T) {
	o := outcome{}
	err := o.add("proto/wire", `goos: linux
BenchmarkMessages/read-8-2         	   50000	       180.5 ns/op	        16.0 MB/s	       8 B/op	       1 allocs/op
BenchmarkPlain-2 	 5 	 9 ns/op
BenchmarkPlain-2 	 5 	 7 ns/op
BenchmarkPlain-2 	 5 	 8 ns/op
PASS
`)
	want := outcome{
		"wire.Messages/read-8": {"ns/op": 180.5, "MB/s": 16, "B/op": 8, "allocs/op": 1},
		"wire.Plain":           {"ns/op": 7},
	}
	if diff := cmp.Diff(want, o); err != nil || diff != "" {
		t.Errorf("%v, (-want +got):\n%s", err, diff)
	}
	if err := o.add("store", "BenchmarkGet-2 10 quick ns/op\n"); err == nil {
		t.Error("read a result that is none")
	}
}

func TestShow(t *testing.T) {
	var b bytes.Buffer
	show(&b, []row{
		{"store.Get", 0, 1, 8, 8, 2.5, 2, 1.25, verdictFine},
		{"store.New", 1, math.NaN(), 8, math.NaN(), 3, math.NaN(), math.NaN(), verdictNew},
	})
	for _, want := range []string{"store.Get  1 -> 0       8 -> 8  2x -> 2.5x       1.25   ok", "store.New  - -> 1       - -> 8  - -> 3x          -      new"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s\nlacks %q", b.String(), want)
		}
	}
}

// TestSuitesAndComparisons: each comparison is of benchmarks that some suite runs.
func TestSuitesAndComparisons(t *testing.T) {
	rooms := map[string]bool{}
	for _, s := range suites {
		rooms[s.room[strings.LastIndex(s.room, "/")+1:]] = true
	}
	for _, c := range comparisons() {
		for _, name := range []string{c.name, c.baseline} {
			if room, _, _ := strings.Cut(name, "."); !rooms[room] {
				t.Errorf("no suite measures %s", name)
			}
		}
	}
}
