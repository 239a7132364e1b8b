package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// errDamagedWAL is returned for a file of the log's database in which something written and synced can't be read any more.
var errDamagedWAL = errors.New("the log's newest writes are damaged")

// Pebble writes to its own log first, a record for each of our commits, cut into chunks that don't cross blocks:
//
//	crc32c, rotated, over all from the type on: 4 bytes | length: 2 | type: 1 | number of the file: 4 | in newer types, synced up to: 8 | data
const (
	walBlock        = 32 << 10
	walHead         = 4 + 2 + 1 + 4
	walSyncHead     = walHead + 8
	walTypesPerForm = 4 // full, first, middle, last
	walMiddle       = 2 // before it stand those that begin a record
	walOldForm      = 5 // the first type of the form without the offset
	walSyncForm     = 9 // and of that with it

	walChecksumDelta = 0xa282ead8
)

// checkWAL returns an error if a file of Pebble's log has been damaged before its end.
//
// Pebble itself takes a damaged chunk for the end of the log, drops what follows, and says nothing: in its older form of chunks always,
// in the newer one within the last blocks (v2.1.7; the offsets that should tell lag behind). What is dropped so was acknowledged. We know
// more than Pebble does: the log store commits one record at a time and waits for the disk, so only the last record can be torn by a crash.
// A damaged chunk with the beginning of a record behind it is therefore no torn end. What can't be told from one is damage to the very
// last record, and a file that was cut off.
func checkWAL(fs vfs.FS, dir string) error {
	names, err := fs.List(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	logs, tables := 0, 0
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") {
			tables++
		}
		number, isLog := walNumber(name)
		if !isLog {
			continue
		}
		logs++
		path := fs.PathJoin(dir, name)
		contents, err := readFile(fs, path)
		if err != nil {
			return err
		}
		if at, damaged := walDamage(contents, number); damaged {
			return fmt.Errorf("%w: %s at byte %d, and there are later ones", errDamagedWAL, path, at)
		}
	}
	if tables > 0 && logs == 0 { // there is always one beside them
		return fmt.Errorf("%w: %s holds no .log file any more", errDamagedWAL, dir)
	}
	return nil
}

func walNumber(name string) (number uint32, ok bool) {
	digits, isLog := strings.CutSuffix(filepath.Base(name), ".log")
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), isLog && err == nil
}

// walDamage returns where a file's first chunk that can't be read is, and whether a record begins behind it.
func walDamage(file []byte, number uint32) (at int, damaged bool) {
	for at < len(file) {
		size, _ := walChunk(file, at, number)
		switch {
		case size > 0:
			at += size
		case walPadding(file, at):
			at = (at/walBlock + 1) * walBlock
		default:
			return at, walRecordBehind(file, at+1, number)
		}
	}
	return at, false
}

// walRecordBehind reports whether a record begins at or behind an offset.
func walRecordBehind(file []byte, from int, number uint32) bool {
	for at := from; at+walHead <= len(file); at++ {
		if binary.LittleEndian.Uint32(file[at+7:]) != number {
			continue
		}
		if size, begins := walChunk(file, at, number); size > 0 && begins {
			return true
		}
	}
	return false
}

// walChunk returns the size of the whole chunk at an offset, 0 if there is none, and whether a record begins with it.
func walChunk(file []byte, at int, number uint32) (size int, begins bool) {
	room := min(len(file), (at/walBlock+1)*walBlock) - at
	if room < walHead {
		return 0, false
	}
	chunk := file[at : at+room]
	form, head := int(chunk[6])-walOldForm, walHead
	if form >= walTypesPerForm {
		form, head = int(chunk[6])-walSyncForm, walSyncHead
	}
	size = head + int(binary.LittleEndian.Uint16(chunk[4:]))
	if form < 0 || form >= walTypesPerForm || size > room || binary.LittleEndian.Uint32(chunk[7:]) != number {
		return 0, false
	}
	sum := crc32.Checksum(chunk[6:size], castagnoli)
	if (sum>>15|sum<<17)+walChecksumDelta != binary.LittleEndian.Uint32(chunk) {
		return 0, false
	}
	return size, form < walMiddle
}

// walPadding reports whether what is left of a block is too small for another chunk, and empty.
func walPadding(file []byte, at int) bool {
	rest := file[at:min(len(file), (at/walBlock+1)*walBlock)]
	if len(rest) >= walSyncHead {
		return false
	}
	for _, b := range rest {
		if b != 0 {
			return false
		}
	}
	return true
}
