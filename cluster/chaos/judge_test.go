package chaos

import (
	"strings"
	"testing"
	"time"

	"github.com/consentd/consentd/consent"
)

// The moments and revisions of these histories: a call that begins at 10 begins 10 ms after the history.
func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func at(index uint64) consent.Revision { return consent.Revision{Epoch: 1, Index: index} }

func write(kind Kind, call, end int, index uint64) Op {
	return Op{Kind: kind, Replica: "a", Subject: "anna", Call: ms(call), Return: ms(end), Outcome: Done, Revision: at(index),
		Reference: "ref " + at(index).String(), Stamp: consent.Time(index)}
}

func check(level Level, call, end int, index uint64, allowed bool) Op {
	return Op{Kind: Check, Replica: "a", Subject: "anna", Level: level, Call: ms(call), Return: ms(end), Allowed: allowed, Revision: at(index)}
}

// with returns a copy of a call that f has changed.
func with(o Op, f func(*Op)) Op {
	f(&o)
	return o
}

// historyOf returns a history whose writes are recorded on two replicas as they should be.
func historyOf(ops ...Op) *History {
	h := &History{Bound: ms(100), Ops: ops, Recorded: map[string]map[string][]Event{}}
	for _, replica := range []string{"a", "b"} {
		h.Recorded[replica] = map[string][]Event{}
		for _, o := range ops {
			if o.Kind != Check && o.Outcome == Done {
				h.Recorded[replica][o.Subject] = append(h.Recorded[replica][o.Subject], Event{o.Reference, o.Revision, o.Stamp})
			}
		}
	}
	return h
}

// lawful is a history without a fault, with everything in it that looks like one.
func lawful() *History {
	unknown := with(write(Grant, 50, 60, 0), func(o *Op) { o.Outcome, o.Reference = Unknown, "lost" })
	refused := with(write(Grant, 50, 60, 0), func(o *Op) { o.Outcome, o.Reference = NotDone, "refused" })
	h := historyOf(
		write(Grant, 0, 10, 5),
		check(Full, 11, 12, 5, true),
		write(Withdraw, 13, 30, 7),
		check(Full, 14, 15, 5, true),   // while the withdrawal is on its way
		check(Fast, 40, 41, 7, false),  // soon after it
		check(Full, 100, 101, 8, true), // the grant of unknown outcome has happened
		unknown, refused,
		with(check(Fast, 32, 33, 5, true), func(o *Op) { o.Replica, o.Age = "b", ms(10) }), // not proven newer than the withdrawal
		with(check(Fast, 16, 17, 5, false), func(o *Op) { o.Replica = "b" }),               // the withdrawal came between revision and record
		with(check(Fast, 18, 19, 6, true), func(o *Op) { o.Replica, o.Upto = "c", 6 }),     // as a near cache that stands before it says
	)
	for _, recorded := range h.Recorded {
		recorded["anna"] = append(recorded["anna"], Event{unknown.Reference, at(8), 8})
	}
	return h
}

func TestJudgesFindNoFaultWhereThereIsNone(t *testing.T) {
	if err := Judge(lawful()); err != nil {
		t.Error(err)
	}
}

// TestJudgeExactTakesTheLastOfAnEntry: a withdrawal wins over a grant in the same entry, and the later version of the policy over the one
// before.
func TestJudgeExactTakesTheLastOfAnEntry(t *testing.T) {
	for _, tt := range []struct {
		subject string
		first   Kind
		last    Kind
		allowed bool
	}{
		{"anna", Grant, Withdraw, false},
		{"anna", Withdraw, Grant, false},
		{PolicySubject, Grant, Withdraw, false},
		{PolicySubject, Withdraw, Grant, true},
	} {
		of := func(kind Kind, reference string) Op {
			return with(write(kind, 0, 10, 5), func(o *Op) { o.Subject, o.Reference = tt.subject, reference })
		}
		for _, allowed := range []bool{false, true} {
			asked := with(check(Fast, 11, 12, 5, allowed), func(o *Op) { o.Subject = tt.subject })
			err := JudgeExact(historyOf(of(tt.first, "first"), of(tt.last, "last"), asked))
			if (err == nil) != (allowed == tt.allowed) {
				t.Errorf("%s, a %s and then a %s in one entry, allowed %t: %v", tt.subject, tt.first, tt.last, allowed, err)
			}
		}
	}
}

