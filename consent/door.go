package consent

import (
	"encoding/binary"
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
	if isPlain(id) {
		return id, id != "" && len(id) <= MaxSubjectBytes
	}
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

// isPlain reports whether an id is of ASCII without spaces, control characters and capital letters: in form whatever it is. Almost all are, so
// this is asked first, of eight bytes at a time.
func isPlain(id string) bool {
	for ; len(id) >= 8; id = id[8:] {
		if !plainWord(binary.LittleEndian.Uint64([]byte(id[:8]))) {
			return false
		}
	}
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}

// plainWord is isPlain for eight bytes. Where all are below 0x80, adding what lacks to 0x80 sets the highest bit of those that are not below a
// bound, and carries into no other byte.
func plainWord(w uint64) bool {
	const (
		each    = 0x0101010101010101
		highest = 0x80 * each
	)
	visible := w + (0x80-'!')*each
	fromA, beyondZ := w+(0x80-'A')*each, w+(0x80-'Z'-1)*each
	return (w|^visible|fromA&^beyondZ)&highest == 0
}

// isAddress reports whether a trimmed id is an e-mail address: one @ with something on both sides of it, and no space within. Which
// addresses exist is not the door's business: whatever looks like one is treated like one.
func isAddress(id string) bool {
	at := strings.IndexByte(id, '@')
	return at > 0 && at < len(id)-1 && strings.IndexByte(id[at+1:], '@') < 0 && strings.IndexFunc(id, unicode.IsSpace) < 0
}
