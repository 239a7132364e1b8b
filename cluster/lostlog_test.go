package cluster

import (
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// wantLostLog opens a node and expects to be told that it has lost its log, now and at the next start.
func wantLostLog(t *testing.T, o Options, says string) {
	t.Helper()
	for range 2 {
		n, err := Open(t.Context(), o)
		if err == nil {
			closeNode(t, n)
			t.Fatal("the node has started without its log")
		}
		for _, part := range []string{says, "must not go on under its old name", repair} {
			if !errors.Is(err, ErrDataDir) || !strings.Contains(err.Error(), part) {
				t.Errorf("%v, want %v with %q", err, ErrDataDir, part)
			}
		}
	}
}

// The power loss takes what of the ledger wasn't synced, so that what was acknowledged since the snapshot was in the log alone.
func TestLogLostAfterPowerLoss(t *testing.T) {
	fs := vfs.NewCrashableMem()
	o := memoryOptions(t, fs)
	o.tuning.trailingLogs = 1
	n := openNode(t, o)
	mustWrite(t, n, grant(t, "anna"))
	takeSnapshot(t, n)
	for range 5 {
		mustWrite(t, n, grant(t, "bert"))
	}
	after := fs.CrashClone(vfs.CrashCloneCfg{})
	closeNode(t, n)
	if err := after.RemoveAll("data/" + logDir); err != nil {
		t.Fatal(err)
	}
	o.FS = after
	wantLostLog(t, o, "log is gone")
}

// An older copy of the log was put back, or a part of it is lost.
func TestOlderLog(t *testing.T) {
	tests := []struct {
		name   string
		damage func(*logStore) error
		says   string
	}{
		{"no term", func(s *logStore) error { return s.Set(currentTermKey, nil) }, "log is gone"},
		{"a term before the last entry's", func(s *logStore) error { return s.SetUint64(currentTermKey, 1) }, "knows of term 1"},
		{"a term before the snapshot's", func(s *logStore) error {
			return errors.Join(s.SetUint64(currentTermKey, 1), s.DeleteRange(s.first, s.last))
		}, "knows of term 1"},
		{"the end of the log", func(s *logStore) error { return s.DeleteRange(s.first, s.last) }, "it ends at 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fs := vfs.NewMem()
			o := memoryOptions(t, fs)
			leaveBehind(t, o)
			logs, err := openLogStore(fs, "data/"+logDir, quiet{}, func(error) {})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(tt.damage(logs), logs.Close()); err != nil {
				t.Fatal(err)
			}
			wantLostLog(t, o, tt.says)
		})
	}
}
