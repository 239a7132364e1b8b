package client

import (
	"math"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// ground is what several answers have in common.
type ground struct {
	revision      consent.Revision
	policyVersion int64
	age           time.Duration
	most          time.Duration // not zero: how old data may be
}

// grounded is what all replies to questions say.
type grounded interface {
	GetRevision() string
	GetPolicyVersion() int64
	GetAge() *durationpb.Duration
}

// groundOf returns the ground of a reply, or an error for one that doesn't keep what was demanded.
func (c *Client) groundOf(r grounded, d consent.Consistency) (ground, error) {
	revision, err := consent.ParseRevision(r.GetRevision())
	if err != nil {
		return ground{}, errMisfit
	}
	g := c.groundAt(revision, r)
	err = g.meets(d)
	return g, err
}

func (c *Client) groundAt(r consent.Revision, of grounded) ground {
	return ground{revision: r, policyVersion: of.GetPolicyVersion(), age: of.GetAge().AsDuration(), most: c.o.maxStaleness}
}

// meets returns consent.ErrEpoch or consent.ErrStale for data that isn't what was demanded, or older than this client takes.
func (g *ground) meets(d consent.Consistency) error {
	switch {
	case !includes(g.revision, d.AtLeast) && g.revision.Epoch != d.AtLeast.Epoch:
		return consent.ErrEpoch
	case !includes(g.revision, d.AtLeast), g.most > 0 && g.age >= g.most:
		return &consent.StaleError{Reached: g.revision}
	default:
		return nil
	}
}

// keep returns how long an answer may be kept.
func (g *ground) keep(told *durationpb.Duration) time.Duration {
	keep := told.AsDuration()
	if g.most > 0 {
		keep = min(keep, g.most-g.age)
	}
	return max(keep, 0)
}

// results returns an answer or an error for each permission asked. A reply that doesn't fit what was asked is no answer to anything.
func (g *ground) results(asked []string, replied []*consentv1.CheckResult) ([]Result, error) {
	if len(replied) != len(asked) {
		return nil, errMisfit
	}
	results := make([]Result, len(asked))
	for i, r := range replied {
		if r.GetPermission() != asked[i] {
			return nil, errMisfit
		}
		results[i] = g.result(r)
	}
	return results, nil
}

func (g *ground) result(r *consentv1.CheckResult) Result {
	answer := r.GetAnswer()
	if answer == nil {
		return Result{Err: itemError(r.GetStatus())}
	}
	return Result{Answer: Answer{
		Decision: decisionOf(answer), Revision: g.revision, PolicyVersion: g.policyVersion, Age: g.age,
		CacheFor: g.keep(answer.GetCacheFor()),
	}}
}

// decisionOf returns a decision of the contract. Whatever isn't ALLOW is a denial.
func decisionOf(a *consentv1.Answer) consent.Decision {
	return consent.Decision{
		Allowed:     a.GetDecision() == consentv1.Decision_DECISION_ALLOW,
		Reason:      consent.Reason(numberOf(a.GetReason())),
		Basis:       consent.Basis(numberOf(a.GetBasis())),
		Obligations: obligationsOf(a.GetObligations()),
		NextChange:  timeOf(a.GetNextChange()),
	}
}

// numberOf returns a number of the contract that the law's types can hold, and zero for one of a later version that they can't.
func numberOf[E ~int32](number E) uint8 {
	if number < 0 || number > math.MaxUint8 {
		return 0
	}
	return uint8(number)
}

func obligationsOf(list []consentv1.Obligation) consent.Obligations {
	var set consent.Obligations
	for _, o := range list {
		if o > 0 && o < 8 {
			set |= 1 << o
		}
	}
	return set
}

func timeOf(t *timestamppb.Timestamp) consent.Time {
	if t == nil {
		return 0
	}
	return consent.TimeOf(t.AsTime())
}

// consistencyOf returns a demand as the contract has it, nil for none.
func consistencyOf(c consent.Consistency) *consentv1.Consistency {
	switch {
	case c.Full:
		return &consentv1.Consistency{Requirement: &consentv1.Consistency_FullyConsistent{FullyConsistent: true}}
	case c.AtLeast != (consent.Revision{}):
		return &consentv1.Consistency{Requirement: &consentv1.Consistency_AtLeast{AtLeast: c.AtLeast.String()}}
	default:
		return nil
	}
}
