//go:build consentd_bugs

package store

import (
	"os"
	"time"

	"github.com/consentd/consentd/consent"
)

// bug reports whether a deliberate bug is on: the one that CONSENTD_BUG names.
func bug(name string) bool { return os.Getenv("CONSENTD_BUG") == name }

// laterPosition returns where the state is a moment later.
func (st *state) laterPosition() consent.Revision {
	<-time.After(5 * time.Millisecond)
	return st.head.Load().Revision
}
