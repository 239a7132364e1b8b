package rivals

import (
	"context"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
)

// newsletterPolicy decides by consent with double opt-in as the example shop's policy does: the newest grant counts if the notice then was new
// enough, if it was confirmed, and if no later withdrawal or objection stands against it.
const newsletterPolicy = `package consent

default allow := false

allow if {
	facts := data.subjects[input.subject][input.permission]
	facts.notice >= 2
	facts.confirmed >= facts.granted
	facts.granted <= input.now
	not ended(facts)
}

ended(facts) if facts.withdrawn >= facts.granted

ended(facts) if facts.objected >= facts.granted
`

// newOPA is OPA in the caller's process, with the query prepared and the facts in its memory.
func newOPA(tb testing.TB) side {
	tb.Helper()
	subjects := map[string]any{}
	granted := time.Now().Add(-time.Hour).UnixMilli()
	for n := 0; n < population; n += 2 {
		subjects[ids[n]] = map[string]any{permission: map[string]any{"granted": granted, "confirmed": granted + 60_000, "notice": 3}}
	}
	// With a store that holds what rego works with, a lookup converts nothing.
	store := inmem.NewFromObjectWithOpts(map[string]any{"subjects": subjects}, inmem.OptReturnASTValuesOnRead(true))
	ctx := context.Background()
	query, err := rego.New(rego.Query("data.consent.allow"), rego.Module("consent.rego", newsletterPolicy), rego.Store(store)).PrepareForEval(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	return side{1, func(_ int, subjects []int, allowed []bool) error {
		results, err := query.Eval(ctx, rego.EvalInput(map[string]any{
			"subject": ids[subjects[0]], "permission": permission, "now": time.Now().UnixMilli(),
		}))
		allowed[0] = results.Allowed()
		return err
	}}
}
