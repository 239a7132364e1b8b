package consent_test

import (
	"fmt"
	"time"

	"github.com/consentd/consentd/consent"
)

// A grant and its withdrawal, which reached us first.
func ExampleFoldHistory() {
	monday := consent.TimeOf(time.Date(2026, time.November, 23, 9, 0, 0, 0, time.UTC))
	newsletter := consent.Scope{Permissions: []string{"newsletter/email"}}
	history := []consent.Event{
		{Kind: consent.Withdrawn, OccurredAt: monday + 24*3600*1000}, // over everything
		{Kind: consent.Granted, OccurredAt: monday, Scope: newsletter},
	}
	names, err := (*consent.Names)(nil).AddScope(newsletter)
	if err != nil {
		panic(err)
	}
	record := consent.FoldHistory(history, consent.FoldContext{Tenant: 1, Names: names, Index: 7})
	for _, p := range record.Expand(names).Permissions {
		fmt.Println(p.Permission, p.State == consent.StateWithdrawn, "since", p.Since)
	}
	// Output: newsletter/email true since 2026-11-24T09:00:00Z
}

func ExampleFold() {
	newsletter := consent.Scope{Permissions: []string{"newsletter/email"}}
	names, err := (*consent.Names)(nil).AddScope(newsletter)
	if err != nil {
		panic(err)
	}
	c := consent.FoldContext{Tenant: 1, Names: names, Index: 7}
	record, effect := consent.Fold(nil, consent.Event{Kind: consent.Granted, OccurredAt: 10, Scope: newsletter}, c)
	fmt.Println(effect == consent.Applied, len(record), "words")
	record, effect = consent.Fold(record, consent.Event{Kind: consent.Requested, OccurredAt: 20, Scope: newsletter}, c)
	fmt.Println(effect == consent.Superseded, len(record), "words")
	// Output:
	// true 4 words
	// true 4 words
}

func ExampleValidateEvent() {
	fmt.Println(consent.ValidateEvent(consent.Event{Kind: consent.Granted}))
	fmt.Println(consent.ValidateEvent(consent.Event{Kind: consent.Withdrawn}))
	// Output:
	// scope.permissions: granted needs at least one permission: name those that it is about
	// <nil>
}

func ExampleAppendEvent() {
	data := consent.AppendEvent(nil, consent.Event{Kind: consent.Erased, OccurredAt: 10})
	e, err := consent.DecodeEvent(data)
	fmt.Println(len(data), "bytes:", e.Kind, "at", e.OccurredAt, err)
	// Output: 4 bytes: erased at 1970-01-01T00:00:00.01Z <nil>
}
