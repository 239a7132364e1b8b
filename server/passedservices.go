package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// passedServices are those that a sidecar passes on whole. They are registered from their descriptors under their own names, so that
// reflection, health and metrics are those of a replica.
var passedServices = []*grpc.ServiceDesc{
	&consentv1.RecordService_ServiceDesc, &consentv1.PolicyService_ServiceDesc, &consentv1.ClusterService_ServiceDesc,
	&consentv1.WatchService_ServiceDesc,
}

// passedMethod is a method whose calls are passed on.
type passedMethod struct {
	*core
	name           string // with its service
	desc           *grpc.StreamDesc
	request, reply protoreflect.MessageType
}

// registerPassed registers the services that are passed on. How long they take is the replicas' business: they tell of what is slow.
func (c *core) registerPassed(to grpc.ServiceRegistrar, untimed map[string]bool) error {
	for _, service := range passedServices {
		desc, err := c.passedService(service)
		if err != nil {
			return fmt.Errorf("server: describing %s: %w", service.ServiceName, err)
		}
		to.RegisterService(desc, nil)
		untimed[desc.ServiceName] = true
	}
	return nil
}

// passedService describes a service like another one, whose methods are passed on.
func (c *core) passedService(like *grpc.ServiceDesc) (*grpc.ServiceDesc, error) {
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(like.ServiceName))
	if err != nil {
		return nil, err
	}
	methods := found.(protoreflect.ServiceDescriptor).Methods() //nolint:errcheck // a service's name is no other thing's
	passed := &grpc.ServiceDesc{ServiceName: like.ServiceName, Metadata: like.Metadata}
	for i := range methods.Len() {
		m, err := c.passedMethod(like.ServiceName, methods.Get(i))
		if err != nil {
			return nil, err
		}
		if m.desc.ClientStreams || m.desc.ServerStreams {
			passed.Streams = append(passed.Streams, *m.desc)
		} else {
			passed.Methods = append(passed.Methods, grpc.MethodDesc{MethodName: m.desc.StreamName, Handler: m.handle})
		}
	}
	return passed, nil
}

func (c *core) passedMethod(service string, method protoreflect.MethodDescriptor) (*passedMethod, error) {
	request, err := protoregistry.GlobalTypes.FindMessageByName(method.Input().FullName())
	if err != nil {
		return nil, err
	}
	reply, err := protoregistry.GlobalTypes.FindMessageByName(method.Output().FullName())
	if err != nil {
		return nil, err
	}
	m := &passedMethod{core: c, name: fmt.Sprintf("/%s/%s", service, method.Name()), request: request, reply: reply}
	m.desc = &grpc.StreamDesc{
		StreamName: string(method.Name()), Handler: m.handleStream,
		ClientStreams: method.IsStreamingClient(), ServerStreams: method.IsStreamingServer(),
	}
	return m, nil
}

// handle passes on a unary call.
func (m *passedMethod) handle(
	_ any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor, //nolint:revive // the library's order
) (any, error) {
	request := m.request.New().Interface()
	if err := decode(request); err != nil {
		return nil, err
	}
	return interceptor(ctx, request, &grpc.UnaryServerInfo{FullMethod: m.name}, func(ctx context.Context, _ any) (any, error) {
		reply := m.reply.New().Interface()
		if r, ok := request.(question); ok {
			return reply, m.passQuestion(ctx, m.name, r, reply)
		}
		err := m.ask(ctx, m.name, request, reply)
		if err == nil {
			m.catchUp(ctx, reply)
		}
		return reply, err
	})
}

