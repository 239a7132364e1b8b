package cluster

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/consentd/consentd/store"
	"github.com/hashicorp/raft"
)

// leadership is that of this replica in one Raft term, once it has applied a command of its own in it.
type leadership struct{ term uint64 }

// reign is who leads as far as is known here, for as long as that stays so. Nobody does while neither is set: an election is on, or this
// replica has won one and hasn't begun its term yet.
type reign struct {
	here  *leadership     // of this replica
	there Peer            // another replica, if it has an id
	last  bool            // the node is being closed
	ended context.Context // ends with it
	end   context.CancelFunc
}

func newReign(here *leadership, there Peer) *reign {
	r := &reign{here: here, there: there}
	r.ended, r.end = context.WithCancel(context.Background())
	return r
}

// elsewhere reports whether another replica leads.
func (r *reign) elsewhere() bool { return r.there.ID != "" }

// vacant reports whether nobody leads.
func (r *reign) vacant() bool { return r.here == nil && !r.elsewhere() }

// during returns a context that ends with the reign too.
func (r *reign) during(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(r.ended, cancel)
	return ctx, func() { stop(); cancel() }
}

// leader follows Raft's notices of leadership won and lost, and begins each term with a command. Only then is everything that earlier
// leaders acknowledged applied here: Raft's own first entry, a noop, never reaches the state machine.
type leader struct {
	notices   chan bool             // from Raft, which waits until it is read
	heard     chan raft.Observation // says that elsewhere may have changed; holds one
	elsewhere func() Peer           // the other replica that Raft takes for the leader, or none
	term      func() (uint64, error)
	apply     func(entry []byte) raft.ApplyFuture
	clock     *stamper
	start     store.TermStart // but for its term and epoch
	began     func()          // called when a reign begins in which somebody leads
	report    func(error)
	reign     atomic.Pointer[reign] // never nil once the leader is made
	starts    sync.WaitGroup        // term starts on their way
	changes   atomic.Uint64         // reigns in which somebody led
	log       *slog.Logger
}

// newLeader returns one that knows of nobody who leads. Its fields are still to be set.
func newLeader() *leader {
	l := &leader{heard: make(chan raft.Observation, 1), log: slog.New(slog.DiscardHandler)}
	l.reign.Store(newReign(nil, Peer{}))
	return l
}

// termStart is the outcome of one, in the order of the notices.
type termStart struct {
	notice int
	term   uint64
	err    error
}

// run follows who leads until stop is closed. It returns when Raft has answered all term starts.
func (l *leader) run(stop <-chan struct{}) {
	defer l.starts.Wait()
	started := make(chan termStart, 1)
	notice, lead := 0, (*leadership)(nil)
	for {
		lead = l.follow(lead)
		select {
		case leading := <-l.notices:
			notice++
			lead = nil
			if leading {
				of := notice // the variable moves on
				l.starts.Go(func() { l.beginTerm(of, started, stop) })
			}
		case <-l.heard:
		case s := <-started:
			// Why a start failed needs no telling: either there is a newer notice, or it was reported.
			if s.err == nil && s.notice == notice {
				lead = &leadership{term: s.term}
			}
		case <-stop:
			last := newReign(nil, Peer{})
			last.last = true
			l.proclaim(last)
			last.end()
			return
		}
	}
}

// follow makes it known who leads, if that has changed, and returns the leadership of this replica. It is over as soon as Raft has heard of
// another leader, be it before the notice.
func (l *leader) follow(lead *leadership) *leadership {
	there := l.elsewhere()
	if there.ID != "" {
		lead = nil
	}
	if now := l.reign.Load(); now.here != lead || now.there != there {
		l.proclaim(newReign(lead, there))
	}
	return lead
}

// proclaim begins a reign, and ends the one before.
func (l *leader) proclaim(next *reign) {
	l.reign.Swap(next).end()
	if !next.vacant() {
		l.changes.Add(1)
		l.began()
	}
	switch {
	case next.here != nil:
		l.log.Info("this replica leads", "term", next.here.term)
	case next.elsewhere():
		l.log.Info("another replica leads", "id", next.there.ID)
	case !next.last:
		l.log.Info("nobody leads, as far as is known here: nothing can be written")
	}
}

// startRetry is how long a term start that couldn't be proposed waits until it is tried again.
const startRetry = 50 * time.Millisecond

// beginTerm applies a term start and tells what came of it. Raft gives no new notice when the clock is set, or when a leadership transfer
// fails that was asked for before the term had begun. So it is tried until then, or until another leads.
func (l *leader) beginTerm(notice int, started chan<- termStart, stop <-chan struct{}) {
	if bug("lead before the term start is applied") {
		if term, err := l.term(); err == nil {
			started <- termStart{notice, term, nil}
		}
	}
	term, err := l.propose()
	for errors.Is(err, ErrClock) || errors.Is(err, raft.ErrLeadershipTransferInProgress) {
		select {
		case <-time.After(startRetry):
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
	start := l.start
	start.Term, start.Epoch = term, randomEpoch()
	results, err := resultsOf(l.apply(store.EncodeEntry(stamp, []store.Command{{TermStart: &start}})), 1)
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

// randomEpoch returns the number that the cluster is to be told by, if it has none yet. It isn't 0, which stands for none.
func randomEpoch() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:]) | 1
}
