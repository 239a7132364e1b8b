package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/consentd/consentd/consent"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Beside the errors of package consent, these are what can come instead of an answer. None of them is ever a permission.
var (
	// ErrUnreachable is returned when no replica can be reached that says that it is ready, and when a connection broke before it brought the
	// answer. It is a consent.ErrNotReady.
	ErrUnreachable error = unreachable{}
	// ErrInvalid is returned for a request with fields that can't be. The message names the first, the details of the status all.
	ErrInvalid = errors.New("the request can't be: correct it")
	// ErrUnknownPermission is returned for a permission that the tenant's policy doesn't declare.
	ErrUnknownPermission = errors.New("the policy doesn't declare this permission: ask for one that it does, or put a policy that declares it")
	// ErrDeadlineTooShort is returned for a write that is to be in effect everywhere before its deadline, and can't be. Nothing was written.
	ErrDeadlineTooShort = errors.New("a write takes longer than the deadline until it is in effect everywhere: allow more time")
	// ErrTooLarge is returned for a message that is larger than its method takes.
	ErrTooLarge = errors.New("the message is too large: ask in several calls")
	// ErrUnimplemented is returned for what the process asked doesn't know.
	ErrUnimplemented = errors.New("there is no such method there: compare the versions of client and server")
	// ErrInternal is returned for what failed in the process asked and shouldn't have.
	ErrInternal = errors.New("the call failed inside consentd: its log says why")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("the client is closed: dial a new one")
)

// unreachable is a consent.ErrNotReady whose message doesn't say twice that nobody is ready.
type unreachable struct{}

func (unreachable) Error() string {
	return "no replica could be reached that is ready: ask again, or look at the replicas"
}
func (unreachable) Unwrap() error { return consent.ErrNotReady }

// meanings are the errors that stand for the reasons of docs/errors.md.
var meanings = map[string]error{
	"BACKUP_UNUSABLE":    consent.ErrBackup,
	"CANCELLED":          context.Canceled,
	"DEADLINE_EXCEEDED":  context.DeadlineExceeded,
	"DEADLINE_TOO_SHORT": ErrDeadlineTooShort,
	"EPOCH_CHANGED":      consent.ErrEpoch,
	"ETAG_MISMATCH":      consent.ErrETag,
	"FUTURE_TIME":        ErrInvalid,
	"INTERNAL":           ErrInternal,
	"INVALID_ARGUMENT":   ErrInvalid,
	"INVALID_POLICY":     ErrInvalid,
	"MEMBERSHIP":         consent.ErrMembership,
	"MESSAGE_TOO_LARGE":  ErrTooLarge,
	"NOT_READY":          consent.ErrNotReady,
	"NOT_WRITTEN":        consent.ErrNotWritten,
	"NO_LEADER":          consent.ErrNoLeader,
	"OUTCOME_UNKNOWN":    consent.ErrOutcomeUnknown,
	"OVERLOADED":         consent.ErrOverloaded,
	"REQUEST_ID_EXPIRED": consent.ErrRequestExpired,
	"REQUEST_ID_FUTURE":  consent.ErrRequestFuture,
	"REQUEST_ID_REUSED":  consent.ErrRequestReused,
	"SLOW_READER":        ErrUnreachable, // the replica cut the stream off
	"STALE":              consent.ErrStale,
	"STORAGE_FULL":       consent.ErrStorageFull,
	"TOO_MANY_NAMES":     consent.ErrTooManyNames,
	"UNIMPLEMENTED":      ErrUnimplemented,
	"UNKNOWN_MEMBER":     consent.ErrUnknownMember,
	"UNKNOWN_PERMISSION": ErrUnknownPermission,
	"UNKNOWN_SERVICE":    ErrUnimplemented,
	"UNKNOWN_TENANT":     consent.ErrUnknownTenant,
	"UNKNOWN_VERSION":    consent.ErrUnknownVersion,
}

// librarys are the same for what the library says of a call that consentd said nothing of.
var librarys = map[codes.Code]error{
	codes.Canceled:          context.Canceled,
	codes.DeadlineExceeded:  context.DeadlineExceeded,
	codes.Internal:          ErrUnreachable, // a broken stream, mostly
	codes.ResourceExhausted: ErrTooLarge,
	codes.Unavailable:       ErrUnreachable,
	codes.Unimplemented:     ErrUnimplemented,
}

// Error is what a replica, or the library on the way there, said instead of an answer. It wraps the error of this package, of package consent
// or of package context that stands for its reason, so that errors.Is knows it.
type Error struct {
	Reason     string        // of docs/errors.md; empty if the call never reached consentd, or its answer was lost
	RetryAfter time.Duration // not zero: how long to wait before the call is tried again

	status  *status.Status
	meaning error
}

// Error returns what went wrong and what to do.
func (e *Error) Error() string {
	if e.Reason != "" || e.meaning == nil {
		return e.status.Message()
	}
	return fmt.Sprintf("%v (%s)", e.meaning, causeOf(e.status.Message()))
}

// causeOf returns what the library says without its words around what the system said.
func causeOf(message string) string {
	if _, cause, found := strings.Cut(message, "Error while dialing: "); found {
		return strings.TrimRight(cause, `"`)
	}
	return message
}

// Unwrap returns the error that stands for the reason, or nil for a reason of a later version.
func (e *Error) Unwrap() error { return e.meaning }

// GRPCStatus returns the status as it came, with its details.
func (e *Error) GRPCStatus() *status.Status { return e.status }

// errorOf returns the error of a call as an *Error, and nil for none. The context's own errors stay as they are.
func errorOf(err error) error {
	var given interface{ GRPCStatus() *status.Status }
	if err == nil || !errors.As(err, &given) {
		return err
	}
	return statusError(given.GRPCStatus())
}

// itemError is the same for the status of an item. A status that says OK where an answer should be is an error too.
func itemError(s *statuspb.Status) error {
	if s.GetCode() == int32(codes.OK) {
		return errMisfit
	}
	return statusError(status.FromProto(s))
}

func statusError(s *status.Status) error {
	e := &Error{status: s, meaning: librarys[s.Code()]}
	for _, detail := range s.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			e.Reason, e.meaning = detail.GetReason(), meaningOf(detail)
		case *errdetails.RetryInfo:
			e.RetryAfter = detail.GetRetryDelay().AsDuration()
		}
	}
	return e
}

func meaningOf(info *errdetails.ErrorInfo) error {
	meaning := meanings[info.GetReason()]
	if reached := info.GetMetadata()["reached"]; errors.Is(meaning, consent.ErrStale) && reached != "" {
		if r, err := consent.ParseRevision(reached); err == nil {
			return &consent.StaleError{Reached: r}
		}
	}
	return meaning
}
