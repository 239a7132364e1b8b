package server

import (
	"context"
	"sync"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/consentd/consentd/proto/wire"
	"google.golang.org/grpc"
)

// permissionDesc is the PermissionService of the contract, of which checks are read and written by package wire. It is for registering s alone,
// so that what a call needs beside its question is made once.
func permissionDesc(s *permissionService) *grpc.ServiceDesc {
	desc := consentv1.PermissionService_ServiceDesc
	desc.Methods = append([]grpc.MethodDesc(nil), desc.Methods...)
	for i := range desc.Methods {
		switch method := &desc.Methods[i]; method.MethodName {
		case "Check":
			method.Handler = unaryHandler(s, consentv1.PermissionService_Check_FullMethodName, s.check)
		case "BatchCheck":
			method.Handler = batchHandler(s)
		}
	}
	desc.Streams = append([]grpc.StreamDesc(nil), desc.Streams...)
	for i := range desc.Streams {
		if stream := &desc.Streams[i]; stream.StreamName == "StreamCheck" {
			stream.Handler = func(_ any, stream grpc.ServerStream) error { return s.streamCheck(stream) }
		}
	}
	return &desc
}

// call handles a call whose question isn't read yet.
type call[Q any] func(ctx context.Context, question *Q, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error)

// callOf is what the generated code would be for a method that takes a *Q, and returns any message.
func callOf[Q any](s *permissionService, fullMethod string, handle func(context.Context, *Q) (any, error)) call[Q] {
	info := &grpc.UnaryServerInfo{Server: s, FullMethod: fullMethod}
	handler := func(ctx context.Context, question any) (any, error) {
		return handle(ctx, question.(*Q)) //nolint:errcheck // as below
	}
	return func(ctx context.Context, question *Q, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
		if err := decode(question); err != nil {
			return nil, err
		}
		return intercept(ctx, question, info, handler)
	}
}

func unaryHandler[Q any](s *permissionService, fullMethod string, handle func(context.Context, *Q) (any, error)) grpc.MethodHandler {
	called := callOf(s, fullMethod, handle)
	return func(_ any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
		return called(ctx, new(Q), decode, intercept)
	}
}

// batchHandler is the same for BatchCheck, whose questions' memory is used again: nothing looks at them once the call is handled.
func batchHandler(s *permissionService) grpc.MethodHandler {
	pool := sync.Pool{New: func() any { return new(wire.BatchQuestions) }}
	called := callOf(s, consentv1.PermissionService_BatchCheck_FullMethodName, s.batchCheck)
	return func(_ any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
		questions := pool.Get().(*wire.BatchQuestions) //nolint:errcheck // the pool holds nothing else
		defer func() {
			questions.Reset()
			pool.Put(questions)
		}()
		return called(ctx, questions, decode, intercept)
	}
}
