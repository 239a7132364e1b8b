package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// advice is what can be done on the command line about a reason of the server's, whose own message is general.
func advice(reason string) string {
	switch reason {
	case "UNKNOWN_PERMISSION":
		return "'consentd policy show' prints the permissions that there are"
	case "UNKNOWN_TENANT":
		return "'consentd policy apply FILE' gives the tenant its first policy; --tenant names another one"
	case "UNKNOWN_VERSION":
		return "'consentd policy list' prints the versions that there are, and 'consentd policy apply FILE' adds one"
	case "ETAG_MISMATCH":
		return "'consentd policy show -o json' prints the newest etag"
	}
	return ""
}

// inWords says what went wrong and what to do, and whether the server called the question itself wrong.
func (c *cli) inWords(err error) (text string, invalid bool) {
	var answer interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &answer) {
		return c.localInWords(err), false
	}
	s := answer.GRPCStatus()
	reason, details := statusDetails(s)
	switch {
	case reason == "" && s.Code() == codes.Unavailable:
		return c.unreachable(s.Message()), false
	case s.Code() == codes.DeadlineExceeded:
		return c.localInWords(context.DeadlineExceeded), false
	case s.Code() == codes.Canceled:
		return c.localInWords(context.Canceled), false
	case s.Code() == codes.Internal && strings.Contains(s.Message(), "invalid UTF-8"): // the library's word on a request before it is sent
		return "an argument isn't text in UTF-8, as everything here is: set the terminal to UTF-8", true
	}
	return statusInWords(s.Proto()) + details, reason == "INVALID_ARGUMENT"
}

func (c *cli) localInWords(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("%s gave no answer within %s: ask again, or wait longer with --timeout", c.addr, c.timeout)
	case errors.Is(err, context.Canceled):
		return "interrupted"
	}
	return err.Error()
}

// unreachable is for a server that isn't there, which is mostly one that was never started.
func (c *cli) unreachable(message string) string {
	if strings.Contains(message, "error reading server preface") {
		return fmt.Sprintf("something else answers at %s than the API of consentd: name a --listen address with --addr or CONSENTD_ADDR, not "+
			"that of --raft-listen or --ops-listen", c.addr)
	}
	cause := message
	if at := strings.LastIndex(message, "dial "); at >= 0 {
		cause = message[at:]
	}
	return fmt.Sprintf("no consentd answers at %s (%s).\nStart one with 'consentd serve --data-dir DIR', or name another with --addr or "+
		"CONSENTD_ADDR", c.addr, strings.TrimRight(cause, `"`))
}

// statusInWords is one line: the message, its reason, and what to do on the command line.
func statusInWords(s *statuspb.Status) string {
	reason, _ := statusDetails(status.FromProto(s))
	text := plainField(s.GetMessage())
	if reason == "" {
		reason = codes.Code(s.GetCode()).String()
	}
	text = fmt.Sprintf("%s (%s)", text, reason)
	if hint := advice(reason); hint != "" {
		text += ": " + hint
	}
	return text
}

// eventField is where the contract has a field of an event.
var eventField = regexp.MustCompile(`^events(\[\d+\])?\.((attributes|terms|evidence|scope)\.)?`)

// plainField names the field that a fault begins with as the command line does: attributes.birth_date is birth_date.
func plainField(fault string) string { return eventField.ReplaceAllString(fault, "") }

// statusDetails returns the reason, and the faults one a line.
func statusDetails(s *status.Status) (reason, lines string) {
	var text strings.Builder
	for _, detail := range s.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			reason = detail.GetReason()
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				line := fmt.Sprintf("%s: %s", violation.GetField(), violation.GetDescription())
				if line != s.Message() { // which names the only fault, or the first
					text.WriteString("\n  " + plainField(line))
				}
			}
		case *errdetails.RetryInfo:
			fmt.Fprintf(&text, "\n  wait %s first", detail.GetRetryDelay().AsDuration())
		}
	}
	return reason, text.String()
}

// reasonOf is the reason of an error, or its code's name.
func reasonOf(s *statuspb.Status) string {
	if reason, _ := statusDetails(status.FromProto(s)); reason != "" {
		return reason
	}
	return codes.Code(s.GetCode()).String()
}

// takesToWait returns how long the wait takes for which a write's deadline was too short, or 0 for any other error.
func takesToWait(err error) time.Duration {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetReason() == "DEADLINE_TOO_SHORT" {
			takes, err := time.ParseDuration(info.GetMetadata()["takes"])
			if err == nil {
				return takes
			}
		}
	}
	return 0
}

// outcomeUnknown says whether a write may have happened although it failed: only what the server refused certainly didn't.
func outcomeUnknown(err error) bool {
	s, ok := status.FromError(err)
	if !ok {
		return true
	}
	switch reason := reasonOf(s.Proto()); s.Code() {
	case codes.Unavailable:
		return reason == "OUTCOME_UNKNOWN" || reason == codes.Unavailable.String() && !neverSent(s.Message())
	case codes.DeadlineExceeded, codes.Canceled, codes.Unknown, codes.Internal:
		return true
	}
	return false
}

// neverSent recognises gRPC's word for a connection that was never made.
func neverSent(message string) bool { return strings.HasPrefix(message, "connection error:") }
