//go:build !consentd_bugs

package store

import "github.com/consentd/consentd/consent"

// bug reports whether a deliberate bug is on. The chaos tests of the cluster show that their judges find each; a build without the tag
// consentd_bugs has none of them.
func bug(string) bool { return false }

// laterPosition belongs to a bug.
func (st *state) laterPosition() consent.Revision {
	panic("a bug of the chaos tests in a build without them")
}
