//go:build consentd_bugs

package client

import "os"

// bug reports whether a deliberate bug is on: the one that CONSENTD_BUG names.
func bug(name string) bool { return os.Getenv("CONSENTD_BUG") == name }
