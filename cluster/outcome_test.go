package cluster

import (
	"errors"
	"fmt"
	"testing"

	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/store"
	"github.com/google/go-cmp/cmp"
)

var (
	aWrite = store.Command{Write: &store.WriteCommand{Tenant: "shop"}}
	aPut   = store.Command{Policy: &store.PolicyCommand{Tenant: "shop", Document: []byte("format: 1")}}
)

func TestOutcomesCrossTheHop(t *testing.T) {
	at := consent.Revision{Epoch: 1 << 63, Index: 7}
	tests := []struct {
		name    string
		command store.Command
		result  store.Result
	}{
		{"a write", aWrite, store.Result{Revision: at, Stamp: 1795551829466, Effects: []consent.Effect{1, 0, 3}}},
		{"one without effects", aWrite, store.Result{Revision: at, Stamp: 5}},
		{"a policy", aPut, store.Result{Revision: at, Stamp: 9, PolicyChanged: true, Policy: &consent.PolicyVersion{
			Version: 3, ETag: "3-abc", Document: aPut.Policy.Document, PutAt: 8, Revision: consent.Revision{Epoch: 2, Index: 6},
		}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decodeOutcome(encodeOutcome(tt.result, nil), &tt.command)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.result, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestErrorsCrossTheHop(t *testing.T) {
	for number, sentinel := range sentinels {
		if number > lastSentinel {
			t.Errorf("%v has number %d, and only those up to %d are told", sentinel, number, lastSentinel)
		}
		err := fmt.Errorf("%w (%w)", consent.ErrNotWritten, sentinel)
		_, got := decodeOutcome(encodeOutcome(store.Result{}, err), &aWrite)
		if got == nil || got.Error() != err.Error() {
			t.Errorf("%v arrived as %v", err, got)
		}
		for other, wanted := range sentinels {
			if errors.Is(got, wanted) != errors.Is(err, wanted) {
				t.Errorf("%v arrived as %v: is it sentinel %d? %t, and it was %t", err, got, other, errors.Is(got, wanted), errors.Is(err, wanted))
			}
		}
	}
	faulty := &consent.PolicyError{Faults: []consent.Fault{{Line: 3, Column: 4, Path: "purposes", Message: "is missing: add it"}}}
	_, err := decodeOutcome(encodeOutcome(store.Result{}, faulty), &aPut)
	var got *consent.PolicyError
	if !errors.As(err, &got) || !cmp.Equal(got, faulty) {
		t.Errorf("the faults of a policy arrived as %v", err)
	}
}

// What says nothing of the command, in words of another version or of none, leaves open what became of it.
func TestOutcomesThatSayNothing(t *testing.T) {
	write := encodeOutcome(store.Result{Revision: consent.Revision{Epoch: 300, Index: 300}, Stamp: 300}, nil)
	for name, text := range map[string][]byte{
		"nothing":                 nil,
		"another format":          {outcomeFormat + 1, outcomeWrite, 0, 0, 0},
		"another kind":            {outcomeFormat, 77},
		"cut short":               write[:len(write)-1],
		"a policy's for a write":  encodeOutcome(store.Result{Policy: &consent.PolicyVersion{}}, nil),
		"an error without number": encodeOutcome(store.Result{}, errors.New("the moon is full")),
		"a reason alone":          encodeOutcome(store.Result{}, consent.ErrNotReady),
		"a later version's error": {outcomeFormat, outcomeError, 1, 31, 0, 'h', 'm'},
	} {
		if _, err := decodeOutcome(text, &aWrite); !errors.Is(err, consent.ErrOutcomeUnknown) || errors.Is(err, consent.ErrNotWritten) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecodeOutcome(f *testing.F) {
	f.Add(encodeOutcome(store.Result{Revision: consent.Revision{Epoch: 1, Index: 2}, Stamp: 3, Effects: []consent.Effect{1}}, nil), false)
	f.Add(encodeOutcome(store.Result{Policy: &consent.PolicyVersion{Version: 1, ETag: "1-a"}}, nil), true)
	f.Add(encodeOutcome(store.Result{}, notWritten(ErrNotLeading)), false)
	f.Add(encodeOutcome(store.Result{}, &consent.PolicyError{Faults: []consent.Fault{{Line: 1, Message: "m"}}}), true)
	f.Fuzz(func(t *testing.T, text []byte, policy bool) {
		command := aWrite
		if policy {
			command = aPut
		}
		result, err := decodeOutcome(text, &command)
		if err != nil {
			if result.Policy != nil || result.Effects != nil {
				t.Errorf("an error with a result: %+v, %v", result, err)
			}
			return
		}
		again, err := decodeOutcome(encodeOutcome(result, nil), &command)
		if err != nil || !cmp.Equal(result, again) {
			t.Errorf("%+v became %+v, %v", result, again, err)
		}
		if policy != (result.Policy != nil) {
			t.Errorf("an answer to something else: %+v", result)
		}
	})
}

// Numbers are for ever: replicas of two versions speak with each other during an upgrade.
func TestNumbersOfSentinels(t *testing.T) {
	for number, want := range map[uint64]error{
		1: consent.ErrNotWritten, 2: consent.ErrOutcomeUnknown, 3: consent.ErrOverloaded, 4: consent.ErrStorageFull, 8: consent.ErrETag,
		firstReason: ErrNotLeading, 33: ErrClock,
	} {
		if !errors.Is(sentinels[number], want) {
			t.Errorf("number %d is %v, and was %v", number, sentinels[number], want)
		}
	}
}
