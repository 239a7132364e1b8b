package server

import (
	"context"
	"errors"
	"io"
	"math"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

// What a sidecar can't answer from memory it passes on to a replica, and hands back what that says, with the same status. Two things are
// added. A question is passed on with the revision that is reached here as the least that it may be answered at: or who asks twice could be
// answered from newer state first, and from older state then. And an answer has grown older on its way: its age is counted from before it
// was asked for, by the clock here, and what is past the bound of this process is STALE.

// question is a request that says how new its answer has to be.
type question interface {
	proto.Message
	GetConsistency() *consentv1.Consistency
}

// aged is a reply that says how old it is.
type aged interface {
	GetAge() *durationpb.Duration
}

// passQuestion fills in the reply of the upstream, which is at least as new as the state here.
func (c *core) passQuestion(ctx context.Context, method string, r question, reply proto.Message) error {
	view, err := c.view(ctx, r.GetConsistency())
	if err != nil {
		return err
	}
	return c.passAt(ctx, view, method, r, reply)
}

// passAt is the same from a view that meets the question's consistency already.
func (c *core) passAt(ctx context.Context, view consent.View, method string, r question, reply proto.Message) error {
	named := r.GetConsistency().GetAtLeast() != ""
	demand(r, c.token(view.Revision))
	return c.passFresh(ctx, view, named, reply, func(ctx context.Context) error { return c.ask(ctx, method, r, reply) })
}

// passFresh has the upstream asked, and makes of its reply one of this process. named says whether the caller has named a revision.
func (c *core) passFresh(ctx context.Context, view consent.View, named bool, reply proto.Message, ask func(context.Context) error) error {
	began := c.now()
	if _, fresh := view.Age(began); !fresh {
		return consent.ErrStale
	}
	asking := ctx
	if _, ok := reply.(aged); ok { // later it would be too old in any case
		var cancel context.CancelFunc
		asking, cancel = context.WithTimeout(ctx, view.Bound)
		defer cancel()
	}
	if err := ask(asking); err != nil {
		return ownError(ctx, err, named)
	}
	return c.reckon(reply, view.Bound, began)
}

// demand sets the least revision of a question. Requests are the handler's own.
func demand(r question, revision string) {
	message := r.ProtoReflect()
	field := message.Descriptor().Fields().ByName("consistency")
	message.Set(field, protoreflect.ValueOfMessage(noOlderThan(revision).ProtoReflect()))
}

func noOlderThan(revision string) *consentv1.Consistency {
	return &consentv1.Consistency{Requirement: &consentv1.Consistency_AtLeast{AtLeast: revision}}
}

// reckon makes a reply's age the one that it has here and now, and shortens for how long its answers may be kept. The state that it was
// made from was the newest no later than its age before it was asked for. It returns consent.ErrStale for what is older than the bound.
func (c *core) reckon(reply proto.Message, bound time.Duration, began time.Time) error {
	told, ok := reply.(aged)
	if !ok {
		return nil
	}
	now := c.now()
	view := consent.View{Head: new(consent.Head), FreshAsOf: began.Add(-told.GetAge().AsDuration()), Bound: bound}
	age, fresh := view.Age(now)
	if told.GetAge() == nil || !fresh {
		return consent.ErrStale
	}
	setDuration(told.GetAge(), age)
	shorten(reply, now.Sub(began), bound-age)
	return nil
}

// shorten takes the time that has passed from what answers may be kept for, which is no longer than what is left of the bound.
func shorten(reply proto.Message, passed, left time.Duration) {
	keep := func(told *durationpb.Duration) *durationpb.Duration {
		if kept := min(told.AsDuration()-passed, left); kept > 0 {
			return durationpb.New(kept)
		}
		return nil
	}
	each := func(results []*consentv1.CheckResult) {
		for _, result := range results {
			if answer := result.GetAnswer(); answer != nil {
				answer.CacheFor = keep(answer.CacheFor)
			}
		}
	}
	switch reply := reply.(type) {
	case *consentv1.CheckResponse:
		each(reply.GetResults())
	case *consentv1.BatchCheckResponse:
		for _, item := range reply.GetItems() {
			each(item.GetResults())
		}
	case *consentv1.CheckSegmentResponse:
		reply.CacheFor = keep(reply.CacheFor)
	case *consentv1.ExplainResponse:
		for _, explanation := range reply.GetExplanations() {
			if answer := explanation.GetAnswer(); answer != nil {
				answer.CacheFor = keep(answer.CacheFor)
			}
		}
	}
}

// ask calls a method of the upstream.
func (c *core) ask(ctx context.Context, method string, request, reply proto.Message) error {
	var other peer.Peer
	err := c.upstream.Invoke(ctx, method, request, reply, passedOptions(&other)...)
	return passedError(ctx, method, err, &other)
}

// passedOptions let replies be as large as a replica's own. The library fills in the other end of the call as soon as there is one to send
// it to.
func passedOptions(other *peer.Peer) []grpc.CallOption {
	return []grpc.CallOption{grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.Peer(other)}
}

// passChunk has the upstream decide a chunk of a segment. It gets a stream of its own, because the least revision is said once a stream.
func (s *segment) passChunk(
	ctx context.Context, view consent.View, chunk *consentv1.CheckSegmentRequest,
) (*consentv1.CheckSegmentResponse, error) {
	asked := proto.CloneOf(s.asked)
	asked.Consistency = noOlderThan(s.token(view.Revision))
	first := &consentv1.CheckSegmentRequest{Message: &consentv1.CheckSegmentRequest_Segment{Segment: asked}}
	reply := new(consentv1.CheckSegmentResponse)
	err := s.passFresh(ctx, view, s.asked.GetConsistency().GetAtLeast() != "", reply, func(ctx context.Context) error {
		var other peer.Peer
		err := askSegment(ctx, consentv1.NewPermissionServiceClient(s.upstream), reply, first, chunk, passedOptions(&other))
		return passedError(ctx, consentv1.PermissionService_CheckSegment_FullMethodName, err, &other)
	})
	return reply, err
}

// askSegment fills in the reply to one chunk.
func askSegment(
	ctx context.Context, client consentv1.PermissionServiceClient, reply, first, chunk proto.Message, o []grpc.CallOption,
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.CheckSegment(ctx, o...)
	if err != nil {
		return err
	}
	if err = stream.SendMsg(first); err == nil {
		err = stream.SendMsg(chunk)
	}
	if err != nil && !errors.Is(err, io.EOF) { // at its end, receiving tells why
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if err := stream.RecvMsg(reply); err != nil {
		return err
	}
	_, _ = stream.Recv() // the end, before which the replica would take the stream for one that was given up
	return nil
}
