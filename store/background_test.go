package store

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
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

// A ledger whose flushes fail is closed all the same, whether they fail first while it is open or by the closing, and it is said once.
func TestCloseAfterFailedFlush(t *testing.T) {
	for _, early := range []bool{true, false} {
		t.Run(fmt.Sprintf("failed before: %t", early), func(t *testing.T) {
			injected := errors.New("injected: the disk is broken")
			var broken atomic.Bool
			fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
				if broken.Load() && strings.HasSuffix(op.Path, ".sst") && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
					return injected
				}
				return nil
			}))
			var said lines
			s, err := Open(Options{FS: fs, Logger: slog.New(slog.NewTextHandler(&said, nil))})
			if err != nil {
				t.Fatal(err)
			}
			newFeeder(t, s).write(nthKey(1), granted(0, "newsletter/email"))
			broken.Store(true)
			if early {
				if _, err := s.state.Load().ledger.db.AsyncFlush(); err != nil {
					t.Fatal(err)
				}
				<-s.failure.happened
			}
			closed := make(chan error, 1)
			go func() { closed <- s.Close() }()
			select {
			case err := <-closed:
				if !early && !errors.Is(err, injected) {
					t.Errorf("Close = %v, want what the disk said", err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("waited 10s for the store to close")
			}
			if n := said.count("the store failed"); n != 1 {
				t.Errorf("it was said %d times that the store failed, want once", n)
			}
		})
	}
}

// lines is what a log writes.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}
