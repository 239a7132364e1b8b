//go:build consentd_bugs

package server

import (
	"os"
	"time"
)

// bug reports whether a deliberate bug is on: the one that CONSENTD_BUG names.
func bug(name string) bool { return os.Getenv("CONSENTD_BUG") == name }

// bugPause gives a bug that is a matter of order the time to show itself, if it is on.
func bugPause(name string) {
	if bug(name) {
		<-time.After(5 * time.Millisecond)
	}
}
