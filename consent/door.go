package consent

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxSubjectBytes is how long a subject's id can be.
const MaxSubjectBytes = 256

// Door returns the form in which a subject's id is used everywhere behind the door of a process, or false if it can't be used: ids are 1 to 256
// bytes of UTF-8. An id that is an e-mail address is trimmed and lower-cased, unless keepCase, so that Anna@X.de and anna@x.de are one
// subject; every other id is the caller's own, and stays as it is. It allocates nothing for an id that is in form already.
func Door(id string, keepCase bool) (form string, usable bool) {
	if len(id) > MaxSubjectBytes || !utf8.ValidString(id) {
		return "", false
	}
	if !keepCase && strings.IndexByte(id, '@') >= 0 {
		if trimmed := strings.TrimSpace(id); isAddress(trimmed) {
			id = strings.ToLower(trimmed)
		}
	}
	return id, id != "" && len(id) <= MaxSubjectBytes
}

// isAddress reports whether a trimmed id is an e-mail address: one @ with something on both sides of it, and no space within. Which
// addresses exist is not the door's business: whatever looks like one is treated like one.
func isAddress(id string) bool {
	at := strings.IndexByte(id, '@')
	return at > 0 && at < len(id)-1 && strings.IndexByte(id[at+1:], '@') < 0 && strings.IndexFunc(id, unicode.IsSpace) < 0
}
