package mailinglist

import "fmt"

// RowError is why a row can't be used. Row.Err and Row.LeftOut wrap one.
type RowError struct {
	reason, message string
}

// Error says what is wrong, and what to do where that can be said.
func (e *RowError) Error() string { return e.message }

// Reason returns a stable code in upper snake case, to count rows by.
func (e *RowError) Reason() string { return e.reason }

// The reasons.
const (
	reasonUnreadableRow   = "UNREADABLE_ROW"   // can't be split, decoded or parsed
	reasonNoSubject       = "NO_SUBJECT"       // names nobody
	reasonUnusableSubject = "UNUSABLE_SUBJECT" // no e-mail address where there must be one, or too long an id
	reasonNoTime          = "NO_TIME"          // nothing says when it happened
	reasonUnreadableTime  = "UNREADABLE_TIME"  // ambiguous, impossible, or no time at all
	reasonFutureTime      = "FUTURE_TIME"      // a "yes" that hasn't happened yet
	reasonUnusableValue   = "UNUSABLE_VALUE"   // a cell that isn't what its field asks for
	reasonNothing         = "NOTHING_TO_RECORD"
)

func rowError(reason, format string, args ...any) error {
	return &RowError{reason: reason, message: fmt.Sprintf(format, args...)}
}
