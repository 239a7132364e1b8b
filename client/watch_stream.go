package client

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/grpc"
)

var (
	// errSilent ends a stream whose replica doesn't answer.
	errSilent = errors.New("the replica doesn't answer")
	// errUnproven ends a stream whose replica may answer, but has proven nothing for a while.
	errUnproven = errors.New("the replica hasn't proven for a while that its state is the newest")
)

// breather is the pause after a round that proved nothing, before the next.
const breather = 25 * time.Millisecond

// maxWatchBytes is how large a message of the stream may be: the documents of policies are in them.
const maxWatchBytes = 16 << 20

// stream is one change stream, which one goroutine reads and another writes to.
type stream struct {
	grpc   grpc.BidiStreamingClient[consentv1.WatchRequest, consentv1.WatchResponse]
	reader reader
	rounds *rounds
	bounds *bounds
	now    func() time.Time
	end    context.CancelCauseFunc
	idle   *time.Timer // ends the stream unless it is put off
}

// run opens the stream, and publishes what it says until it ends, which it always does with an error. Then nothing of it runs any more.
func (s *stream) run(ctx context.Context, rpc consentv1.WatchServiceClient) (err error) {
	ctx, s.end = context.WithCancelCause(ctx)
	s.idle = time.AfterFunc(s.bounds.unproven(), func() { s.end(errUnproven) })
	var writing sync.WaitGroup
	defer func() {
		s.end(err)
		s.idle.Stop()
		writing.Wait()
		s.reader.pings.end(err)
	}()
	if s.grpc, err = rpc.Watch(ctx, grpc.MaxCallRecvMsgSize(maxWatchBytes)); err == nil {
		err = s.start()
	}
	if err == nil {
		writing.Go(func() { s.ask(ctx) })
		err = s.read()
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// start says where to go on, or to begin anew if there is nothing to go on from.
func (s *stream) start() error {
	at := s.reader.cache.Reached()
	start := &consentv1.WatchStart{Tenants: s.reader.wanted, Epoch: at.Epoch, Position: at.Index}
	return s.grpc.Send(&consentv1.WatchRequest{Message: &consentv1.WatchRequest_Start{Start: start}})
}

// read publishes what comes, until something is wrong with it or nothing comes any more.
func (s *stream) read() error {
	for {
		m, err := s.grpc.Recv()
		if err != nil {
			return err
		}
		late, before, epoch := s.reader.hasCaughtUp(), s.reader.proven, s.reader.cache.Reached().Epoch
		if err := s.reader.take(m); err != nil {
			return err
		}
		if epoch != 0 && epoch != s.reader.cache.Reached().Epoch {
			s.rounds.wish() // what was proven of another epoch doesn't count in this one
		}
		// A large reset takes its time. Behind it nothing counts but proofs, and of those only what is worth something: a replica that is cut
		// off proves ever older states.
		patience := s.bounds.unproven()
		if !late || s.reader.proven != before && s.now().Sub(s.reader.proven) < patience {
			s.idle.Reset(patience)
		}
	}
}

// ask sends a ping whenever a proof is to be renewed, and one for each round, until the stream ends. No more than one of each waits for an
// answer.
func (s *stream) ask(ctx context.Context) {
	renew, rest := time.NewTimer(0), time.NewTimer(0)
	defer renew.Stop()
	defer rest.Stop()
	rest.Stop()
	var kick <-chan struct{} // nil while a round waits for its pong, and in the pause after one that failed
	caughtUp, begun := s.reader.caughtUp, &round{}
	for {
		var err error
		select {
		case <-renew.C:
			if renew.Reset(s.bounds.renew()); !s.reader.pings.ordinaryWaits() {
				err = s.ping(nil)
			}
		case <-caughtUp:
			caughtUp, kick = nil, s.rounds.kick
		case <-kick:
			begun, kick = s.rounds.begin(), nil
			err = s.ping(begun)
		case <-begun.done:
			if begun.err != nil {
				rest.Reset(breather)
			} else {
				kick = s.rounds.kick
			}
			begun = &round{}
		case <-rest.C:
			kick = s.rounds.kick
		case <-ctx.Done():
			return
		}
		if err != nil {
			return // the reader hears why
		}
	}
}

// ping asks how fresh the replica is, for those who wait for a round if it is for one.
func (s *stream) ping(r *round) error {
	out := &ping{sentAt: s.now(), round: r}
	s.reader.pings.send(out, s.patience(r), func() { s.end(errSilent) })
	return s.grpc.Send(&consentv1.WatchRequest{
		Message: &consentv1.WatchRequest_Ping{Ping: &consentv1.WatchPing{Id: out.id, Full: r != nil}},
	})
}

// patience is how long a pong is waited for, 0 for as long as the stream lasts: before it has caught up, pongs come behind everything else.
// To prove its state anew, or to give up, a replica needs no longer than the bound.
func (s *stream) patience(r *round) time.Duration {
	switch {
	case !s.reader.hasCaughtUp():
		return 0
	case r != nil:
		return s.bounds.silent() + cmp.Or(s.bounds.all(), assumedBound)
	default:
		return s.bounds.silent()
	}
}
