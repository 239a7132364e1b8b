package consent_test

import (
	"fmt"
	"time"

	"github.com/consentd/consentd/consent"
)

const shopPolicy = `
purposes:
  newsletter:
    direct_marketing: true
    channels:
      email: {bases: [consent, existing_customer], double_opt_in: true}
`

// shop returns the newsletter's permission, and the record of a subject who signed up without proof, and bought something.
func shop() (*consent.Permission, consent.Record) {
	policy, err := consent.ParsePolicy([]byte(shopPolicy))
	if err != nil {
		panic(err)
	}
	policy, names, err := policy.Bind(1, nil)
	if err != nil {
		panic(err)
	}
	yes := true
	history := []consent.Event{
		{Kind: consent.Granted, OccurredAt: at(2), Scope: consent.Scope{Permissions: []string{"newsletter/email"}}},
		{Kind: consent.AttributesSet, OccurredAt: at(3), Attributes: consent.Attributes{
			Relationship: consent.RelationshipCustomer, AddressFromSale: &yes, OptOutNoticeGiven: &yes,
		}},
	}
	return policy.Permission("newsletter/email"), consent.FoldHistory(history, consent.FoldContext{Names: names})
}

func at(day int) consent.Time {
	return consent.TimeOf(time.Date(2026, time.May, day, 12, 0, 0, 0, time.UTC))
}

func ExampleDecide() {
	permission, record := shop()
	for _, question := range []consent.Question{{}, {SimilarGoods: true}} {
		d := consent.Decide(permission, record, question, at(4))
		fmt.Println(d.Allowed, d.Reason, d.Basis, d.Obligations&consent.ShowOptOut != 0)
	}
	// Output:
	// false UNPROVEN consent false
	// true EXISTING_CUSTOMER existing_customer true
}

func ExampleExplain() {
	permission, record := shop()
	e := consent.Explain(permission, record, consent.Question{}, at(4))
	for _, f := range e.Failed {
		fmt.Println(f.Row, f.Basis, f.Reason, f.Remedy)
	}
	// Output:
	// 20 consent UNPROVEN ATTACH_PROOF
	// 21 consent UNCONFIRMED RECORD_CONFIRMATION
	// 28 existing_customer EXISTING_CUSTOMER_CONDITIONS RECORD_SALE
}
