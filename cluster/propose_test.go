package cluster

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/store"
	"github.com/hashicorp/raft"
)

// flight is an entry that the test answers.
type flight struct {
	entry    []byte
	answered chan struct{}
	response any
	err      error
}

func newFlight(entry []byte) *flight { return &flight{entry: entry, answered: make(chan struct{})} }

func (f *flight) Error() error {
	<-f.answered
	return f.err
}
func (f *flight) Response() any { return f.response }
func (f *flight) Index() uint64 { return 1 }

func (f *flight) answer(response any, err error) {
	f.response, f.err = response, err
	close(f.answered)
}

// testProposer runs a proposer whose entries the test answers.
func testProposer(t *testing.T, maxWaiting int) (*proposer, <-chan *flight) {
	t.Helper()
	flights := make(chan *flight, 100)
	apply := func(entry []byte) raft.ApplyFuture {
		f := newFlight(entry)
		flights <- f
		return f
	}
	clock := testStamper(time.Now)
	p := newProposer(apply, clock, maxWaiting)
	ended := make(chan struct{})
	go func() { p.run(); close(ended) }()
	t.Cleanup(func() { p.close(); <-ended })
	return p, flights
}

// aPolicy is a command that takes about some bytes.
func aPolicy(bytes int) []byte {
	return store.EncodeCommand(store.Command{Policy: &store.PolicyCommand{Tenant: "shop", Document: make([]byte, bytes)}})
}

// settle lets the proposer keep pace with the clock, and waits until everything stands still.
func settle() {
	<-time.After(10 * time.Millisecond)
	synctest.Wait()
}

func TestCommandsOfAFullFlightShareTheNextEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, flights := testProposer(t, 1000)
		propose := func() { p.send(t.Context(), aPolicy(1)) }
		for range maxEntries {
			go propose()
			settle()
		}
		for range 100 { // while the disk is busy with those
			go propose()
		}
		settle()
		if got := p.flights.Load(); got != maxEntries {
			t.Fatalf("%d entries are on their way, want %d", got, maxEntries)
		}
		for range maxEntries {
			(<-flights).answer(make([]store.Result, 1), nil)
		}
		settle()
		(<-flights).answer(make([]store.Result, 100), nil)
		settle()
		if entries, commands := p.flights.Load(), p.commands.Load(); entries != maxEntries+1 || commands != maxEntries+100 {
			t.Errorf("%d commands went in %d entries, want %d in %d", commands, entries, maxEntries+100, maxEntries+1)
		}
	})
}

func TestEntriesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, flights := testProposer(t, 10_000)
		var waiting sync.WaitGroup
		done := make(chan struct{})
		defer close(done)
		go func() {
			for {
				select {
				case f := <-flights:
					f.answer(nil, raft.ErrLeadershipLost)
				case <-done:
					return
				}
			}
		}()
		for range 20 {
			waiting.Go(func() { p.send(t.Context(), aPolicy(300_000)) })
		}
		waiting.Wait()
		if entries := p.flights.Load(); entries < 20/4 {
			t.Errorf("20 commands of 300 kB went in %d entries, but no entry may be much over 1 MiB", entries)
		}
		if left := p.waitingBytes.Load(); left != 0 {
			t.Errorf("%d bytes are accounted as waiting, and nothing waits", left)
		}
	})
}

func TestOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, flights := testProposer(t, 5)
		outcomes := make(chan error, 100)
		propose := func(bytes int) {
			_, err := p.send(t.Context(), aPolicy(bytes))
			outcomes <- err
		}
		for range maxEntries + 1 { // the last one is in the proposer's hand
			go propose(1)
			settle()
		}
		for range 5 {
			go propose(1)
		}
		settle()
		propose(1)
		if err := <-outcomes; !errors.Is(err, consent.ErrOverloaded) {
			t.Errorf("with a full queue: %v", err)
		}
		for range maxEntries {
			(<-flights).answer(make([]store.Result, 1), nil)
		}
		settle()
		propose(maxWaitingBytes)
		for range maxEntries { // of the writes that were answered
			<-outcomes
		}
		if err := <-outcomes; !errors.Is(err, consent.ErrOverloaded) {
			t.Errorf("with too many bytes: %v", err)
		}
		(<-flights).answer(make([]store.Result, 6), nil)
	})
}

