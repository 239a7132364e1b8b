package store

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// Pebble tries a failed flush again and again, and tells only its listener. Without the word from Failed, a replica would go on until its
// memory is full, and none of it would become durable.
func TestFailedFlushIsTold(t *testing.T) {
	injected := errors.New("injected: the disk is broken")
	var broken atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && strings.HasSuffix(op.Path, ".sst") && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return injected
		}
		return nil
	}))
	f := newFeeder(t, openStore(t, Options{FS: fs}))
	f.write(nthKey(1), granted(0, "newsletter/email"))
	broken.Store(true)
	flushed, err := f.store.state.Load().ledger.db.AsyncFlush()
	if err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-f.store.Failed():
		if !errors.Is(err, injected) {
			t.Errorf("%v, want what the disk said", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("waited 10s to be told of the failed flush")
	}
	broken.Store(false) // so that the store can be closed
	<-flushed
}
