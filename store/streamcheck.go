package store

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
)

// StreamCheck finds out whether what is written to it is a whole, unaltered stream of a snapshot, without reading its contents. So what
// came over a network is known to be one before anything relies on it.
type StreamCheck struct {
	sum   hash.Hash // of all but end
	begin []byte
	end   []byte // the last bytes, as many as the checksum has
}

// NewStreamCheck returns one that nothing was written to.
func NewStreamCheck() *StreamCheck { return &StreamCheck{sum: sha256.New()} }

// Write implements io.Writer. It never fails.
func (c *StreamCheck) Write(p []byte) (int, error) {
	if missing := len(snapshotMagic) - len(c.begin); missing > 0 {
		c.begin = append(c.begin, p[:min(missing, len(p))]...)
	}
	c.end = append(c.end, p...)
	if surplus := len(c.end) - sha256.Size; surplus > 0 {
		c.sum.Write(c.end[:surplus])
		c.end = c.end[:copy(c.end, c.end[surplus:])]
	}
	return len(p), nil
}

// Err returns nil if all that was written is a stream that this version reads, and otherwise ErrSnapshot.
func (c *StreamCheck) Err() error {
	switch {
	case !bytes.Equal(c.begin, []byte(snapshotMagic)):
		return fmt.Errorf("%w: %w", ErrSnapshot, notOurs(c.begin))
	case !bytes.Equal(c.sum.Sum(nil), c.end):
		return fmt.Errorf("%w: %w", ErrSnapshot, errors.New("its checksum doesn't fit"))
	}
	return nil
}

// notOurs says what is wrong with the beginning of a stream.
func notOurs(begin []byte) error {
	if bytes.HasPrefix(begin, []byte(snapshotTitle)) {
		return fmt.Errorf("%w (it begins with %q, and this version reads %q)", ErrFormat, begin, snapshotMagic)
	}
	return fmt.Errorf("it begins with %q, not with %q", begin, snapshotMagic)
}
