//go:build !consentd_bugs

package cache

import "github.com/consentd/consentd/consent"

// bug reports whether a deliberate bug is on. The chaos tests of the cluster show that their judges find each; a build without the tag
// consentd_bugs has none of them.
func bug(string) bool { return false }

// raiseLate belongs to a bug.
func (f *floors) raiseLate([]uint32, uint64) {
	panic("a bug of the chaos tests in a build without them")
}

// publishEarly belongs to a bug.
func (c *Cache) publishEarly(*moment, consent.Head) {
	panic("a bug of the chaos tests in a build without them")
}
