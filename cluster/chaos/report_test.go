package chaos

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consentd/consentd/consent"
)

func TestReport(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	t.Setenv("CHAOSOUT", out)
	plan := Plan{{Fault: "rain", At: time.Second, For: time.Second}, {Fault: "snow", At: 1500 * time.Millisecond, For: time.Second}}
	t.Run("series", func(t *testing.T) {
		report := NewReport(t, "weather")
		report.began = time.Now().Add(-time.Minute)
		for seed := range uint64(2) {
			t.Run("run", func(t *testing.T) {
				run := report.Begin(t, seed, plan)
				run.Judged, run.Took = seed == 0, map[string]int{"rain": 1}
				run.Ops = []Op{
					write(Grant, 0, 1, 5), with(write(Grant, 0, 1, 6), func(o *Op) { o.Outcome = Unknown }), check(Full, 2, 3, 5, true),
					check(Fast, 4, 5, 6, false),
				}
				recorder := NewRecorder()
				recorder.Refuse(errors.New("down"))
				recorder.Refuse(&consent.StaleError{})
				run.Refused = recorder.Refused()
			})
		}
		report.name = "weather and climate"
	})
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	want := []string{
		"seed 0: clean, 0.0s: rain at 1s for 1s, snow at 1.5s for 1s",
		"seed 1: NOT JUDGED, 0.0s: rain at 1s for 1s, snow at 1.5s for 1s",
		"weather and climate: 2 runs in 1m0s, 1 judged, 2 with two faults at once; seeds of those that weren't clean: 1",
		"writes: 2 acknowledged, 0 not written, 2 of unknown outcome",
		"checks: 2 STALE, 2 other errors; minimize_latency 0 ALLOW, 2 DENY; at_least 0 ALLOW, 0 DENY; fully_consistent 2 ALLOW, 0 DENY",
		"planned  took effect  fault",
		"      2            2  rain",
		"      2            0  snow",
	}
	if diff := cmp.Diff(want, lines[1:]); diff != "" {
		t.Error(diff)
	}
}

func TestIdleFaults(t *testing.T) {
	planned := map[string]int{"rain": neverTook, "snow": neverTook, "hail": neverTook - 1}
	if got := idle(planned, map[string]int{"rain": 1}); !slices.Equal(got, []string{"snow"}) {
		t.Errorf("got %v, want those that were planned often and did nothing", got)
	}
}
