package cluster

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/consentd/consentd/store"
	"github.com/hashicorp/raft"
)

// leadership is that of this replica in one Raft term, once it has applied a command of its own in it.
type leadership struct{ term uint64 }

// leader follows Raft's notices of leadership won and lost, and begins each term with a command. Only then is everything that earlier
// leaders acknowledged applied here: Raft's own first entry, a noop, never reaches the state machine.
type leader struct {
	notices chan bool // from Raft, which waits until it is read
	term    func() (uint64, error)
	apply   func(entry []byte) raft.ApplyFuture
	clock   *stamper
	check   [16]byte // of the pseudonym key
	began   func()   // called when a leadership is ready to work
	report  func(error)
	current atomic.Pointer[leadership] // nil while another leads, or nobody
	starts  sync.WaitGroup             // term starts on their way
}

// termStart is the outcome of one, in the order of the notices.
type termStart struct {
	notice int
	term   uint64
	err    error
}

// run reads notices until stop is closed. It returns when Raft has answered all term starts.
func (l *leader) run(stop <-chan struct{}) {
	defer l.starts.Wait()
	started := make(chan termStart, 1)
	notice := 0
	for {
		select {
		case leading := <-l.notices:
			notice++
			l.current.Store(nil)
			if leading {
				l.starts.Go(func() { l.start(notice, started, stop) })
			}
		case s := <-started:
			l.begin(s, notice)
		case <-stop:
			l.current.Store(nil)
			return
		}
	}
}

// clockRetry is how long a term start waits for the clock to be set before it looks again.
const clockRetry = 250 * time.Millisecond

// start applies a term start and tells what came of it. Raft gives no new notice when the clock is set, so it is tried until then, or
// until another leads.
func (l *leader) start(notice int, started chan<- termStart, stop <-chan struct{}) {
	term, err := l.propose()
	for errors.Is(err, ErrClock) {
		select {
		case <-time.After(clockRetry):
			term, err = l.propose()
		case <-stop:
			return
		}
	}
	select {
	case started <- termStart{notice, term, err}:
	case <-stop:
	}
}

func (l *leader) propose() (term uint64, err error) {
	if term, err = l.term(); err != nil {
		l.report(fmt.Errorf("reading Raft's term: %w", err))
		return 0, err
	}
	stamp, err := l.clock.next()
	if err != nil {
		return 0, err
	}
	start := &store.TermStart{Term: term, CheckValue: l.check, Epoch: randomEpoch()}
	results, err := resultsOf(l.apply(store.EncodeEntry(stamp, []store.Command{{TermStart: start}})), 1)
	if err != nil {
		return 0, err
	}
	if err := results[0].Err; err != nil {
		err = fmt.Errorf("beginning term %d: %w", term, err)
		l.report(err)
		return 0, err
	}
	return term, nil
}

// begin makes a started term current, unless there was a newer notice meanwhile. Why a start failed needs no telling: either there is
// such a notice, or it was reported.
func (l *leader) begin(s termStart, newest int) {
	if s.err == nil && s.notice == newest {
		l.current.Store(&leadership{term: s.term})
		l.began()
	}
}

// randomEpoch returns the number that the cluster is to be told by, if it has none yet. It isn't 0, which stands for none.
func randomEpoch() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:]) | 1
}
