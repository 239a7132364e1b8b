package client

import (
	"cmp"
	"fmt"
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
	age           time.Duration // here and now
	passed        time.Duration // of the age, since the attempt began
	most          time.Duration // younger than this it has to be
}

// grounded is what all replies to questions say.
type grounded interface {
	GetRevision() string
	GetPolicyVersion() int64
	GetAge() *durationpb.Duration
}

// groundOf returns the ground of the reply to an attempt that began at a time, or an error for one that doesn't keep what was demanded.
func (c *Client) groundOf(r grounded, d consent.Consistency, began time.Time) (ground, error) {
	revision, err := consent.ParseRevision(r.GetRevision())
	if err != nil {
		return ground{}, errMisfit
	}
	g := c.groundAt(revision, r, c.passed(began))
	err = g.meets(d)
	return g, err
}

// groundAt makes the age of a reply the one that it has here and now. The data was the newest no later than its age before it was asked for.
func (c *Client) groundAt(r consent.Revision, of grounded, passed time.Duration) ground {
	most := c.lanes.boundBehind(of)
	if c.o.maxStaleness > 0 {
		most = min(most, c.o.maxStaleness)
	}
	return ground{
		revision: r, policyVersion: of.GetPolicyVersion(), age: of.GetAge().AsDuration() + passed, passed: passed, most: most,
	}
}

// passed returns how much time has passed since an attempt began: what the clock says that has moved more, because either may stand still
// while a machine is suspended.
func (c *Client) passed(began time.Time) time.Duration {
	now := c.o.now()
	return max(now.Sub(began), time.Duration(now.UnixNano()-began.UnixNano()), 0)
}

// usualBound is the staleness bound of a cluster that isn't told another. It stands for one that isn't known yet.
const usualBound = 2 * time.Second

// boundBehind returns the staleness bound of the process that made a reply, or the last one known if the reply doesn't tell it.
func (ls *lanes) boundBehind(r grounded) time.Duration {
	left := boundLeft(r)
	if left == 0 {
		return cmp.Or(time.Duration(ls.bound.Load()), usualBound)
	}
	bound := r.GetAge().AsDuration() + left
	if ls.bound.Load() != int64(bound) {
		ls.bound.Store(int64(bound))
	}
	return bound
}

// boundLeft returns how long it was until the bound when a reply was made, and zero if it doesn't tell: for so long an answer may be kept, unless
// it changes before that.
func boundLeft(r grounded) time.Duration {
	switch r := r.(type) {
	case *consentv1.CheckResponse:
		return untilBound(r.GetResults())
	case *consentv1.BatchCheckResponse:
		for _, item := range r.GetItems() {
			if left := untilBound(item.GetResults()); left > 0 {
				return left
			}
		}
	case *consentv1.ExplainResponse:
		for _, explanation := range r.GetExplanations() {
			if a := explanation.GetAnswer(); a.GetNextChange() == nil && a.GetCacheFor() != nil {
				return a.GetCacheFor().AsDuration()
			}
		}
	case *consentv1.CheckSegmentResponse:
		if r.GetNextChange() == nil {
			return r.GetCacheFor().AsDuration()
		}
	}
	return 0
}

// untilBound is the same for results: that of one whose answer doesn't change before.
func untilBound(results []*consentv1.CheckResult) time.Duration {
	for _, result := range results {
		if a := result.GetAnswer(); a.GetNextChange() == nil && a.GetCacheFor() != nil {
			return a.GetCacheFor().AsDuration()
		}
	}
	return 0
}

// meets returns consent.ErrEpoch or consent.ErrStale for data that isn't what was demanded, or older than may be.
func (g *ground) meets(d consent.Consistency) error {
	switch {
	case !includes(g.revision, d.AtLeast) && g.revision.Epoch != d.AtLeast.Epoch:
		return consent.ErrEpoch
	case !includes(g.revision, d.AtLeast), g.age >= g.most:
		return &consent.StaleError{Reached: g.revision}
	default:
		return nil
	}
}

// keep returns how long an answer may be kept from here on.
func (g *ground) keep(told *durationpb.Duration) time.Duration {
	return max(min(told.AsDuration()-g.passed, g.most-g.age), 0)
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
	decision, err := decisionOf(answer)
	if err != nil {
		return Result{Err: err}
	}
	return Result{Answer: Answer{
		Decision: decision, Revision: g.revision, PolicyVersion: g.policyVersion, Age: g.age,
		CacheFor: g.keep(answer.GetCacheFor()),
	}}
}

// decisionOf returns a decision of the contract. Whatever isn't ALLOW is a denial.
func decisionOf(a *consentv1.Answer) (consent.Decision, error) {
	obligations, err := obligationsOf(a.GetObligations())
	if err != nil {
		return consent.Decision{}, err
	}
	return consent.Decision{
		Allowed:     a.GetDecision() == consentv1.Decision_DECISION_ALLOW,
		Reason:      consent.Reason(numberOf(a.GetReason())),
		Basis:       consent.Basis(numberOf(a.GetBasis())),
		Obligations: obligations,
		NextChange:  timeOf(a.GetNextChange()),
	}, nil
}

// numberOf returns a number of the contract that the law's types can hold, and zero for one of a later version that they can't.
func numberOf[E ~int32](number E) uint8 {
	if number < 0 || number > math.MaxUint8 {
		return 0
	}
	return uint8(number)
}

// errObligation is returned for an answer under an obligation of a later version: who can't know it can't meet it, so it permits nothing.
var errObligation = fmt.Errorf("the answer has an obligation that this version of the SDK doesn't know: use that of the replicas: %w", ErrInternal)

func obligationsOf(list []consentv1.Obligation) (set consent.Obligations, err error) {
	for _, o := range list {
		switch o {
		case consentv1.Obligation_OBLIGATION_LOG_USE, consentv1.Obligation_OBLIGATION_SHOW_OPT_OUT:
			set |= 1 << o
		default:
			return 0, errObligation
		}
	}
	return set, nil
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
