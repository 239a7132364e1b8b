package chaos

import (
	"strings"
	"testing"

	"github.com/consentd/consentd/consent"
)

// in returns a copy of a call with a reply of another epoch.
func in(epoch uint64, o Op) Op { return with(o, func(o *Op) { o.Revision.Epoch = epoch }) }

// restored is a history in which a backup, made from 40 to 50, is brought back from 100 to 120. Kept is a grant that it holds, and lost a
// withdrawal that came after it.
func restored(more ...Op) *History {
	kept, lost := write(Grant, 0, 10, 5), write(Withdraw, 60, 70, 7)
	h := historyOf(kept, lost)
	h.Ops = append(h.Ops, more...)
	h.Restore = &Restore{Began: ms(40), Ended: ms(50), Call: ms(100), Return: ms(120), Revision: consent.Revision{Epoch: 2, Index: 22}}
	for _, recorded := range h.Recorded {
		recorded["anna"] = []Event{{kept.Reference, consent.Revision{Epoch: 2, Index: 20}, kept.Stamp}}
	}
	return h
}

// recordedToo adds a write of the new epoch to what is recorded.
func recordedToo(h *History, o Op) *History {
	h.Ops = append(h.Ops, o)
	for _, recorded := range h.Recorded {
		recorded[o.Subject] = append(recorded[o.Subject], Event{o.Reference, o.Revision, o.Stamp})
	}
	return h
}

func TestJudgesFindNoFaultInARestore(t *testing.T) {
	tests := map[string]*History{
		"what the backup holds is there, and what came later isn't": restored(
			check(Full, 80, 81, 7, false),            // of the old state
			check(Fast, 119, 121, 7, false),          // proven new before the restore was acknowledged
			in(2, check(Full, 130, 131, 22, true)),   // of the new one
			in(2, check(Fast, 9000, 9001, 22, true)), // long after the withdrawal that is lost
			with(write(Withdraw, 90, 91, 0), func(o *Op) { o.Outcome, o.Reference = Unknown, "lost" }),
		),
		"writes go on": recordedToo(restored(in(2, check(Full, 150, 151, 25, false))), in(2, write(Withdraw, 130, 140, 25))),
		"a write that was repeated over the restore": recordedToo(restored(check(Full, 96, 97, 9, true)), in(2, write(Grant, 95, 140, 25))),
		"one that the backup holds was repeated over the restore": recordedToo(restored(),
			in(2, with(write(Grant, 30, 140, 20), func(o *Op) { o.Stamp = 6 }))),
		"one that was acknowledged before comes late once more": func() *History {
			late := write(Grant, 80, 90, 9)
			h := recordedToo(restored(late, check(Full, 91, 92, 9, true)), in(2, write(Grant, 80, 90, 25)))
			h.Ops = h.Ops[:len(h.Ops)-1] // it was acknowledged as it was at first
			for _, recorded := range h.Recorded {
				recorded["anna"][1].Reference = late.Reference
			}
			return h
		}(),
		"it was never acknowledged": func() *History {
			h := restored(in(2, check(Full, 130, 131, 22, true)))
			h.Restore.Return, h.Restore.Revision.Index = Never, 0
			return h
		}(),
	}
	for name, h := range tests {
		t.Run(name, func(t *testing.T) {
			if err := Judge(h); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestJudgesFindFaultsOfARestore(t *testing.T) {
	changed := func(f func(h *History)) *History {
		h := restored()
		f(h)
		return h
	}
	tests := []struct {
		name    string
		history *History
		want    string
	}{
		{"what the backup had to hold is lost", changed(func(h *History) { h.Restore.Began = ms(80); h.Restore.Ended = ms(90) }), "isn't in it"},
		{"what came after the backup is in it", changed(func(h *History) { h.Restore.Began, h.Restore.Ended = -ms(2), -ms(1) }), "is in it"},
		{"another stamp", changed(func(h *History) { h.Recorded["a"]["anna"][0].Stamp++ }), "another stamp"},
		{"a write to the new state is lost", restored(in(2, write(Grant, 130, 140, 25))), "is lost on"},
		{"allowed from the old state long after", restored(check(Fast, 221, 222, 5, true)), "later than the bound"},
		{"the old state said to be the newest", restored(with(check(Fast, 130, 131, 7, false), func(o *Op) { o.Age = ms(5) })),
			"lacks a restore"},
		{"fully consistent with the old state", restored(check(Full, 121, 122, 7, false)), "lacks a restore"},
		{"the new state before it was asked for", restored(in(2, check(Fast, 90, 91, 22, true))), "asked for"},
		{"the new state before the restore's index", restored(in(2, check(Fast, 130, 131, 19, true))), "and before it"},
		{"the old state behind the restore's index", restored(check(Fast, 90, 91, 30, false)), "and behind it"},
		{"written to the old state", restored(write(Grant, 130, 131, 21)), "written to a state"},
		{"a third epoch", restored(in(3, check(Fast, 90, 91, 7, false))), "another epoch"},
		{"denied though the backup grants it", restored(in(2, check(Full, 130, 131, 22, false))), "no legal order"},
		{"allowed for too long in the new state",
			recordedToo(restored(in(2, check(Fast, 250, 251, 25, true))), in(2, write(Withdraw, 130, 140, 25))), "stale: "},
		{"the old state, wrong before the restore", restored(check(Full, 80, 81, 7, true)), "no legal order"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := Judge(tt.history); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}
