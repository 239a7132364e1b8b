package server

import (
	"cmp"
	"context"
	"slices"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// flip is how a decision would change. A zero reason stands for a permission that one of the policies doesn't declare.
type flip struct {
	permission string
	from, to   consent.Reason
}

// pair is a permission in the policy that decides now and in the one that would: one of them may be missing.
type pair struct {
	name     string
	from, to *consent.Permission
}

// pollEvery is how many records are decided between two looks at the caller's context.
const pollEvery = 256

// countFlips decides every permission of both policies for every record of the tenant. It holds nothing that writers need. A
// decision flips between allowing and not: another reason for the same is none, and what isn't declared allows nothing.
func (c *core) countFlips(
	ctx context.Context, t *consent.Tenant, policy *consent.Policy, q consent.Question,
) ([]*consentv1.Flip, int64, error) {
	next, _, err := policy.Bind(0, t.Names)
	if err != nil {
		return nil, 0, err
	}
	pairs := pairsOf(t.Policy, next)
	counts, subjects := map[flip]int64{}, int64(0)
	err = c.records.EachRecord(ctx, t, func(r consent.Record) error {
		if subjects%pollEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		subjects++
		now := consent.TimeOf(c.now())
		for i := range pairs {
			if f, flips := pairs[i].decide(r, q, now); flips {
				counts[f]++
			}
		}
		return nil
	})
	return flipList(counts), subjects, err
}

// pairsOf returns the permissions of two policies, the first of which may be nil.
func pairsOf(from, to *consent.Policy) []pair {
	var pairs []pair
	if from != nil {
		for i := range from.Permissions {
			p := &from.Permissions[i]
			pairs = append(pairs, pair{p.Name, p, to.Permission(p.Name)})
		}
	}
	for i := range to.Permissions {
		if p := &to.Permissions[i]; from == nil || from.Permission(p.Name) == nil {
			pairs = append(pairs, pair{p.Name, nil, p})
		}
	}
	return pairs
}

// decide returns how a record's decision changes, and whether it does.
func (p *pair) decide(r consent.Record, q consent.Question, now consent.Time) (flip, bool) {
	f := flip{permission: p.name}
	var before, after consent.Decision
	if p.from != nil {
		before = consent.Decide(p.from, r, q, now)
		f.from = before.Reason
	}
	if p.to != nil {
		after = consent.Decide(p.to, r, q, now)
		f.to = after.Reason
	}
	return f, before.Allowed != after.Allowed
}

func flipList(counts map[flip]int64) []*consentv1.Flip {
	list := make([]*consentv1.Flip, 0, len(counts))
	for f, n := range counts {
		one := &consentv1.Flip{
			Permission: f.permission, FromReason: consentv1.Reason(f.from), ToReason: consentv1.Reason(f.to), Subjects: n,
		}
		if f.from != 0 {
			one.FromDecision = decisionOf(f.from.Allows())
		}
		if f.to != 0 {
			one.ToDecision = decisionOf(f.to.Allows())
		}
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b *consentv1.Flip) int {
		return cmp.Or(cmp.Compare(a.Permission, b.Permission), cmp.Compare(b.Subjects, a.Subjects),
			cmp.Compare(a.FromReason, b.FromReason), cmp.Compare(a.ToReason, b.ToReason))
	})
	return list
}
