package rivals

import (
	"fmt"
	"math/rand/v2"
)

// Every side answers the same question, whether a subject may be sent the newsletter by e-mail, of the same subjects. The even ones consented
// and confirmed it an hour ago, nothing is known of the odd ones.
const (
	population = 10_000
	permission = "newsletter/email"
	batch      = 16 // questions at once, where a side is asked several
)

var (
	ids   = newIDs()
	order = rand.New(rand.NewPCG(1, 2)).Perm(population)
)

func newIDs() []string {
	all := make([]string, population)
	for n := range all {
		all[n] = idOf(uint64(n))
	}
	return all
}

func mayBeSent(n int) bool { return n%2 == 0 }

// verify looks at the answers.
func verify(subjects []int, allowed []bool) error {
	for i, n := range subjects {
		if allowed[i] != mayBeSent(n) {
			return fmt.Errorf("subject %d: allowed is %t, want %t", n, allowed[i], mayBeSent(n))
		}
	}
	return nil
}
