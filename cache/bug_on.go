//go:build consentd_bugs

package cache

import (
	"os"
	"time"
)

// bug reports whether a deliberate bug is on: the one that CONSENTD_BUG names.
func bug(name string) bool { return os.Getenv("CONSENTD_BUG") == name }

// bugPause gives a bug that is a matter of order the time to show itself.
func bugPause() { <-time.After(5 * time.Millisecond) }