func TestContextOfAProposal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, flights := testProposer(t, 100)
		outcomes := make(chan error, 100)
		propose := func(ctx context.Context) {
			_, err := p.send(ctx, aPolicy(1))
			outcomes <- err
		}
		want := func(when string, wanted, cause error) {
			t.Helper()
			if err := <-outcomes; !errors.Is(err, wanted) || !errors.Is(err, cause) {
				t.Errorf("%s: %v, want %v because of %v", when, err, wanted, cause)
			}
		}
		gone, leave := context.WithCancel(t.Context())
		leave()
		propose(gone)
		want("before waiting", consent.ErrNotWritten, context.Canceled)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go propose(ctx)
		settle()
		<-ctx.Done()
		want("on its way", consent.ErrOutcomeUnknown, context.DeadlineExceeded)

		for range maxEntries - 1 {
			go propose(t.Context())
			settle()
		}
		go propose(t.Context()) // in the proposer's hand, waiting for a slot
		settle()
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go propose(ctx)
		settle()
		<-ctx.Done()
		want("in the queue", consent.ErrNotWritten, context.DeadlineExceeded)
		for range maxEntries {
			(<-flights).answer(make([]store.Result, 1), nil)
		}
		settle()
		if got := p.commands.Load(); got != maxEntries+1 {
			t.Errorf("%d commands were proposed, want %d without the one that gave up", got, maxEntries+1)
		}
		(<-flights).answer(make([]store.Result, 1), nil)
	})
}

func TestOutcomes(t *testing.T) {
	disk := errors.New("disk")
	tests := []struct {
		name     string
		response any
		err      error
		want     error
	}{
		{"applied", []store.Result{{Stamp: 5}}, nil, nil},
		{"never was the leader", nil, raft.ErrNotLeader, consent.ErrNotWritten},
		{"leadership is being handed over", nil, raft.ErrLeadershipTransferInProgress, consent.ErrNotWritten},
		{"never started", nil, raft.ErrEnqueueTimeout, consent.ErrNotWritten},
		{"leadership lost on the way", nil, raft.ErrLeadershipLost, consent.ErrOutcomeUnknown},
		{"shut down on the way", nil, raft.ErrRaftShutdown, consent.ErrOutcomeUnknown},
		{"aborted by a restore", nil, raft.ErrAbortedByRestore, consent.ErrOutcomeUnknown},
		{"the log failed", nil, disk, consent.ErrOutcomeUnknown},
		{"the state machine stopped", errStopped, nil, consent.ErrOutcomeUnknown},
		{"skipped by the state machine", []store.Result(nil), nil, consent.ErrOutcomeUnknown},
		{"no answer at all", nil, nil, consent.ErrOutcomeUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFlight(nil)
			f.answer(tt.response, tt.err)
			results, err := resultsOf(f, 1)
			if !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if err == nil && results[0].Stamp != 5 {
				t.Errorf("results %+v", results)
			}
			if errors.Is(err, consent.ErrNotWritten) && errors.Is(err, consent.ErrOutcomeUnknown) {
				t.Errorf("%v is both certain and unknown", err)
			}
		})
	}
}

func TestProposerCloses(t *testing.T) {
	flights := make(chan *flight, 10)
	p := newProposer(func(entry []byte) raft.ApplyFuture {
		f := newFlight(entry)
		f.answer(make([]store.Result, 1), nil)
		flights <- f
		return f
	}, testStamper(time.Now), 10)
	outcome := make(chan error, 1)
	go func() {
		_, err := p.send(context.Background(), aPolicy(1))
		outcome <- err
	}()
	waitFor(t, "the command to wait", func() bool { return len(p.queue) == 1 })
	p.close()
	if _, err := p.send(t.Context(), aPolicy(1)); !errors.Is(err, consent.ErrNotWritten) {
		t.Errorf("after close: %v", err)
	}
	p.run() // what waited still goes
	if err := <-outcome; err != nil {
		t.Errorf("what waited: %v", err)
	}
}

// Many writers at once share entries.
func TestWritersShareEntries(t *testing.T) {
	n := openNode(t, Options{DataDir: filepath.Join(t.TempDir(), "data"), tuning: quick})
	const writers, each = 100, 10
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for range each {
				if _, err := n.Write(t.Context(), grant(t, fmt.Sprint(w))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	s := n.Stats()
	if s.Commands != writers*each {
		t.Errorf("%d commands, want %d", s.Commands, writers*each)
	}
	if s.Entries > s.Commands/5 {
		t.Errorf("%d commands took %d entries", s.Commands, s.Entries)
	}
	t.Logf("%d commands in %d entries", s.Commands, s.Entries)
}

func BenchmarkWrite(b *testing.B) {
	for _, writers := range []int{2, 16, 256} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			n := openNode(b, Options{DataDir: filepath.Join(b.TempDir(), "data"), FS: vfs.Default, tuning: quick})
			before := n.Stats()
			b.SetParallelism(max(1, writers/runtime.GOMAXPROCS(0)))
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := n.Write(context.Background(), grant(b, "anna")); err != nil {
						b.Error(err)
					}
				}
			})
			s := n.Stats()
			b.ReportMetric(float64(s.Commands-before.Commands)/float64(s.Entries-before.Entries), "writes/entry")
		})
	}
}
