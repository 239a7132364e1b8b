package chaos

import (
	"fmt"
	"math"
	"time"

	"github.com/anishathalye/porcupine"
)

// linearPatience is how long porcupine may look at the history of a subject. A history that it can't judge in this time counts as illegal.
const linearPatience = 20 * time.Second

// consentModel is one subject's consent: given or not.
var consentModel = porcupine.Model{
	Init: func() any { return false },
	Step: func(state, input, _ any) (bool, any) {
		o, ok := input.(*Op)
		switch {
		case !ok:
			return false, state
		case o.Kind == Check:
			return state == o.Allowed, state
		default:
			return true, o.Kind == Grant
		}
	},
}

// JudgeLinear has porcupine look for an order of the writes and the fully consistent checks in which each takes effect at some moment
// between its beginning and its end. A write whose outcome is unknown may do so at any time after its beginning, or after everything else.
// Subjects have nothing to do with each other, so each has a history of its own.
func JudgeLinear(h *History) error {
	v := &verdict{judge: "linearizability"}
	for subject, ops := range bySubject(h.Ops) {
		var history []porcupine.Operation
		for _, o := range ops {
			if o.Kind == Check && o.Level != Full || o.Kind != Check && o.Outcome == NotDone {
				continue
			}
			end := int64(o.Return)
			if !o.answered() {
				end = math.MaxInt64
			}
			history = append(history, porcupine.Operation{Input: o, Call: int64(o.Call), Return: end})
		}
		switch result := porcupine.CheckOperationsTimeout(consentModel, history, linearPatience); result {
		case porcupine.Ok:
		case porcupine.Unknown:
			v.fault("the history of %s can't be judged in %s", subject, linearPatience)
		default:
			v.fault("the history of %s has no legal order:\n%s", subject, describe(ops))
		}
	}
	return v.err()
}

// describe lists what a reader needs to find the fault.
func describe(ops []*Op) string {
	text := ""
	for _, o := range ops {
		if o.Kind != Check || o.Level == Full {
			text += fmt.Sprintf("  %s\n", o)
		}
	}
	return text
}
