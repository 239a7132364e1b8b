package server

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

const (
	// maxBatch is how many changes are copied out at once: 64 KiB.
	maxBatch = 8192
	// maxPings is how many pings of a stream may be unanswered.
	maxPings = 16
	// sendPatience is how many staleness bounds a message may wait for the reader. One that takes nothing for longer than a bound answers
	// STALE already.
	sendPatience = 2
)

// reader is who reads one stream of changes.
//
// What it holds when a pong is there has to be at least as new as the pong says. So the proof of freshness and the head are loaded first
// (State.View, in that order), then everything up to that head is sent, then the pong. And a pong's age counts until the ping came, which
// was after the reader noted its time.
type reader struct {
	service  *watchService
	stream   watchStream
	ctx      context.Context
	names    map[string]bool // of the tenants wanted; nil for all
	numbers  map[uint32]bool // of those that there are
	numbered uint64          // the position up to which those are known
	at       consent.Revision
	caughtUp bool
	sequence uint64
	subjects []consent.Touched // space
	buckets  []uint32          // space

	pings      chan ping // with room for all that may be unanswered
	unanswered atomic.Int64

	sending *time.Timer
	stuck   chan struct{} // holds one when a message can't be sent
}

// ping is one that came, and what is known of the state once it may be answered.
type ping struct {
	id   uint64
	came time.Time
	view *consent.View // if it is known already
	err  error
}

func (s *watchService) newReader(stream watchStream, start *consentv1.WatchStart) (*reader, error) {
	switch {
	case start == nil:
		return nil, invalid("start", "it is missing: the first message says what is wanted")
	case start.GetEpoch() == 0 && start.GetPosition() != 0:
		return nil, invalid("start.epoch", "it is missing: a position counts in an epoch")
	}
	r := &reader{
		service: s, stream: stream, ctx: stream.Context(), pings: make(chan ping, maxPings), stuck: make(chan struct{}, 1),
		at: consent.Revision{Epoch: start.GetEpoch(), Index: start.GetPosition()},
	}
	for _, name := range start.GetTenants() {
		if name, err := tenantName(name); err == nil {
			r.want(name)
		} else {
			return nil, err
		}
	}
	r.sending = time.AfterFunc(time.Hour, func() { r.stuck <- struct{}{} }) // it ends the stream, so it isn't set again
	r.sending.Stop()
	return r, nil
}

// want adds a tenant to those wanted.
func (r *reader) want(name string) {
	if r.names == nil {
		r.names, r.numbers = map[string]bool{}, map[uint32]bool{}
	}
	r.names[name] = true
}

// hear takes pings until the reader is gone.
func (r *reader) hear() error {
	for {
		message, err := r.stream.Recv()
		if err != nil {
			return err
		}
		asked := message.GetPing()
		if asked == nil {
			return invalid("ping", "it is missing: after the first, every message is a ping")
		}
		if r.unanswered.Add(1) > maxPings {
			return invalid("ping", "more than %d are unanswered: wait for the pongs", maxPings)
		}
		p := ping{id: asked.GetId(), came: r.service.now()}
		if !asked.GetFull() {
			r.pings <- p
			continue
		}
		r.service.streams.Go(func() { r.pings <- r.proven(p) })
	}
}

// proven returns a ping once a proof that began after it came says that the state here is the newest, or none can be had.
func (r *reader) proven(p ping) ping {
	p.err = r.service.contain(r.ctx, func() error {
		view, err := r.service.state.View(r.ctx, consent.Consistency{Full: true})
		p.view = &view
		return err
	})
	return p
}

// tell sends what changes, and pongs.
func (r *reader) tell() error {
	if err := r.begin(); err != nil {
		return err
	}
	for {
		more, leave := r.service.watching.Beyond(r.at.Index)
		var err error
		select {
		case <-more:
			bugPause("pong before its changes")
			err = r.advance()
		case p := <-r.pings:
			err = r.answer(p)
		case <-r.ctx.Done():
			err = r.ctx.Err()
		}
		leave()
		if err != nil {
			return err
		}
	}
}

// begin brings the reader to where the state is now.
func (r *reader) begin() error {
	now, err := r.newest()
	switch {
	case err != nil:
		return err
	case r.at == consent.Revision{}:
		err = r.reset(consentv1.WatchResetReason_WATCH_RESET_REASON_START)
	case r.at.Epoch == now.To.Epoch:
		r.wanted(&now)
	}
	if err == nil {
		err = r.catchUp(now.To)
	}
	if err != nil {
		return err
	}
	r.caughtUp = true
	return r.send(&consentv1.WatchResponse{Message: &consentv1.WatchResponse_CaughtUp{CaughtUp: &consentv1.WatchCaughtUp{}}})
}

// catchUp sends what changed up to a revision that the state here has reached. If that is of an epoch which the reader isn't in, one of the
// two is over: then whatever the state is now will do.
func (r *reader) catchUp(to consent.Revision) error {
	if r.at.Epoch != to.Epoch {
		if err := r.advance(); err != nil {
			return err
		}
	}
	for r.at.Epoch == to.Epoch && r.at.Index < to.Index {
		if err := r.advance(); err != nil {
			return err
		}
	}
	return nil
}

// advance sends a batch of what changed since, if anything did.
func (r *reader) advance() error {
	changes, err := r.service.watching.Changes(r.at, maxBatch, r.subjects)
	switch {
	case errors.Is(err, consent.ErrEpoch):
		return r.reset(consentv1.WatchResetReason_WATCH_RESET_REASON_EPOCH)
	case errors.Is(err, consent.ErrOverrun) && r.caughtUp:
		return errSlowReader
	case errors.Is(err, consent.ErrPositionGone):
		return r.reset(consentv1.WatchResetReason_WATCH_RESET_REASON_POSITION_GONE)
	case err != nil, changes.To == r.at:
		return err
	}
	if r.subjects = changes.Subjects; cap(r.subjects) > maxBatch {
		r.subjects = nil // of one huge entry
	}
	return r.sendChanges(&changes)
}

// answer sends a pong behind all that it is about.
func (r *reader) answer(p ping) error {
	if p.view == nil {
		view, err := r.service.state.View(r.ctx, consent.Consistency{})
		p.view, p.err = &view, err
	}
	pong := &consentv1.WatchPong{Id: p.id, Bound: durationpb.New(r.service.watching.ClusterBound())}
	if p.err == nil && p.view.Head != nil {
		if !bug("pong before its changes") {
			if err := r.catchUp(p.view.Revision); err != nil {
				return err
			}
		}
		age, _ := p.view.Age(p.came)
		pong.Age = durationpb.New(max(age, 0)) // a proof of after the ping says no more to who asked then
	}
	pong.Position = r.at.Index
	r.unanswered.Add(-1)
	return r.send(&consentv1.WatchResponse{Message: &consentv1.WatchResponse_Pong{Pong: pong}})
}

// send sends the next message. One that the reader doesn't take in time ends the stream.
func (r *reader) send(m *consentv1.WatchResponse) error {
	r.sequence++
	m.Sequence = r.sequence
	r.sending.Reset(sendPatience * r.service.watching.ClusterBound())
	defer r.sending.Stop()
	return r.stream.Send(m)
}
