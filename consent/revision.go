package consent

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrRevision is returned when a text isn't a revision that consentd gave out.
var ErrRevision = errors.New("not a revision of consentd: pass one on exactly as a reply gave it")

// Revision is what a decision or a write stands at: the Raft index, and the incarnation of the cluster that it counts in. The zero
// Revision is before everything.
type Revision struct {
	Epoch uint64
	Index uint64
}

const revisionBytes = 17 // a format byte, and two numbers

// String returns the token that callers carry, opaque to them: 23 characters, safe in URLs. It is empty for the zero Revision.
func (r Revision) String() string {
	if r == (Revision{}) {
		return ""
	}
	var raw [revisionBytes]byte
	raw[0] = 1
	binary.BigEndian.PutUint64(raw[1:], r.Epoch)
	binary.BigEndian.PutUint64(raw[9:], r.Index)
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

// ParseRevision returns the revision of a token, the zero Revision for an empty one, or ErrRevision.
func ParseRevision(token string) (Revision, error) {
	if token == "" {
		return Revision{}, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	// Decoding passes over line breaks, so the length of what was decoded doesn't say that of the token.
	if err != nil || len(token) != base64.RawURLEncoding.EncodedLen(revisionBytes) || len(raw) != revisionBytes || raw[0] != 1 {
		return Revision{}, fmt.Errorf("%q is %w", token, ErrRevision)
	}
	return Revision{binary.BigEndian.Uint64(raw[1:]), binary.BigEndian.Uint64(raw[9:])}, nil
}
