package cache

import (
	"slices"

	"github.com/consentd/consentd/consent"
)

// entry is the record of one subject exactly as of a position, in words without pointers, so that the garbage collector passes over it:
//
//	word 0   the second word of the subject's key, exclusive-or the epoch
//	word 1   position 44 | bucket 20
//	the rest is the record; none for a subject of whom nothing is known
//
// Word 0 is equal for one subject only within one epoch, and for two subjects as rarely as the words of their keys are. An entry is never
// written to once it is made. A nil entry is none.
type entry []uint64

const (
	entryHeader = 2
	bucketBits  = 20
	maxPosition = 1<<(64-bucketBits) - 1

	_ = uint(1<<bucketBits - consent.Buckets) // every bucket fits
)

// newEntry returns what was filled as an entry whose capacity is all the memory that it takes.
func newEntry(k key, f Filled) entry {
	e := slices.Grow(entry(nil), entryHeader+len(f.Record))
	e = append(e, k.check(f.Revision.Epoch), f.Revision.Index<<bucketBits|uint64(f.Bucket))
	return append(e, f.Record...)
}

// bytes returns how much memory the entry itself takes.
func (e entry) bytes() int64 { return 8 * int64(cap(e)) }

// isOf reports whether it is the entry of that subject in that epoch.
func (e entry) isOf(k key, epoch uint64) bool { return len(e) >= entryHeader && e[0] == k.check(epoch) }

func (e entry) position() uint64 { return e[1] >> bucketBits }
func (e entry) bucket() uint32   { return uint32(e[1] & (1<<bucketBits - 1)) }

// record returns the entry's record, nil if it is empty. Its words belong to the entry.
func (e entry) record() consent.Record {
	if len(e) == entryHeader {
		return nil
	}
	return consent.Record(e[entryHeader:len(e):len(e)])
}

// replaces reports whether an entry may take another one's place under the same key: not if it is an older one of the same subject.
func (e entry) replaces(held entry) bool { return e[0] != held[0] || e.position() >= held.position() }
