package chaos

import (
	"iter"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Seeds returns so many seeds, from CHAOSSEED on, or else from the clock.
func Seeds(tb testing.TB, count int) iter.Seq[uint64] {
	tb.Helper()
	first := uint64(time.Now().UnixMilli())
	if text := os.Getenv("CHAOSSEED"); text != "" {
		var err error
		if first, err = strconv.ParseUint(text, 10, 64); err != nil {
			tb.Fatalf("CHAOSSEED: %v", err)
		}
	}
	return func(yield func(uint64) bool) {
		for i := range uint64(count) {
			if !yield(first + i) {
				return
			}
		}
	}
}

// Runs returns how many runs CHAOSRUNS asks for, or else a default.
func Runs(tb testing.TB, runs int) int {
	tb.Helper()
	if text := os.Getenv("CHAOSRUNS"); text != "" {
		var err error
		if runs, err = strconv.Atoi(text); err != nil {
			tb.Fatalf("CHAOSRUNS: %v", err)
		}
	}
	return runs
}

// Faults returns the names of the faults that CHAOSFAULTS lists, or else of all.
func Faults[T any](tb testing.TB, all map[string]T) []string {
	tb.Helper()
	text := os.Getenv("CHAOSFAULTS")
	if text == "" {
		return slices.Sorted(maps.Keys(all))
	}
	names := strings.Split(text, ",")
	for _, name := range names {
		if _, known := all[name]; !known {
			tb.Fatalf("CHAOSFAULTS: there is no %q", name)
		}
	}
	return names
}
