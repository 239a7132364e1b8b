package cluster

import (
	"testing"
)

const wiredCluster = "018f3c1e-0000-7000-8000-000000000001"

// openWire opens a wire on a free port of the loopback address. It is closed with the test.
func openWire(tb testing.TB, o WireOptions) *Wire {
	tb.Helper()
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	w, err := OpenWire(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := w.Close(); err != nil {
			tb.Errorf("closing the wire: %v", err)
		}
	})
	return w
}

// openWireAs opens a wire of a node of the test's cluster.
func openWireAs(tb testing.TB, nodeID string, o WireOptions) *Wire {
	tb.Helper()
	w := openWire(tb, o)
	if err := w.identify(wiredCluster, nodeID); err != nil {
		tb.Fatal(err)
	}
	return w
}
