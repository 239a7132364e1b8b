//go:build !race

package client

import "testing"

// TestNearHitAllocatesNothing: what ristretto allocates itself comes to less than one in a hundred hits.
func TestNearHitAllocatesNothing(t *testing.T) {
	r := newRig(t, 1)
	c := r.dial(t, WithNearCache(nearBytes))
	hit := func() {
		if !c.Allowed(t.Context(), anna, newsletter) {
			t.Error("denied")
		}
	}
	hit()
	if got := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			hit()
		}
	}); got.AllocsPerOp() > 0 || got.AllocedBytesPerOp() > 16 {
		t.Errorf("%d allocations, %d bytes a hit", got.AllocsPerOp(), got.AllocedBytesPerOp())
	}
}
