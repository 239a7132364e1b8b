package cache

import (
	"slices"
	"unsafe"

	"github.com/consentd/consentd/consent"
)

// entry is the record of one subject exactly as of a position: where its words begin, so that ristretto has no more than a pointer to hold. They
// have no pointers, so the garbage collector passes over them:
//
//	word 0   check 40 | spare words behind the record 8 | words 16
//	word 1   position 44 | bucket 20
//	the rest is the record; none for a subject of whom nothing is known
//
// The check is equal for one subject only within one epoch, and for two subjects as rarely as the words of their keys are. An entry is never
// written to once it is made. The zero entry is none.
type entry struct{ first *uint64 }

const (
	entryHeader = 2
	bucketBits  = 20
	maxPosition = 1<<(64-bucketBits) - 1

	lengthBits = 16
	spareBits  = 8
	maxRecord  = 1<<lengthBits - 1 - entryHeader // words
	maxSpare   = 1<<spareBits - 1
	checkShift = lengthBits + spareBits
	checkMask  = 1<<64 - 1<<checkShift

	_ = uint(1<<bucketBits - consent.Buckets) // every bucket fits
)

// newEntry returns what was filled as an entry. Its record is no longer than maxRecord.
func newEntry(k key, f Filled) entry {
	words := slices.Grow([]uint64(nil), entryHeader+len(f.Record))[:entryHeader]
	words = append(words, f.Record...)
	spare := min(cap(words)-len(words), maxSpare)
	words[0] = k.check(f.Revision.Epoch) | uint64(spare)<<lengthBits | uint64(len(words)) //nolint:gosec // neither is negative
	words[1] = f.Revision.Index<<bucketBits | uint64(f.Bucket)
	return entry{unsafe.SliceData(words)}
}

// check returns what tells the subject's entry of an epoch from all others under the key's place: the 40 low bits of the key's second word, of
// which the place has none, exclusive-or those of the epoch.
func (k key) check(epoch uint64) uint64 { return (k.second ^ epoch) << checkShift }

// words returns the entry's words. Their number stands in the first since they were allocated together.
func (e entry) words() []uint64 { return unsafe.Slice(e.first, *e.first&(1<<lengthBits-1)) }

// bytes returns how much memory the entry itself takes.
func (e entry) bytes() int64 {
	spare := *e.first >> lengthBits & maxSpare
	return 8 * int64(uint64(len(e.words()))+spare) //nolint:gosec // both are small
}

// isOf reports whether it is the entry of that subject in that epoch.
func (e entry) isOf(k key, epoch uint64) bool {
	return e.first != nil && *e.first&checkMask == k.check(epoch)
}

func (e entry) second() uint64   { return unsafe.Slice(e.first, entryHeader)[1] }
func (e entry) position() uint64 { return e.second() >> bucketBits }
func (e entry) bucket() uint32   { return uint32(e.second() & (1<<bucketBits - 1)) } //nolint:gosec // it fits

// record returns the entry's record, nil if it is empty. Its words belong to the entry.
func (e entry) record() consent.Record {
	words := e.words()
	if len(words) == entryHeader {
		return nil
	}
	return consent.Record(words[entryHeader:len(words):len(words)])
}

// replaces reports whether an entry may take another one's place under the same key: not if it is an older one of the same subject.
func (e entry) replaces(held entry) bool {
	return *e.first&checkMask != *held.first&checkMask || e.position() >= held.position()
}
