//go:build !consentd_bugs

package cluster

import (
	"context"

	"github.com/consentd/consentd/store"
)

// bug reports whether a deliberate bug is on. The chaos tests show that their judges find each (chaosbugs_test.go); a build without the tag
// consentd_bugs has none of them.
func bug(string) bool { return false }

// acknowledgeEarly belongs to a bug.
func (n *Node) acknowledgeEarly(context.Context, store.Command) (store.Result, error) {
	panic("a bug of the chaos tests in a build without them")
}
