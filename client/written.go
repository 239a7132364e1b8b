package client

import (
	"sync/atomic"

	"github.com/consentd/consentd/consent"
)

// written is the revision of the newest write of a client. Its questions ask for data at least as new, so that it reads what it wrote on
// whichever replica it asks.
type written struct {
	newest atomic.Pointer[consent.Revision]
}

// note takes a revision that a write was acknowledged at. One of another epoch is newer than all before: the write has just succeeded.
func (w *written) note(r consent.Revision) {
	for {
		old := w.newest.Load()
		if old != nil && old.Epoch == r.Epoch && old.Index >= r.Index {
			return
		}
		if w.newest.CompareAndSwap(old, &r) {
			return
		}
	}
}

// forget forgets a revision of which a replica says that its epoch is over.
func (w *written) forget(r consent.Revision) {
	if old := w.newest.Load(); old != nil && old.Epoch == r.Epoch {
		w.newest.CompareAndSwap(old, nil)
	}
}

// demand returns what a question demands of the data under its answer, and whether some of it is this client's own doing: then an epoch that
// is over is no business of the caller's.
func (w *written) demand(asked consent.Consistency) (c consent.Consistency, own bool) {
	newest := w.newest.Load()
	switch {
	case newest == nil || asked.Full: // which includes every write
		return asked, false
	case asked.AtLeast == (consent.Revision{}), asked.AtLeast.Epoch == newest.Epoch && asked.AtLeast.Index < newest.Index:
		return consent.Consistency{AtLeast: *newest}, asked.AtLeast == (consent.Revision{})
	default:
		return asked, false
	}
}
