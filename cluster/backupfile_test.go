package cluster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"
	"time"

	"github.com/consentd/consentd/consent"
	"github.com/google/go-cmp/cmp"
)

var someHead = backupHead{
	madeAt: time.UnixMilli(1_800_000_000_123), epoch: 7, index: 1 << 40, keyCheck: [16]byte{1, 2}, clusterID: "0190-a cluster",
}

func TestBackupHeadRoundTrip(t *testing.T) {
	got, err := readBackupHead(bytes.NewReader(someHead.encode()))
	if diff := cmp.Diff(someHead, got, cmp.AllowUnexported(backupHead{})); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// FuzzReadBackupHead reads anything, also with a checksum that fits: without a panic, and so that what it takes is what it would write.
func FuzzReadBackupHead(f *testing.F) {
	f.Add(someHead.encode())
	f.Add([]byte(backupMagic))
	f.Add((&backupHead{}).encode())
	f.Fuzz(func(t *testing.T, text []byte) {
		sealed := binary.BigEndian.AppendUint32(bytes.Clone(text), crc32.Checksum(text, castagnoli))
		for _, file := range [][]byte{text, sealed} {
			head, err := readBackupHead(bytes.NewReader(file))
			if err != nil && !errors.Is(err, consent.ErrBackup) {
				t.Fatalf("%v, want %v", err, consent.ErrBackup)
			}
			if err == nil && !bytes.HasPrefix(file, head.encode()) {
				t.Fatalf("%x was read as %+v", file, head)
			}
		}
	})
}
