package server

import (
	"context"
	"errors"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxWords is how many bytes of an error are told. All of a status travels in a header, of which many clients take 8 KiB.
const maxWords = 1 << 10

// saidStatus returns the status by which a replica tells another one of an error, with its own words: replicas know subjects by their
// pseudonyms only. heard is its reverse.
func saidStatus(err error) *status.Status {
	o := known(err)
	return newStatus(o.code, o.reason, clip(err.Error()))
}

// heard returns the error that a replica told of, for errors.Is with what its status stands for. What else can go wrong with a call is
// returned as it is; a call that the context ended, with the context's error.
func heard(err error) error {
	s := status.Convert(err)
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == Domain {
			return &heardError{words: s.Message(), meaning: meaningOf(info.GetReason())}
		}
	}
	switch s.Code() {
	case codes.DeadlineExceeded:
		return &heardError{words: s.Message(), meaning: context.DeadlineExceeded}
	case codes.Canceled:
		return &heardError{words: s.Message(), meaning: context.Canceled}
	default:
		return errors.New(s.Message())
	}
}

// meaningOf returns the error that a reason stands for, nil if it is none of ours: the first in the table, which is the law's.
func meaningOf(reason string) error {
	for i := range outcomes {
		if outcomes[i].reason == reason {
			return outcomes[i].err
		}
	}
	return nil
}

// heardError is an error of another replica.
type heardError struct {
	words   string
	meaning error
}

func (e *heardError) Error() string { return e.words }

func (e *heardError) Unwrap() error { return e.meaning }

// clip shortens what is too long for a status.
func clip(words string) string {
	if len(words) <= maxWords {
		return words
	}
	end := maxWords
	for end > 0 && !utf8.RuneStart(words[end]) {
		end--
	}
	return words[:end] + "..."
}
