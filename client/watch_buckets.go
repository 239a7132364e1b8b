package client

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/consentd/consentd/consent"
)

var errBuckets = errors.New("the buckets of a change can't be read")

// appendBuckets appends what the buckets of a change stand for, ascending and each once, or returns errBuckets: whoever can't read which
// subjects changed can't tell which of them didn't.
func appendBuckets(dst []uint32, encoded []byte) ([]uint32, error) {
	bucket, first := uint64(0), true
	for at := 0; at < len(encoded); first = false {
		difference, n := binary.Uvarint(encoded[at:])
		switch {
		case n <= 0:
			return dst, fmt.Errorf("%w: no number begins at byte %d of %d", errBuckets, at, len(encoded))
		case difference == 0 && !first:
			return dst, fmt.Errorf("%w: one comes twice", errBuckets)
		case difference >= consent.Buckets || bucket+difference >= consent.Buckets:
			return dst, fmt.Errorf("%w: the last one there is is %d", errBuckets, consent.Buckets-1)
		}
		bucket += difference
		dst = append(dst, uint32(bucket))
		at += n
	}
	return dst, nil
}
