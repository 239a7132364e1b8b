package main

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/consentd/consentd/cluster"
	"github.com/consentd/consentd/consent"
)

// openFullDisk opens a node for which the disk has never enough space, or always.
func openFullDisk(t *testing.T, dir string, full bool) *cluster.Node {
	t.Helper()
	o := cluster.Options{DataDir: dir, MinFreeBytes: -1}
	if full {
		o.MinFreeBytes = math.MaxInt64
	}
	node, err := cluster.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.After(patience)
	again := time.NewTicker(startInterval)
	defer again.Stop()
	for node.Ready() != nil {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatal(node.Ready())
		}
	}
	return node
}

// TestPolicyOnFullDisk starts again on a full disk: with the policy that is the newest already, and with another.
func TestPolicyOnFullDisk(t *testing.T) {
	policy, err := os.ReadFile(shopPolicy)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r := &replica{cli: &cli{tenant: "default"}, config: &serveConfig{}, policy: policy}
	r.log = slog.New(slog.DiscardHandler)
	apply := func(full bool) error {
		t.Helper()
		node := openFullDisk(t, dir, full)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return errors.Join(r.applyPolicy(ctx, node), node.Close())
	}
	for _, full := range []bool{false, true} {
		if err := apply(full); err != nil {
			t.Errorf("full %t: %v", full, err)
		}
	}
	r.policy = append(slices.Clone(policy), "\n# changed\n"...)
	if err := apply(true); !errors.Is(err, consent.ErrStorageFull) {
		t.Errorf("another policy: error %v, want %v", err, consent.ErrStorageFull)
	}
}

func TestClosingIsBounded(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	err := within(time.Millisecond, func() error { <-hang; return nil })
	if err == nil || !strings.Contains(err.Error(), "closing takes more than 1ms") {
		t.Errorf("closing that hangs ended with %v", err)
	}
	failed := errors.New("failed")
	if err := within(time.Minute, func() error { return failed }); !errors.Is(err, failed) {
		t.Errorf("closing that fails ended with %v", err)
	}
}
