package cluster

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/consentd/consentd/consent"
)

// The founder's bound is the cluster's, and others may only lower it for themselves.
func TestBoundIsTheFounders(t *testing.T) {
	o := memoryOptions(t, vfs.NewMem())
	for i, tt := range []struct {
		own, want time.Duration
		warned    bool
	}{
		{5 * time.Second, 5 * time.Second, false}, // founds
		{0, 5 * time.Second, false},
		{10 * time.Second, 5 * time.Second, true},
		{3 * time.Second, 3 * time.Second, false},
	} {
		var log strings.Builder
		o.MaxStaleness, o.Logger = tt.own, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		n := openNode(t, o)
		v, err := n.View(t.Context(), consent.Consistency{Full: true})
		if err != nil {
			t.Fatal(err)
		}
		closeNode(t, n)
		if v.Bound != tt.want {
			t.Errorf("start %d with %s: the bound is %s, want %s", i, tt.own, v.Bound, tt.want)
		}
		if warned := strings.Contains(log.String(), "bound"); warned != tt.warned {
			t.Errorf("start %d with %s: warned %t, want %t: %s", i, tt.own, warned, tt.warned, &log)
		}
	}
}

func TestBoundUnlessAnyoneNamesOne(t *testing.T) {
	o := memoryOptions(t, vfs.NewMem())
	o.MaxStaleness = 0
	if got := openNode(t, o).store.Bound(); got != defaultBound {
		t.Errorf("the cluster's bound is %s, want %s", got, defaultBound)
	}
}
