package cluster

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	peerv1 "github.com/consentd/consentd/proto/peer/v1"
)

// A look at the others is over after this time, whoever hasn't answered.
const lookTime = 2 * time.Second

// sighting is what one address answered.
type sighting struct {
	api string // the address that was asked
	*peerv1.IntroduceResponse
	err error // why it gave no answer
}

// String names a replica to people.
func (s sighting) String() string { return fmt.Sprintf("%s (%s)", s.GetNodeId(), s.api) }

func (s sighting) is(state peerv1.NodeState) bool { return s.GetState() == state }

// census is what a replica saw in one look at the others.
type census struct {
	self   *peerv1.IntroduceResponse
	others []sighting // each once, sorted by id
	silent []sighting
	own    int // addresses that lead to this replica itself
}

// look asks all addresses at once who is there. An address of this replica's own is passed over; another replica of its name is an error.
func (n *Node) look(ctx context.Context, addresses []string) (census, error) {
	answers := n.survey(ctx, lookTime, addresses, func(sighting) bool { return false })
	return newCensus(n.introduction(), answers)
}

// survey returns what all addresses answer within a time, or until one answer is enough. Who hasn't answered by then gave none.
func (n *Node) survey(ctx context.Context, within time.Duration, addresses []string, enough func(sighting) bool) []sighting {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	answers := make([]sighting, len(addresses))
	var asking sync.WaitGroup
	for i, address := range addresses {
		asking.Go(func() {
			who, err := n.options.Peers.Introduce(ctx, address)
			answers[i] = sighting{address, who, err}
			if err == nil && enough(answers[i]) {
				cancel()
			}
		})
	}
	asking.Wait()
	return answers
}

// newCensus sorts answers out.
func newCensus(self *peerv1.IntroduceResponse, answers []sighting) (census, error) {
	c := census{self: self}
	for _, a := range answers {
		switch {
		case a.err != nil:
			c.silent = append(c.silent, a)
		case bytes.Equal(a.GetInstance(), self.GetInstance()):
			c.own++
		case slices.ContainsFunc(c.others, a.sameAs):
		case a.GetNodeId() == self.GetNodeId():
			return c, fmt.Errorf("%w: two replicas call themselves %s, this one and the one that answers at %s: give one of them another node id",
				ErrForming, self.GetNodeId(), a.api)
		default:
			c.others = append(c.others, a)
		}
	}
	slices.SortFunc(c.others, func(a, b sighting) int { return cmp.Compare(a.GetNodeId(), b.GetNodeId()) })
	return c, nil
}

func (s sighting) sameAs(other sighting) bool {
	return bytes.Equal(s.GetInstance(), other.GetInstance())
}

// which returns the others of whom something holds.
func (c *census) which(holds func(sighting) bool) []sighting {
	return slices.DeleteFunc(slices.Clone(c.others), func(s sighting) bool { return !holds(s) })
}

// progress returns what a log message says of a census.
func (c *census) progress() []any {
	var fields []any
	if len(c.others) > 0 {
		seen := make([]string, len(c.others))
		for i, s := range c.others {
			seen[i] = fmt.Sprintf("%s is %s", s, strings.ToLower(strings.TrimPrefix(s.GetState().String(), "NODE_STATE_")))
		}
		fields = append(fields, "seen", strings.Join(seen, ", "))
	}
	if silent := c.silence(); silent != "" {
		fields = append(fields, "silent", strings.TrimPrefix(silent, "; "))
	} else if c.own > 0 && len(c.others) == 0 {
		fields = append(fields, "likely_cause", "--join names nobody but this replica itself: name the --listen addresses of the others")
	}
	return fields
}

// silence returns who gave no answer and why, as the end of a sentence; nothing if all did.
func (c *census) silence() (text string) {
	for _, s := range c.silent {
		text += "; " + s.err.Error()
	}
	return text
}

// names names replicas to people.
func names(of []sighting) string {
	all := make([]string, len(of))
	for i, s := range of {
		all[i] = s.String()
	}
	return strings.Join(all, ", ")
}
