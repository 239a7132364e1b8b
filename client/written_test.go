package client

import (
	"testing"

	"github.com/consentd/consentd/consent"
)

// TestWrittenNeverGoesBack: an acknowledgement may have been long on its way, while others came, and a backup was restored.
func TestWrittenNeverGoesBack(t *testing.T) {
	at := func(epoch, index uint64) consent.Revision { return consent.Revision{Epoch: epoch, Index: index} }
	var w written
	for _, step := range []struct{ noted, want consent.Revision }{
		{at(1, 10), at(1, 10)},
		{at(1, 9), at(1, 10)},
		{at(2, 5), at(2, 5)},
		{at(1, 11), at(2, 5)},
		{at(2, 6), at(2, 6)},
	} {
		if w.note(step.noted, w.revision().Epoch); w.revision() != step.want {
			t.Fatalf("%+v was acknowledged, and the newest is %+v, want %+v", step.noted, w.revision(), step.want)
		}
	}
	w.forget(at(1, 11))
	if w.revision() != at(2, 6) {
		t.Errorf("another epoch is forgotten, and %+v is left", w.revision())
	}
	w.forget(at(2, 6))
	w.note(at(2, 7), 0)
	if w.revision() != (consent.Revision{}) {
		t.Errorf("%+v is of an epoch that is over", w.revision())
	}
}

// TestWrittenOfTwoEpochs: two writes were under way when a backup was restored, and which of the two acknowledgements is late isn't known. The one
// that came first counts, until a replica says that its epoch is over; then the other.
func TestWrittenOfTwoEpochs(t *testing.T) {
	at := func(epoch, index uint64) consent.Revision { return consent.Revision{Epoch: epoch, Index: index} }
	for name, tt := range map[string]struct{ over, want consent.Revision }{
		"late, of the epoch before": {at(1, 10), at(2, 5)},
		"of the epoch after":        {at(2, 5), at(1, 11)},
	} {
		t.Run(name, func(t *testing.T) {
			var w written
			for _, r := range []consent.Revision{at(2, 5), at(1, 10), at(1, 11), at(1, 9)} {
				if w.note(r, 0); w.revision() != at(2, 5) {
					t.Fatalf("%+v was acknowledged late, and the newest is %+v", r, w.revision())
				}
			}
			if w.forget(tt.over); w.revision() != tt.want {
				t.Errorf("the newest is %+v, want %+v", w.revision(), tt.want)
			}
			if w.note(tt.over, tt.want.Epoch); w.revision() != tt.want {
				t.Errorf("the newest is %+v, of an epoch that is over", w.revision())
			}
			if w.forget(tt.want); w.revision() != (consent.Revision{}) {
				t.Errorf("%+v is left, and all is over", w.revision())
			}
		})
	}
}

// TestWrittenAfterTheRival: a write that began when the newest was known is later than that, whatever the rival is.
func TestWrittenAfterTheRival(t *testing.T) {
	at := func(epoch, index uint64) consent.Revision { return consent.Revision{Epoch: epoch, Index: index} }
	var w written
	w.note(at(2, 5), 0)
	w.note(at(3, 9), 0)
	if w.note(at(3, 8), 2); w.revision() != at(3, 9) {
		t.Errorf("the newest is %+v", w.revision())
	}
	if w.forget(at(3, 9)); w.revision() != (consent.Revision{}) {
		t.Errorf("%+v is left", w.revision())
	}
}
