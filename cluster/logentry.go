package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/hashicorp/raft"
)

// errDamagedEntry is returned when an entry of the log isn't what was written. Going on past it would make replicas differ.
var errDamagedEntry = errors.New("the log is damaged")

// An entry of the log on disk is
//
//	version, type: a byte each
//	term: uvarint
//	appended at: varint, nanoseconds since 1970, 0 for unknown
//	length of the extensions: uvarint
//	extensions, data
//	crc32c, little-endian, over the index (8 bytes, big-endian) and all the above
//
// Pebble checks its blocks. The checksum here also finds what was damaged in memory on its way, and an entry under another's index.
const (
	entryVersion  = 1
	checksumBytes = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendEntry appends what stands on disk for a log entry.
func appendEntry(dst []byte, l *raft.Log) []byte {
	start := len(dst)
	dst = append(dst, entryVersion, byte(l.Type))
	dst = binary.AppendUvarint(dst, l.Term)
	var at int64
	if !l.AppendedAt.IsZero() {
		at = l.AppendedAt.UnixNano()
	}
	dst = binary.AppendVarint(dst, at)
	dst = binary.AppendUvarint(dst, uint64(len(l.Extensions)))
	dst = append(dst, l.Extensions...)
	dst = append(dst, l.Data...)
	return binary.LittleEndian.AppendUint32(dst, entryChecksum(l.Index, dst[start:]))
}

// decodeEntry sets l to the entry of an index. Data and extensions of l share the bytes passed in.
func decodeEntry(index uint64, entry []byte, l *raft.Log) error {
	body, ok := checkedBody(index, entry)
	if !ok {
		return fmt.Errorf("entry %d fails its checksum: %w", index, errDamagedEntry)
	}
	r := fieldReader{rest: body}
	version, kind := r.byte(), r.byte()
	term, at, extensions := r.uvarint(), r.varint(), r.uvarint()
	if r.short || extensions > uint64(len(r.rest)) {
		return fmt.Errorf("entry %d ends too early: %w", index, errDamagedEntry)
	}
	if version != entryVersion {
		return fmt.Errorf("%w: entry %d of the log has format %d, and this version of consentd reads %d: run the version that wrote it",
			ErrDataDir, index, version, entryVersion)
	}
	*l = raft.Log{Index: index, Term: term, Type: raft.LogType(kind)}
	if extensions > 0 {
		l.Extensions = r.rest[:extensions:extensions]
	}
	if data := r.rest[extensions:]; len(data) > 0 {
		l.Data = data
	}
	if at != 0 {
		l.AppendedAt = time.Unix(0, at)
	}
	return nil
}

// checkedBody returns an entry without its checksum, if that is right.
func checkedBody(index uint64, entry []byte) ([]byte, bool) {
	if len(entry) < checksumBytes {
		return nil, false
	}
	body := entry[:len(entry)-checksumBytes]
	return body, entryChecksum(index, body) == binary.LittleEndian.Uint32(entry[len(body):])
}

func entryChecksum(index uint64, body []byte) uint32 {
	var at [8]byte
	binary.BigEndian.PutUint64(at[:], index)
	return crc32.Update(crc32.Checksum(at[:], castagnoli), castagnoli, body)
}

// fieldReader takes fields off the front of bytes, and remembers if there were too few.
type fieldReader struct {
	rest  []byte
	short bool
}

func (r *fieldReader) byte() byte {
	if len(r.rest) == 0 {
		r.short = true
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *fieldReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.short, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *fieldReader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.short, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}