// catchUp waits until the state here has what was just written, for an eighth of the bound at most: who reads what they have written is
// answered from it, as by the replica that carried the write out. It is no promise, which is what at_least is for.
func (c *core) catchUp(ctx context.Context, reply proto.Message) {
	var written string
	switch reply := reply.(type) {
	case interface{ GetRevision() string }:
		written = reply.GetRevision()
	case *consentv1.PutPolicyResponse:
		written = reply.GetPolicy().GetRevision()
	}
	revision, err := consent.ParseRevision(written)
	if err != nil {
		return
	}
	view, err := c.viewAt(ctx, consent.Consistency{})
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, shortWait(ctx, c.now(), view.Bound))
	defer cancel()
	_, _ = c.viewAt(ctx, consent.Consistency{AtLeast: revision}) // the write is done, whatever is known of it here
}

// shortWait is an eighth of the bound, and no more than half of the time that a caller still waits.
func shortWait(ctx context.Context, now time.Time, bound time.Duration) time.Duration {
	wait := bound / 8
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, deadline.Sub(now)/2)
	}
	return wait
}

// handleStream passes on a call with streams.
func (m *passedMethod) handleStream(_ any, caller grpc.ServerStream) error {
	if m.name != consentv1.WatchService_Watch_FullMethodName { // which lasts, and waits
		weight, err := m.gate.enter()
		if err != nil {
			return err
		}
		defer m.gate.leave(weight)
	}
	ctx, cancel := context.WithCancelCause(caller.Context())
	defer cancel(nil)
	var other peer.Peer
	replica, err := m.upstream.NewStream(ctx, m.desc, m.name, passedOptions(&other)...)
	if err != nil {
		return passedError(ctx, m.name, err, &other)
	}
	p := &passing{passedMethod: m, caller: caller, replica: replica, cancel: cancel}
	m.streams.Go(p.sendAll) // which may be left waiting for the caller's next message: it ends with the call
	m.streams.Go(func() { p.minded(ctx) })
	last, err := p.receiveAll()
	switch {
	case err == nil:
		m.catchUp(ctx, last)
		return nil
	case context.Cause(ctx) != nil:
		return context.Cause(ctx)
	default:
		return passedError(ctx, m.name, err, &other)
	}
}

// passing is a call with streams on its way.
type passing struct {
	*passedMethod
	caller  grpc.ServerStream
	replica grpc.ClientStream
	cancel  context.CancelCauseFunc
	settled atomic.Bool // the caller's last message is passed on, or never will be
}

// sendAll passes on what the caller sends, and that it was all.
func (p *passing) sendAll() {
	for {
		request := p.request.New().Interface()
		err := p.caller.RecvMsg(request)
		switch {
		case errors.Is(err, io.EOF):
			err = p.sentAll()
		case err == nil:
			err = p.replica.SendMsg(request)
			if err == nil {
				continue
			}
		}
		if err != nil && !errors.Is(err, io.EOF) { // what ended a stream is told to who receives
			p.cancel(err)
		}
		return
	}
}

// sentAll passes on that it was all, unless the server was told to stop before.
func (p *passing) sentAll() error {
	select {
	case <-p.draining:
		return errDraining
	default:
	}
	if !p.settled.CompareAndSwap(false, true) {
		return nil // it was told meanwhile
	}
	return p.replica.CloseSend()
}

// minded ends the call when the server is told to stop, unless all of it is passed on: what a restore has begun then may not be undone.
func (p *passing) minded(ctx context.Context) {
	select {
	case <-p.draining:
		if p.settled.CompareAndSwap(false, true) {
			p.cancel(errDraining)
		}
	case <-ctx.Done():
	}
}

// receiveAll hands back what the replica answers, and returns the last of it.
func (p *passing) receiveAll() (last proto.Message, err error) {
	for {
		reply := p.reply.New().Interface()
		if err := p.replica.RecvMsg(reply); errors.Is(err, io.EOF) {
			return last, nil
		} else if err != nil {
			return nil, err
		}
		if err := p.caller.SendMsg(reply); err != nil {
			p.cancel(err)
			return nil, err
		}
		last = reply
		if !p.desc.ServerStreams {
			return last, nil
		}
	}
}
