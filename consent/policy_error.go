package consent

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxFaults is how many faults of a document are reported at once. Nobody mends more before trying again.
const maxFaults = 100

// PolicyError holds all that is wrong with a policy document, in the order of its lines. At most 100 faults are given; if there are
// more, one more says so.
type PolicyError struct {
	Faults []Fault
}

// Fault is one thing that is wrong with a policy document.
type Fault struct {
	Line, Column int    // counted from 1
	Path         string // of keys, as "purposes.newsletter.bases[1]"; empty for the document as a whole
	Message      string // what is wrong, and what to do
}

// String returns line, path and message.
func (f Fault) String() string {
	if f.Path == "" {
		return fmt.Sprintf("line %d: %s", f.Line, f.Message)
	}
	return fmt.Sprintf("line %d: %s: %s", f.Line, f.Path, f.Message)
}

// Error returns every fault on a line of its own.
func (e *PolicyError) Error() string {
	var text strings.Builder
	text.WriteString("the policy can't be used")
	for _, f := range e.Faults {
		text.WriteString("\n" + f.String())
	}
	return text.String()
}

// place is where something stands in a document.
type place struct {
	line, column int
	path         string
}

// faults collects what is wrong with a document.
type faults []Fault

func (f *faults) add(at place, format string, args ...any) {
	*f = append(*f, Fault{Line: at.line, Column: at.column, Path: at.path, Message: fmt.Sprintf(format, args...)})
}

// err returns a *PolicyError, or nil if there are no faults. What several channels inherit is said once. What is missing at the end of
// the document is missing on its last line.
func (f faults) err(lastLine int) error {
	if len(f) == 0 {
		return nil
	}
	for i := range f {
		f[i].Line = min(f[i].Line, lastLine)
	}
	slices.SortStableFunc(f, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Message, b.Message))
	})
	f = slices.Compact(f)
	if len(f) > maxFaults {
		last := f[maxFaults-1]
		more := Fault{Line: last.Line, Column: last.Column, Message: fmt.Sprintf("%d more faults follow: mend these first", len(f)-maxFaults)}
		f = append(f[:maxFaults:maxFaults], more)
	}
	return &PolicyError{Faults: f}
}
