package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/consentd/consentd/consent"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Domain is that of every google.rpc.ErrorInfo given by consentd.
const Domain = "consentd"

// retryDelay is what callers that were shed are asked to wait.
const retryDelay = 100 * time.Millisecond

// What the door itself refuses.
var (
	// errOverloaded is returned when more calls are running than are admitted.
	errOverloaded = errors.New("too many calls are running: wait, then try again")
	// errTooLarge is returned for a message larger than its method takes.
	errTooLarge = errors.New("the message is too large for a check, which takes 64 KiB: ask in several calls")
	// errFutureTime is returned for a row of an import that says what hasn't happened yet.
	errFutureTime = errors.New(`only a "no" may lie in the future: import the row again once its time has passed, or each "no" apart`)
	// errNoPolicy is returned when the newest policy is asked for of a tenant that has records, but no policy.
	errNoPolicy = errors.New("this tenant has no policy yet: put one")
	// errUnimplemented is returned for a method or service that isn't here.
	errUnimplemented = errors.New("there is no such method here: compare the versions of client and server")
	// errUnknownService is returned by health for the name of a service that isn't here.
	errUnknownService = errors.New("there is no such service here: ask for one that server reflection lists, or for the empty name")
	// errDraining ends open streams when the server is told to stop.
	errDraining = fmt.Errorf("the server is shutting down: %w", consent.ErrNotReady)
	// errPanic is what callers see of a handler that panicked.
	errPanic = errors.New("the call failed inside consentd: its log says why")
)

// outcome is what callers are told of an error.
type outcome struct {
	err    error
	code   codes.Code
	reason string
	retry  bool // carries a google.rpc.RetryInfo
}

// outcomes are looked through from the top, because an error can wrap several: what is known of a write comes before why. What isn't
// here is INTERNAL.
var outcomes = []outcome{
	{consent.ErrOutcomeUnknown, codes.Unavailable, "OUTCOME_UNKNOWN", false},
	{consent.ErrOverloaded, codes.ResourceExhausted, "OVERLOADED", true},
	{errOverloaded, codes.ResourceExhausted, "OVERLOADED", true},
	{consent.ErrStorageFull, codes.ResourceExhausted, "STORAGE_FULL", false},
	{consent.ErrNotWritten, codes.Unavailable, "NOT_WRITTEN", false},
	{consent.ErrNoLeader, codes.Unavailable, "NO_LEADER", false},
	{consent.ErrUnreached, codes.Unavailable, "NO_LEADER", false}, // of a call that was passed on
	{consent.ErrStale, codes.Unavailable, "STALE", false},
	{consent.ErrNotReady, codes.Unavailable, "NOT_READY", false},
	{consent.ErrEpoch, codes.FailedPrecondition, "EPOCH_CHANGED", false},
	{consent.ErrRequestReused, codes.AlreadyExists, "REQUEST_ID_REUSED", false},
	{consent.ErrRequestExpired, codes.FailedPrecondition, "REQUEST_ID_EXPIRED", false},
	{consent.ErrRequestFuture, codes.FailedPrecondition, "REQUEST_ID_FUTURE", false},
	{consent.ErrETag, codes.Aborted, "ETAG_MISMATCH", false},
	{consent.ErrUnknownTenant, codes.NotFound, "UNKNOWN_TENANT", false},
	{consent.ErrUnknownVersion, codes.NotFound, "UNKNOWN_VERSION", false},
	{errNoPolicy, codes.NotFound, "UNKNOWN_VERSION", false},
	{consent.ErrUnknownMember, codes.NotFound, "UNKNOWN_MEMBER", false},
	{consent.ErrMembership, codes.FailedPrecondition, "MEMBERSHIP", false},
	{consent.ErrBackup, codes.FailedPrecondition, "BACKUP_UNUSABLE", false},
	{consent.ErrTooManyNames, codes.FailedPrecondition, "TOO_MANY_NAMES", false},
	{errFutureTime, codes.FailedPrecondition, "FUTURE_TIME", false},
	{errUnknownService, codes.NotFound, "UNKNOWN_SERVICE", false},
	{errSlowReader, codes.ResourceExhausted, "SLOW_READER", false},
	{errTooLarge, codes.ResourceExhausted, "MESSAGE_TOO_LARGE", false},
	{errUnimplemented, codes.Unimplemented, "UNIMPLEMENTED", false},
	{context.DeadlineExceeded, codes.DeadlineExceeded, "DEADLINE_EXCEEDED", false},
	{context.Canceled, codes.Canceled, "CANCELLED", false},
}

// internal is the outcome of what isn't foreseen. Its message says nothing of the cause, which is for the log.
var internal = outcome{errPanic, codes.Internal, "INTERNAL", false}

// invalidError is a request with fields that can't be.
type invalidError struct {
	violations []*errdetails.BadRequest_FieldViolation
}

func (e *invalidError) Error() string {
	first := e.violations[0]
	return fmt.Sprintf("%s: %s", first.GetField(), first.GetDescription())
}

func invalid(field, format string, args ...any) error {
	return &invalidError{[]*errdetails.BadRequest_FieldViolation{{Field: field, Description: fmt.Sprintf(format, args...)}}}
}

// unknownPermissionError is a permission that the tenant's policy doesn't declare.
type unknownPermissionError struct{ name string }

