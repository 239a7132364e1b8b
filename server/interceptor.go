package server

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"time"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/consentd/consentd/proto/wire"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

const (
	// slow is how long a unary call may take before it is logged. Checks take microseconds, writes a disk's sync.
	slow         = time.Second
	maxStackDump = 64 << 10
)

// unaryInterceptor is all that stands before the handlers of unary calls, as one: the library's interceptor that reports calls, here to
// the metrics, around the library's recovery around the handler. A chain of grpc.ChainUnaryInterceptor would cost a closure for each of
// them on every call; this costs one.
func (c *core) unaryInterceptor(m *callMetrics) grpc.UnaryServerInterceptor {
	reported := interceptors.UnaryServerInterceptor(m)
	recovered := recovery.UnaryServerInterceptor(recovery.WithRecoveryHandlerContext(c.panicked))
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		reply, err := reported(ctx, request, info, func(ctx context.Context, request any) (any, error) {
			weight, err := c.admit(request)
			if err != nil {
				return nil, statusOf(err).Err()
			}
			defer c.gate.leave(weight)
			reply, err := recovered(ctx, request, info, handler)
			if err != nil {
				return nil, c.told(ctx, info.FullMethod, err)
			}
			return reply, nil
		})
		if err != nil {
			return nil, err
		}
		if err := c.waitFor(ctx, request); err != nil {
			return nil, c.told(ctx, info.FullMethod, err)
		}
		return reply, nil
	}
}

// admit takes a place for a call that needs one, if it isn't too large. How it is, a server that has none left tells too.
func (c *core) admit(request any) (weight int64, err error) {
	switch request := request.(type) {
	case *healthpb.HealthCheckRequest, *consentv1.GetClusterStatusRequest:
		return 0, nil
	case *consentv1.WriteEventsRequest:
		if c.upstream != nil && waitsEverywhere(request) { // almost all of the call is waiting, which is no load
			return 0, nil
		}
	case *wire.Question:
		if err := checkTooLarge(request.Size()); err != nil {
			return 0, err
		}
	}
	return c.gate.enter()
}

// streamInterceptor is the same for streams, those of health and reflection too: each would keep a drain waiting. Restore minds that
// itself, because what it has begun is finished. What streams do is admitted message by message.
func (c *core) streamInterceptor(m *callMetrics) grpc.StreamServerInterceptor {
	reported := interceptors.StreamServerInterceptor(m)
	recovered := recovery.StreamServerInterceptor(recovery.WithRecoveryHandlerContext(c.panicked))
	return func(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		return reported(service, stream, info, func(service any, stream grpc.ServerStream) error {
			handle := func() error { return recovered(service, stream, info, handler) }
			run := c.untilDrained
			if info.FullMethod == consentv1.ClusterService_Restore_FullMethodName {
				run = func(handle func() error) error { return handle() }
			}
			if err := run(handle); err != nil {
				return c.told(stream.Context(), info.FullMethod, err)
			}
			return nil
		})
	}
}

// told returns what the caller is told of an error, and logs what nobody foresaw.
func (c *core) told(ctx context.Context, method string, err error) error {
	s := statusOf(err)
	switch {
	case s.Code() != codes.Internal:
	case isLibrarys(err):
		c.log.LogAttrs(ctx, slog.LevelWarn, "a caller sent what can't be read", slog.String("method", method), slog.Any("error", err))
	default:
		c.log.LogAttrs(ctx, slog.LevelError, "a call failed", slog.String("method", method), slog.Any("error", err))
	}
	return s.Err()
}

// isLibrarys reports whether an error is what the library says of a caller's messages, as of one that isn't the method's. What a replica said
// has a reason.
func isLibrarys(err error) bool {
	var given interface{ GRPCStatus() *status.Status }
	return errors.As(err, &given) && reasonIn(err) == ""
}

// itemStatus is the same for one item of many.
func (c *core) itemStatus(ctx context.Context, err error) *statuspb.Status {
	return status.Convert(c.told(ctx, "item", err)).Proto()
}

// panicked logs a panic with its stack, and returns what the caller is told. The process goes on: a call changes nothing in memory.
func (c *core) panicked(ctx context.Context, cause any) error {
	stack := make([]byte, maxStackDump)
	stack = stack[:runtime.Stack(stack, false)]
	c.log.LogAttrs(ctx, slog.LevelError, "a call panicked", slog.Any("cause", cause), slog.String("stack", string(stack)))
	return errPanic
}

// logSlow logs a unary call that took too long.
func (c *core) logSlow(method string, err error, took time.Duration) {
	if took < slow {
		return
	}
	c.log.LogAttrs(context.Background(), slog.LevelWarn, "a call was slow",
		slog.String("method", method), slog.String("took", took.String()), slog.String("code", status.Code(err).String()))
}
