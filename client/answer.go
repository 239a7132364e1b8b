package client

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/consentd/consentd/proto/wire"
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

// told is what all replies say of all of their answers.
type told struct {
	policyVersion int64
	age           time.Duration
	left          time.Duration // until the staleness bound, when the reply was made; zero: it doesn't tell
}

// groundOf returns the ground of the reply to an attempt that began at a time, or an error for one that doesn't keep what was demanded.
func (c *Client) groundOf(token string, t told, d consent.Consistency, began time.Time) (ground, error) {
	revision, err := consent.ParseRevision(token)
	if err != nil {
		return ground{}, errMisfit
	}
	g := c.groundAt(revision, t, c.passed(began))
	err = g.meets(d)
	return g, err
}

// groundAt makes the age of a reply the one that it has here and now. The data was the newest no later than its age before it was asked for.
func (c *Client) groundAt(r consent.Revision, t told, passed time.Duration) ground {
	most := c.lanes.boundBehind(t)
	if c.o.maxStaleness > 0 {
		most = min(most, c.o.maxStaleness)
	}
	return ground{revision: r, policyVersion: t.policyVersion, age: t.age + passed, passed: passed, most: most}
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
func (ls *lanes) boundBehind(t told) time.Duration {
	if t.left == 0 {
		return cmp.Or(time.Duration(ls.bound.Load()), usualBound)
	}
	bound := t.age + t.left
	if ls.bound.Load() != int64(bound) {
		ls.bound.Store(int64(bound))
	}
	return bound
}

// untilBound returns how long it was until the bound when a reply was made, and zero if its results don't tell: for so long an answer may be
// kept, unless it changes before that.
func untilBound(results []wire.Result) time.Duration {
	for i := range results {
		if results[i].NextChange.IsZero() && results[i].CacheFor > 0 {
			return results[i].CacheFor
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
func (g *ground) keep(told time.Duration) time.Duration {
	return max(min(told-g.passed, g.most-g.age), 0)
}

// results returns an answer or an error for each permission asked. A reply that doesn't fit what was asked is no answer to anything.
func (g *ground) results(asked []string, replied []wire.Result) ([]Result, error) {
	if len(replied) != len(asked) {
		return nil, errMisfit
	}
	results := make([]Result, len(asked))
	for i := range replied {
		if replied[i].Permission != asked[i] {
			return nil, errMisfit
		}
		results[i] = g.result(&replied[i])
	}
	return results, nil
}

func (g *ground) result(r *wire.Result) Result {
	if !r.Answered {
		return Result{Err: itemError(r.Status)}
	}
	decision, err := decisionOf(r)
	if err != nil {
		return Result{Err: err}
	}
	return Result{Answer: Answer{
		Decision: decision, Revision: g.revision, PolicyVersion: g.policyVersion, Age: g.age, CacheFor: g.keep(r.CacheFor),
	}}
}

// decisionOf returns a decision of the contract. Whatever isn't ALLOW is a denial.
func decisionOf(r *wire.Result) (consent.Decision, error) {
	obligations := r.Obligations & knownObligations
	if obligations != r.Obligations {
		return consent.Decision{}, errObligation
	}
	return consent.Decision{
		Allowed:     r.Decision == consentv1.Decision_DECISION_ALLOW,
		Reason:      consent.Reason(numberOf(r.Reason)),
		Basis:       consent.Basis(numberOf(r.Basis)),
		Obligations: consent.Obligations(obligations),
		NextChange:  consent.TimeOf(r.NextChange),
	}, nil
}

const knownObligations = wire.Obligations(consent.LogUse | consent.ShowOptOut)

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