// Error names the permission, unless it is nothing that a policy could declare: then it may be anything, even a subject's id.
func (e *unknownPermissionError) Error() string {
	if consent.ValidPermission(e.name) != nil {
		return "the policy declares no such permission, and none can be named so: ask for one as newsletter/email or crm_storage"
	}
	return fmt.Sprintf("the policy doesn't declare %q: ask for a permission that it does, or put a policy that declares it", e.name)
}

// statusOf returns the status that callers get for an error. It has exactly one google.rpc.ErrorInfo. An error that is a status
// already stays as it is if it has one.
func statusOf(err error) *status.Status {
	var (
		bad     *invalidError
		unknown *unknownPermissionError
		policy  *consent.PolicyError
		event   *consent.EventError
		spoken  *spokenError
		short   *shortDeadlineError
	)
	switch {
	case errors.As(err, &bad):
		return newStatus(codes.InvalidArgument, "INVALID_ARGUMENT", bad.Error(), &errdetails.BadRequest{FieldViolations: bad.violations})
	case errors.As(err, &event):
		return statusOf(invalid(event.Field, "%s", event.Message))
	case errors.As(err, &policy):
		return policyStatus(policy)
	case errors.As(err, &unknown):
		return newStatus(codes.NotFound, "UNKNOWN_PERMISSION", unknown.Error())
	case errors.As(err, &spoken):
		return spoken.status()
	case errors.As(err, &short):
		return short.status()
	}
	o := known(err)
	if s, ok := foreignStatus(err); ok && o == &internal { // of an error of ours that wraps one, ours is what it means
		return s
	}
	if errors.Is(o.err, consent.ErrStale) {
		return staleStatus(o, err)
	}
	return o.status()
}

// foreignStatus is for what a replica said of a call that was passed on, and for what the library itself says of a stream: that it has told
// the caller already, if that is still there, but metrics and log go by what is returned.
func foreignStatus(err error) (s *status.Status, ok bool) {
	var given interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &given) {
		return nil, false
	}
	s = given.GRPCStatus()
	for _, detail := range s.Details() {
		if _, ok := detail.(*errdetails.ErrorInfo); ok {
			return s, true
		}
	}
	switch s.Code() {
	case codes.NotFound: // of the health service
		return known(errUnknownService).status(), true
	case codes.ResourceExhausted:
		return newStatus(s.Code(), "MESSAGE_TOO_LARGE", s.Message()), true
	case codes.DeadlineExceeded:
		return newStatus(s.Code(), "DEADLINE_EXCEEDED", s.Message()), true
	case codes.Canceled, codes.Unavailable: // the connection is gone, and the caller with it
		return newStatus(codes.Canceled, "CANCELLED", s.Message()), true
	default:
		return nil, false
	}
}

// known returns the outcome of an error, internal if there is none.
func known(err error) *outcome {
	for i := range outcomes {
		if errors.Is(err, outcomes[i].err) {
			return &outcomes[i]
		}
	}
	return &internal
}

func (o *outcome) status() *status.Status {
	if o.retry {
		return newStatus(o.code, o.reason, o.err.Error(), &errdetails.RetryInfo{RetryDelay: durationpb.New(retryDelay)})
	}
	return newStatus(o.code, o.reason, o.err.Error())
}

// staleStatus names the revision that was reached, if the error knows it.
func staleStatus(o *outcome, err error) *status.Status {
	var stale *consent.StaleError
	if !errors.As(err, &stale) {
		return o.status()
	}
	return infoStatus(o.code, stale.Error(), &errdetails.ErrorInfo{
		Domain: Domain, Reason: o.reason, Metadata: map[string]string{"reached": stale.Reached.String()},
	})
}

// spokenError is an error about the cluster, which knows no subject: it is told in its own words, if it is one that was foreseen.
type spokenError struct{ error }

func (e *spokenError) Unwrap() error { return e.error }

func (e *spokenError) status() *status.Status {
	if o := known(e.error); o != &internal && !o.retry {
		return newStatus(o.code, o.reason, clip(e.Error()))
	}
	return statusOf(e.error)
}

// spoken marks the error of a call about the cluster. It returns nil for none.
func spoken(err error) error {
	if err == nil {
		return nil
	}
	return &spokenError{err}
}

// policyStatus has a violation for each fault of a document.
func policyStatus(err *consent.PolicyError) *status.Status {
	bad := &errdetails.BadRequest{}
	for _, f := range err.Faults {
		bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: "document", Description: f.String()})
	}
	message := "the policy can't be used: mend the faults that the details list"
	return newStatus(codes.InvalidArgument, "INVALID_POLICY", message, bad)
}

func newStatus(code codes.Code, reason, message string, more ...protoadapt.MessageV1) *status.Status {
	return infoStatus(code, message, &errdetails.ErrorInfo{Domain: Domain, Reason: reason}, more...)
}

func infoStatus(code codes.Code, message string, info *errdetails.ErrorInfo, more ...protoadapt.MessageV1) *status.Status {
	s := status.New(code, message)
	details := append([]protoadapt.MessageV1{info}, more...)
	detailed, err := s.WithDetails(details...)
	if err != nil {
		return s
	}
	return detailed
}

// unknownPermission is the status of one permission among those asked.
func unknownPermission(name string) *statuspb.Status {
	return statusOf(&unknownPermissionError{name}).Proto()
}

// renamed names the field of an event as the request has it.
func renamed(err error, fields map[string]string) error {
	var event *consent.EventError
	if !errors.As(err, &event) {
		return err
	}
	if field, ok := fields[event.Field]; ok {
		return invalid(field, "%s", event.Message)
	}
	return err
}
