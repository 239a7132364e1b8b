package cluster

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// crashSeed returns where a crash test's randomness starts: new each time, printed when it fails, and CONSENTD_SEED to repeat a run.
func crashSeed(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if given := os.Getenv("CONSENTD_SEED"); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatalf("CONSENTD_SEED: %v", err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("repeat with CONSENTD_SEED=%d", seed)
		}
	})
	return seed
}

func uintText(n uint64) string { return strconv.FormatUint(n, 10) }
