package store_test

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/store"
)

func Example() {
	s, err := store.Open(store.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		panic(err)
	}
	defer func() { _ = s.Close() }()

	anna := store.NewPseudonymizer([16]byte{1}).Of("shop", "anna@example.com")
	entry := store.EncodeEntry(1_800_000_000_000, []store.Command{{Write: &store.WriteCommand{
		Tenant:    "shop",
		RequestID: consent.RequestID{0x01, 0xa3, 0x18, 0x5c, 0x50, 0x00, 0x70, 0, 0x80}, // a UUIDv7 of that time
		Events:    []store.KeyedEvent{{Key: anna, Event: consent.Event{Kind: consent.Withdrawn}}},
	}}})
	results, err := s.Apply(1, entry)
	if err != nil {
		panic(err)
	}
	var buf store.Buffer
	record := s.Record(anna, &buf)
	fmt.Println(results[0].Err, results[0].Effects[0] == consent.Applied, record.Newest())
	// Output: <nil> true 2027-01-15T08:00:00Z
}
