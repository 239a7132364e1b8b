package wire

import (
	"time"
	"unicode/utf8"
)

// Types of fields, as they stand in a tag below the number.
const (
	number = 0
	framed = 2 // a text, a message, or numbers that are packed, behind their length
)

// reader reads the fields of a message in its plain form. Whatever isn't so makes it odd, and then nothing that it read counts.
type reader struct {
	left string
	odd  bool
}

// more reports whether there is another field.
func (r *reader) more() bool { return len(r.left) > 0 && !r.odd }

// tag returns the next field's number times eight, and its type.
func (r *reader) tag() byte {
	tag := r.left[0]
	r.left = r.left[1:]
	return tag
}

func (r *reader) number() uint64 {
	var n uint64
	for i := 0; i < len(r.left) && i < 9; i++ {
		b := r.left[i]
		n |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			r.left = r.left[i+1:]
			return n
		}
	}
	if len(r.left) >= 10 && r.left[9] == 1 { // of a negative number
		n |= 1 << 63
		r.left = r.left[10:]
		return n
	}
	r.odd = true
	return 0
}

func (r *reader) bytes() string {
	n := r.number()
	if n > uint64(len(r.left)) {
		r.odd = true
		return ""
	}
	text := r.left[:n]
	r.left = r.left[n:]
	return text
}

func (r *reader) text() string {
	text := r.bytes()
	r.hold(utf8.ValidString(text))
	return text
}

// hold makes the reader odd unless something holds. What that is may read on.
func (r *reader) hold(holds bool) {
	if !holds {
		r.odd = true
	}
}

// once makes the reader odd if something was there before: of a message that comes twice, the second adds to the first.
func (r *reader) once(before bool) { r.hold(!before) }

// moment reads a google.protobuf.Timestamp or Duration.
func (r *reader) moment() (seconds int64, nanos int32) {
	m := reader{left: r.bytes()}
	for m.more() {
		switch m.tag() {
		case 1<<3 | number:
			seconds = int64(m.number()) //nolint:gosec // as the contract has it
		case 2<<3 | number:
			nanos = int32(m.number()) //nolint:gosec // likewise
		default:
			m.odd = true
		}
	}
	r.hold(!m.odd)
	return seconds, nanos
}

// duration reads a google.protobuf.Duration.
func (r *reader) duration() time.Duration {
	const most = 1 << 32 // in seconds: what is longer has a rule of its own
	seconds, nanos := r.moment()
	r.hold(seconds <= most && seconds >= -most)
	return time.Duration(seconds)*time.Second + time.Duration(nanos)
}
