package chaos

import (
	"errors"
	"sync"
	"time"

	"github.com/consentd/consentd/consent"
)

// Kind is what a call was for.
type Kind uint8

const (
	// Check asks whether the subject's consent is given.
	Check Kind = iota
	// Grant writes that it is.
	Grant
	// Withdraw writes that it no longer is.
	Withdraw
)

// Level is how new the data of a check had to be.
type Level uint8

const (
	// Fast is minimize_latency: as new as the staleness bound.
	Fast Level = iota
	// AtLeast is as new as a revision.
	AtLeast
	// Full is as new as every write acknowledged before.
	Full
)

// Outcome is what is known of a write.
type Outcome uint8

const (
	// Unknown means that it may have happened, or may yet.
	Unknown Outcome = iota
	// Done means that it has.
	Done
	// NotDone means that it hasn't, and never will.
	NotDone
)

// Op is a call and what came of it. A write that was repeated with its request id is one call.
type Op struct {
	Kind    Kind
	Replica string // that answered, or near cache
	Near    bool   // a near cache was asked
	Subject string
	// When the call began and ended, since the history began. The end means nothing of a write whose outcome is unknown.
	Call, Return time.Duration

	// Of writes.
	Reference string // of the event's evidence, unlike all others
	Outcome   Outcome
	Stamp     consent.Time

	// Of checks.
	Level   Level
	Asked   consent.Revision // with AtLeast
	Allowed bool
	Age     time.Duration // of the data, as the reply has it
	Upto    uint64        // the highest index that the answer can be of, if that is known: as the one who answered said, after it had

	Revision consent.Revision // of the reply
}

// answered reports whether a reply came that promises something.
func (o *Op) answered() bool { return o.Kind == Check || o.Outcome == Done }

// Event is one that a replica has recorded of a subject.
type Event struct {
	Reference string
	Revision  consent.Revision
	Stamp     consent.Time
}

// History is all that callers saw of a cluster, from one clock.
type History struct {
	// Bound is the cluster's staleness bound.
	Bound time.Duration
	Ops   []Op
	// Recorded is what each replica had recorded at the end: by replica, then by subject, oldest first.
	Recorded map[string]map[string][]Event
	// Restore is that of a backup, if there was one meanwhile.
	Restore *Restore
}

// Recorder writes a history. Several goroutines may use it.
type Recorder struct {
	began time.Time

	mu      sync.Mutex
	ops     []Op
	seen    consent.Revision // the newest
	refused Refusals
}

// Refusals counts checks that weren't answered. They promise nothing, so no judge looks at them.
type Refusals struct{ Stale, Other int }

// NewRecorder returns a recorder whose history begins now.
func NewRecorder() *Recorder { return &Recorder{began: time.Now()} }

// Now returns the time since the history began.
func (r *Recorder) Now() time.Duration { return time.Since(r.began) }

// Add adds a call that has ended.
func (r *Recorder) Add(o Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, o)
	if o.Revision.Index > r.seen.Index {
		r.seen = o.Revision
	}
}

// Refuse counts a check that ended with an error.
func (r *Recorder) Refuse(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if errors.Is(err, consent.ErrStale) {
		r.refused.Stale++
	} else {
		r.refused.Other++
	}
}

// Refused returns how many checks weren't answered so far.
func (r *Recorder) Refused() Refusals {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refused
}

// Newest returns the newest revision of all replies.
func (r *Recorder) Newest() consent.Revision {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen
}

// Ops returns the calls so far.
func (r *Recorder) Ops() []Op {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ops[:len(r.ops):len(r.ops)]
}
