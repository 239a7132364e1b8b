package bench

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// passes reports whether an error is one that passes by itself: of a server that has just started, or has no leader for a moment.
func passes(err error) bool {
	code := status.Code(err)
	return code == codes.Unavailable || code == codes.FailedPrecondition || code == codes.DeadlineExceeded
}

// kindOf names an error in few words, of which there are few: its code, and the reason that the server gives.
func kindOf(err error) string {
	s, ok := status.FromError(err)
	if !ok {
		return kindOfPlain(err)
	}
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return s.Code().String() + " " + info.GetReason()
		}
	}
	return s.Code().String()
}

func kindOfPlain(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded.String()
	case errors.Is(err, context.Canceled):
		return codes.Canceled.String()
	}
	const longest = 60
	text, _, _ := strings.Cut(err.Error(), ":")
	return text[:min(len(text), longest)]
}
