//go:build consentd_bugs

package cache

import (
	"os"
	"time"

	"github.com/consentd/consentd/consent"
)

// bug reports whether a deliberate bug is on: the one that CONSENTD_BUG names.
func bug(name string) bool { return os.Getenv("CONSENTD_BUG") == name }

// bugPause gives a bug that is a matter of order the time to show itself.
const bugPause = 5 * time.Millisecond

// raiseLate raises floors when whoever came before has been answered without.
func (f *floors) raiseLate(buckets []uint32, position uint64) {
	<-time.After(bugPause)
	f.raise(buckets, position)
}

// publishEarly publishes the tenants of a head under the revision before it.
func (c *Cache) publishEarly(was *moment, head consent.Head) {
	head.Revision = was.at()
	view := was.view
	view.Head = &head
	c.publish(&moment{view: view, floors: was.floors})
	<-time.After(bugPause)
}
