package wire

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// The functions below append a field to a message, and nothing for a value that is the field's default.

func appendNumber(b []byte, field byte, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(append(b, field<<3|number), n)
}

func appendText(b []byte, field byte, text string) []byte {
	if text == "" {
		return b
	}
	return appendItem(b, field, text)
}

// appendItem appends one of several texts, which may be empty.
func appendItem(b []byte, field byte, text string) []byte {
	return append(protowire.AppendVarint(append(b, field<<3|framed), uint64(len(text))), text...)
}

// appendMessage appends a message that is written by the generated code.
func appendMessage(b []byte, field byte, m proto.Message) ([]byte, error) {
	b, at := begin(b, field)
	b, err := proto.MarshalOptions{}.MarshalAppend(b, m)
	return end(b, at), err
}

func appendDuration(b []byte, field byte, d time.Duration) []byte {
	return appendMoment(b, field, int64(d/time.Second), int32(d%time.Second))
}

func appendMoment(b []byte, field byte, seconds int64, nanos int32) []byte {
	b, at := begin(b, field)
	b = appendNumber(b, 1, uint64(seconds))      //nolint:gosec // as the contract has it
	b = appendNumber(b, 2, uint64(int64(nanos))) //nolint:gosec // likewise
	return end(b, at)
}

// sizeOf returns how many bytes a field takes that has so many behind its tag and length.
func sizeOf(n int) int { return 1 + protowire.SizeVarint(uint64(n)) + n } //nolint:gosec // no length is negative

// begin begins a message within a message, whose bytes are appended then, until end.
func begin(b []byte, field byte) (grown []byte, at int) {
	b = append(b, field<<3|framed, 0)
	return b, len(b)
}

// end fills in the length of the message that begins there. Almost all of them need one byte for it.
func end(b []byte, at int) []byte {
	n := len(b) - at
	if n < 0x80 {
		b[at-1] = byte(n)
		return b
	}
	var length [8]byte
	size := len(protowire.AppendVarint(length[:0], uint64(n)))
	b = append(b, length[:size-1]...)
	copy(b[at-1+size:], b[at:at+n])
	protowire.AppendVarint(b[:at-1], uint64(n))
	return b
}
