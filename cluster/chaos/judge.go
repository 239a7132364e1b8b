package chaos

import (
	"errors"
	"fmt"
)

// maxFaults is how many faults a judge names. The first ones tell most.
const maxFaults = 10

// Judge returns what a history shows that a cluster must never do, and nil if there is nothing.
func Judge(h *History) error {
	err := errors.Join(JudgeWrites(h), JudgeRevisions(h), JudgeRestore(h), JudgeExact(h))
	for _, era := range h.eras() {
		err = errors.Join(err, JudgeStale(era), JudgeLinear(era))
	}
	return err
}

// verdict collects the faults that a judge finds.
type verdict struct {
	judge  string
	faults []error
	more   int
}

func (v *verdict) fault(format string, args ...any) {
	if len(v.faults) == maxFaults {
		v.more++
		return
	}
	v.faults = append(v.faults, fmt.Errorf(v.judge+": "+format, args...))
}

func (v *verdict) err() error {
	if v.more > 0 {
		v.faults = append(v.faults, fmt.Errorf("%s: and %d more", v.judge, v.more))
	}
	return errors.Join(v.faults...)
}

func (k Kind) String() string { return [...]string{"check", "grant", "withdrawal"}[k] }

func (l Level) String() string {
	return [...]string{"minimize_latency", "at_least", "fully_consistent"}[l]
}

func (o *Op) String() string {
	call := fmt.Sprintf("[%.6fs %.6fs] %s of %s", o.Call.Seconds(), o.Return.Seconds(), o.Kind, o.Subject)
	if o.Kind == Check {
		return fmt.Sprintf("%s on %s (%s): allowed %t at %d, %s old", call, o.Replica, o.Level, o.Allowed, o.Revision.Index, o.Age)
	}
	return fmt.Sprintf("%s, %s on %s: %s at %d", call, o.Reference, o.Replica, [...]string{"unknown", "done", "not done"}[o.Outcome],
		o.Revision.Index)
}
