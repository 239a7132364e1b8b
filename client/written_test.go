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
		if w.note(step.noted); w.revision() != step.want {
			t.Fatalf("%+v was acknowledged, and the newest is %+v, want %+v", step.noted, w.revision(), step.want)
		}
	}
	w.forget(at(1, 11))
	if w.revision() != at(2, 6) {
		t.Errorf("another epoch is forgotten, and %+v is left", w.revision())
	}
	w.forget(at(2, 6))
	w.note(at(2, 7))
	if w.revision() != (consent.Revision{}) {
		t.Errorf("%+v is of an epoch that is over", w.revision())
	}
}
