package server

import (
	"context"
	"sync"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/consentd/consentd/proto/wire"
	"google.golang.org/grpc"
)

// permissionDesc is the PermissionService of the contract, of which checks are read and written by package wire.
func permissionDesc() *grpc.ServiceDesc {
	desc := consentv1.PermissionService_ServiceDesc
	desc.Methods = append([]grpc.MethodDesc(nil), desc.Methods...)
	for i := range desc.Methods {
		switch method := &desc.Methods[i]; method.MethodName {
		case "Check":
			method.Handler = unaryHandler(consentv1.PermissionService_Check_FullMethodName, (*permissionService).check)
		case "BatchCheck":
			method.Handler = batchHandler()
		}
	}
	desc.Streams = append([]grpc.StreamDesc(nil), desc.Streams...)
	for i := range desc.Streams {
		if stream := &desc.Streams[i]; stream.StreamName == "StreamCheck" {
			stream.Handler = func(service any, stream grpc.ServerStream) error {
				return service.(*permissionService).streamCheck(stream) //nolint:errcheck // registered with it
			}
		}
	}
	return &desc
}

// unaryHandler is what the generated code would be for a method that takes a *Q, and returns any message.
func unaryHandler[Q any](fullMethod string, handle func(*permissionService, context.Context, *Q) (any, error)) grpc.MethodHandler {
	return func(service any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
		return handleUnary(ctx, service, fullMethod, new(Q), decode, intercept, handle)
	}
}

// batchHandler is the same for BatchCheck, whose questions' memory is used again: nothing looks at them once the call is handled.
func batchHandler() grpc.MethodHandler {
	pool := sync.Pool{New: func() any { return new(wire.BatchQuestions) }}
	const fullMethod = consentv1.PermissionService_BatchCheck_FullMethodName
	return func(service any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
		questions := pool.Get().(*wire.BatchQuestions) //nolint:errcheck // the pool holds nothing else
		defer func() {
			questions.Reset()
			pool.Put(questions)
		}()
		return handleUnary(ctx, service, fullMethod, questions, decode, intercept, (*permissionService).batchCheck)
	}
}

func handleUnary[Q any](
	ctx context.Context, service any, fullMethod string, question *Q, decode func(any) error, intercept grpc.UnaryServerInterceptor,
	handle func(*permissionService, context.Context, *Q) (any, error),
) (any, error) {
	if err := decode(question); err != nil {
		return nil, err
	}
	handler := func(ctx context.Context, question any) (any, error) {
		return handle(service.(*permissionService), ctx, question.(*Q)) //nolint:errcheck // registered with it, and decoded above
	}
	return intercept(ctx, question, &grpc.UnaryServerInfo{Server: service, FullMethod: fullMethod}, handler)
}
