package server

import (
	"testing"

	"github.com/consentd/consentd/consent"
)

func TestPageTokens(t *testing.T) {
	last := consent.RecordedEvent{Event: consent.Event{OccurredAt: 1_700_000_000_123}, Index: 1 << 40, Ordinal: 7}
	place, err := historyPlace(historyToken(last))
	if err != nil || place.AfterTime != last.Event.OccurredAt || place.AfterIndex != last.Index || place.AfterOrdinal != last.Ordinal {
		t.Errorf("place %v, error %v", place, err)
	}
	if version, err := policyPlace(policyToken(12)); err != nil || version != 12 {
		t.Errorf("version %d, error %v", version, err)
	}
	if _, err := historyPlace(policyToken(12)); err == nil {
		t.Error("a token of policies pages through a history")
	}
}

// FuzzPageTokens: whatever a caller sends is refused, or is a token that we give out.
func FuzzPageTokens(f *testing.F) {
	f.Add(policyToken(3))
	f.Add(historyToken(consent.RecordedEvent{Index: 1}))
	f.Add("")
	f.Add("AQ==")
	f.Fuzz(func(t *testing.T, token string) {
		if place, err := historyPlace(token); err == nil && token != "" {
			again := consent.RecordedEvent{Event: consent.Event{OccurredAt: place.AfterTime}, Index: place.AfterIndex, Ordinal: place.AfterOrdinal}
			if historyToken(again) != token {
				t.Errorf("%q is read as another token", token)
			}
		}
		if version, err := policyPlace(token); err == nil && token != "" && policyToken(version) != token {
			t.Errorf("%q is read as another token", token)
		}
	})
}
