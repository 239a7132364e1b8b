package client

import (
	"context"

	"github.com/consentd/consentd/consent"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// domain is that of the google.rpc.ErrorInfo in each of consentd's errors.
const domain = "consentd"

// meanings are what the reasons of a read's errors stand for. docs/errors.md lists all reasons.
var meanings = map[string]error{
	"STALE":          consent.ErrStale,
	"NOT_READY":      consent.ErrNotReady,
	"EPOCH_CHANGED":  consent.ErrEpoch,
	"OVERLOADED":     consent.ErrOverloaded,
	"UNKNOWN_TENANT": consent.ErrUnknownTenant,
}

// heardError is an error that a replica told of, or that kept it from being asked.
type heardError struct {
	status  error // as the call returned it
	meaning error // nil for none
}

func (e *heardError) Error() string { return status.Convert(e.status).Message() }

// Unwrap returns the error that the status stands for, and the status.
func (e *heardError) Unwrap() []error {
	if e.meaning == nil {
		return []error{e.status}
	}
	return []error{e.meaning, e.status}
}

// heard returns the error of a call for errors.Is with what it stands for. A replica that can't be reached isn't ready.
func heard(err error) error {
	s := status.Convert(err)
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == domain {
			return &heardError{err, meanings[info.GetReason()]}
		}
	}
	switch s.Code() {
	case codes.DeadlineExceeded:
		return &heardError{err, context.DeadlineExceeded}
	case codes.Canceled:
		return &heardError{err, context.Canceled}
	case codes.Unavailable:
		return &heardError{err, consent.ErrNotReady}
	default:
		return &heardError{status: err}
	}
}
