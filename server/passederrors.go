package server

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// passedError returns what callers are told of a call that was passed on and ended with an error: what the replica said of it or, if it
// said nothing, what is known of the call. A call for which there never was a connection can't have arrived. After any other, something may have
// been done.
func passedError(ctx context.Context, method string, err error, other *peer.Peer) error {
	switch {
	case err == nil:
		return nil
	case reasonIn(err) != "":
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	cause := unreached(status.Convert(err).Message())
	switch changes, sent := !reads[method], other.Addr != nil || other.AuthInfo != nil; {
	case !changes && sent:
		return passed(consent.ErrNotReady, "the replica that was asked gave no answer (%v): ask again", cause)
	case !changes:
		return passed(consent.ErrNotReady, "no replica could be asked (%v): ask again in a moment", cause)
	case sent:
		return passed(consent.ErrOutcomeUnknown,
			"the connection ended before the replica answered (%v), so it isn't known whether this was done: repeat it, a write with the same "+
				"request id", cause)
	default:
		return passed(consent.ErrNotWritten, "no replica could be asked (%v), so nothing was done: try again", cause)
	}
}

// unreached is why a call didn't get through, in words for those who run the processes.
func unreached(message string) error {
	switch {
	case strings.Contains(message, "health check failed"):
		return errors.New("those that are there say that they aren't ready")
	case strings.Contains(message, "no children to pick from"):
		return errors.New("the upstream's name leads to no address")
	default:
		return plainly(errors.New(message))
	}
}

// passed is an error in words that are told, because nothing in them comes from a request.
func passed(meaning error, words string, cause error) error {
	return spoken(&heardError{words: fmt.Sprintf(words, cause), meaning: meaning})
}

// reads are the methods that change nothing, whatever becomes of a call.
var reads = map[string]bool{
	consentv1.PermissionService_Check_FullMethodName:         true,
	consentv1.PermissionService_BatchCheck_FullMethodName:    true,
	consentv1.PermissionService_CheckSegment_FullMethodName:  true,
	consentv1.PermissionService_Explain_FullMethodName:       true,
	consentv1.RecordService_GetRecord_FullMethodName:         true,
	consentv1.RecordService_ListEvents_FullMethodName:        true,
	consentv1.PolicyService_GetPolicy_FullMethodName:         true,
	consentv1.PolicyService_ListPolicies_FullMethodName:      true,
	consentv1.ClusterService_GetClusterStatus_FullMethodName: true,
	consentv1.ClusterService_BackUp_FullMethodName:           true,
	consentv1.WatchService_Watch_FullMethodName:              true,
	consentv1.WatchService_Fill_FullMethodName:               true,
}

// ownError returns what callers are told of a question that was passed on with a revision and a deadline which they didn't name: then they
// aren't told of those. named says whether they have named a revision.
func ownError(ctx context.Context, err error, named bool) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded) || status.Code(err) == codes.DeadlineExceeded:
		if ctx.Err() == nil {
			return consent.ErrStale
		}
	case reasonIn(err) == "EPOCH_CHANGED" && !named: // this process, or the replica, has yet to hear of a restore
		return consent.ErrNotReady
	}
	return err
}

// reasonIn returns the reason that consentd gave for an error, empty if it is another's.
func reasonIn(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == Domain {
			return info.GetReason()
		}
	}
	return ""
}
