package cluster

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"time"

	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/store"
)

// A backup is a head and the stream of a snapshot of the store, which carries a checksum of its own:
//
//	magic, which ends with the version
//	made at, milliseconds since 1970; epoch; index: 8 bytes each, big-endian
//	check value of the pseudonym key: 16 bytes
//	cluster id: a length byte and the text
//	crc32c of all that, 4 bytes, big-endian
//
// What the head and the stream both say has to agree.
const (
	backupTitle = "consentd backup "
	backupMagic = backupTitle + "1\n"
)

// backupHead is what a backup says of itself.
type backupHead struct {
	madeAt       time.Time // in whole milliseconds
	epoch, index uint64
	keyCheck     [16]byte
	clusterID    string
}

func (h *backupHead) encode() []byte {
	dst := []byte(backupMagic)
	for _, n := range []uint64{uint64(h.madeAt.UnixMilli()), h.epoch, h.index} {
		dst = binary.BigEndian.AppendUint64(dst, n)
	}
	dst = append(dst, h.keyCheck[:]...)
	dst = append(append(dst, byte(len(h.clusterID))), h.clusterID...)
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst, castagnoli))
}

// readBackupHead takes the head off the front of a backup.
func readBackupHead(r io.Reader) (h backupHead, err error) {
	fixed := make([]byte, len(backupMagic)+3*8+16+1)
	magic := fixed[:len(backupMagic)]
	if _, err := io.ReadFull(r, magic); err != nil {
		return h, unusable(endOf(err))
	}
	switch {
	case string(magic[:len(backupTitle)]) != backupTitle:
		return h, unusable(fmt.Errorf("it begins with %q, and a backup of consentd with %q", magic, backupMagic))
	case string(magic) != backupMagic:
		return h, unusable(fmt.Errorf("it begins with %q, and this version of consentd reads %q: restore it with the version that made it",
			magic, backupMagic))
	}
	if _, err := io.ReadFull(r, fixed[len(backupMagic):]); err != nil {
		return h, unusable(endOf(err))
	}
	rest := make([]byte, int(fixed[len(fixed)-1])+checksumBytes)
	if _, err := io.ReadFull(r, rest); err != nil {
		return h, unusable(endOf(err))
	}
	whole := slices.Concat(fixed, rest)
	body := whole[:len(whole)-checksumBytes]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(whole[len(body):]) {
		return h, unusable(errors.New("its head is damaged: take another copy of it"))
	}
	in := body[len(backupMagic):]
	h.madeAt = time.UnixMilli(int64(binary.BigEndian.Uint64(in)))
	h.epoch, h.index = binary.BigEndian.Uint64(in[8:]), binary.BigEndian.Uint64(in[16:])
	h.keyCheck = [16]byte(in[24:])
	h.clusterID = string(in[24+16+1:])
	return h, nil
}

// endOf says of the end of a file that it came too soon.
func endOf(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("it is cut short: take another copy of it (%w)", io.ErrUnexpectedEOF)
	}
	return err
}

func unusable(cause error) error { return fmt.Errorf("%w: %w", consent.ErrBackup, cause) }

// BackupInfo is what a backup holds.
type BackupInfo struct {
	MadeAt    time.Time
	ClusterID string // of the cluster that it was made of
	Epoch     uint64
	Index     uint64
	KeyCheck  [16]byte // tells which pseudonym key its subjects are named with, and nothing else of the key
	Bytes     int64

	Tenants  []BackupTenant // sorted by name
	Subjects int
	Events   int // with the evidence that erasures left
	Policies int // versions, of all tenants
}

// BackupTenant is a tenant in a backup.
type BackupTenant struct {
	Name   string
	Policy int64 // the newest version; 0 for none
}

// Inspect reads a backup to its end, without a cluster, and returns what it holds. What it returns without an error is whole and
// unaltered, and can be restored by this version; otherwise it is consent.ErrBackup, or the error of the reader.
func Inspect(r io.Reader) (*BackupInfo, error) {
	info, _, err := inspect(r)
	return info, err
}

// inspect is Inspect, and returns the SHA-256 of the stream behind the head as well: of the very bytes that it has found whole.
func inspect(r io.Reader) (info *BackupInfo, stream [32]byte, err error) {
	counted := &countingReader{from: r}
	from := bufio.NewReaderSize(counted, 1<<16)
	head, err := readBackupHead(from)
	if err != nil {
		return nil, stream, counted.orElse(err)
	}
	sum := sha256.New()
	held, err := store.Inspect(io.TeeReader(from, sum))
	if err != nil {
		return nil, stream, counted.orElse(unusable(err))
	}
	if held.Index != head.index || held.Epoch != head.epoch || held.KeyCheck != head.keyCheck {
		return nil, stream, unusable(errors.New("its head is that of another backup: take another copy of it"))
	}
	info = &BackupInfo{
		MadeAt: head.madeAt, ClusterID: head.clusterID, Epoch: head.epoch, Index: head.index, KeyCheck: head.keyCheck,
		Bytes: counted.bytes, Subjects: held.Subjects, Events: held.Events, Policies: held.Policies,
	}
	for _, t := range held.Tenants {
		info.Tenants = append(info.Tenants, BackupTenant(t))
	}
	return info, [32]byte(sum.Sum(nil)), nil
}

// countingReader counts what is read, and keeps the error that reading ended with.
type countingReader struct {
	from  io.Reader
	bytes int64
	err   error
}

// Read implements io.Reader.
func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	r.bytes += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

// orElse returns the reader's own error, if it had one, since what could be read then says nothing of the backup.
func (r *countingReader) orElse(err error) error {
	if r.err != nil {
		return r.err
	}
	return err
}