// TestJudgesFindFaults shows each judge every fault that it is there for.
func TestJudgesFindFaults(t *testing.T) {
	granted, withdrawn := write(Grant, 0, 10, 5), write(Withdraw, 20, 30, 7)
	recorded := func(f func(events map[string][]Event), ops ...Op) *History {
		h := historyOf(ops...)
		f(h.Recorded["b"])
		return h
	}
	tests := []struct {
		name    string
		history *History
		want    string
	}{
		{"a write is lost", recorded(func(e map[string][]Event) { e["anna"] = e["anna"][:1] }, granted, withdrawn), "is lost on b"},
		{"a write is executed twice", recorded(func(e map[string][]Event) { e["anna"] = append(e["anna"], e["anna"][0]) }, granted), "2 times"},
		{"a write is executed after all", recorded(func(e map[string][]Event) {
			e["anna"] = []Event{{Reference: "x"}}
		}, with(granted, func(o *Op) { o.Outcome, o.Reference = NotDone, "x" })), "said not to be written"},
		{"a write of nobody", recorded(func(e map[string][]Event) { e["bert"] = []Event{{Reference: "x"}} }, granted), "1 of them were written"},
		{"a write is elsewhere", recorded(func(e map[string][]Event) { e["anna"][0].Revision.Index++ }, granted), "another revision or stamp"},
		{"replicas differ", recorded(func(e map[string][]Event) { delete(e, "anna") },
			with(granted, func(o *Op) { o.Outcome = Unknown }), withdrawn), "different events"},
		{"nobody was asked", &History{}, "no replica was asked"},

		{"allowed too long", historyOf(granted, withdrawn, check(Fast, 131, 132, 5, true)), "stale: "},
		{"allowed without a grant", historyOf(check(Fast, 131, 132, 5, true)), "nothing was granted"},
		{"allowed before the grant", historyOf(write(Grant, 200, 210, 9), check(Fast, 131, 132, 5, true)), "nothing was granted"},

		{"another epoch", historyOf(granted, with(check(Fast, 11, 12, 5, true), func(o *Op) { o.Revision.Epoch = 2 })), "another epoch"},
		{"a revision twice", historyOf(granted, write(Grant, 11, 12, 5)), "isn't above"},
		{"a write below", historyOf(granted, write(Grant, 11, 12, 4)), "isn't above"},
		{"stamps run backward", historyOf(granted, with(withdrawn, func(o *Op) { o.Stamp = 1 })), "is stamped"},
		{"two stamps in an entry", historyOf(granted, with(granted, func(o *Op) { o.Stamp++ })), "is stamped"},
		{"a full check below an acknowledged write", historyOf(granted, check(Full, 11, 12, 4, true)), "is below a revision seen"},
		{"a full check below another check", historyOf(granted, check(Fast, 11, 12, 8, true), with(check(Full, 13, 14, 7, true),
			func(o *Op) { o.Replica = "b" })), "is below a revision seen"},
		{"at_least below what was asked", historyOf(granted, with(check(AtLeast, 11, 12, 5, true), func(o *Op) { o.Asked = at(6) })),
			"below the revision asked for"},
		{"older than the bound", historyOf(granted, with(check(Fast, 11, 12, 5, true), func(o *Op) { o.Age = ms(100) })), "older than"},
		{"older than it says", historyOf(granted, withdrawn, with(check(Fast, 50, 51, 5, true), func(o *Op) { o.Age = ms(10) })),
			"lacks a write acknowledged"},
		{"backward on a replica", historyOf(granted, check(Fast, 11, 12, 6, true), check(Fast, 13, 14, 5, true)), "goes backward"},

		{"allowed before it was", historyOf(granted, check(Fast, 11, 12, 4, true), withdrawn, with(check(Fast, 13, 14, 4, true),
			func(o *Op) { o.Upto = 4 })), "exactness: "},
		{"denied at a grant", historyOf(granted, check(Fast, 11, 12, 5, false)), "exactness: "},
		{"denied by what came later", historyOf(granted, withdrawn, with(check(Fast, 31, 32, 5, false), func(o *Op) { o.Upto = 6 })),
			"exactness: "},
		{"denied by what had not begun", historyOf(granted, withdrawn, check(Fast, 11, 12, 5, false)), "exactness: "},

		{"allowed after a withdrawal", historyOf(granted, withdrawn, check(Full, 31, 32, 9, true)), "no legal order"},
		{"denied after a grant", historyOf(granted, check(Full, 11, 12, 9, false)), "no legal order"},
		{"an unknown write comes and goes", historyOf(granted, withdrawn,
			with(write(Grant, 35, 36, 0), func(o *Op) { o.Outcome = Unknown }),
			check(Full, 41, 42, 9, true), check(Full, 43, 44, 9, false)), "no legal order"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := Judge(tt.history); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}
