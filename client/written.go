package client

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/consentd/consentd/consent"
)

// written is the revision of the newest write of a client. Its questions ask for data at least as new, so that it reads what it wrote on
// whichever replica it asks.
type written struct {
	newest atomic.Pointer[consent.Revision] // nil: nothing was written, or what was is gone

	noting sync.Mutex
	left   []uint64 // epochs that are over
}

// revision returns the zero Revision for none.
func (w *written) revision() consent.Revision {
	if newest := w.newest.Load(); newest != nil {
		return *newest
	}
	return consent.Revision{}
}

// note takes a revision that a write was acknowledged at. One of another epoch is newer than all before: the write has just succeeded. Only
// its acknowledgement may have been long on its way, so an epoch that was left doesn't come back.
func (w *written) note(r consent.Revision) {
	w.noting.Lock()
	defer w.noting.Unlock()
	newest := w.revision()
	if newest.Epoch == r.Epoch && newest.Index >= r.Index || slices.Contains(w.left, r.Epoch) {
		return
	}
	if newest.Epoch != r.Epoch {
		w.leave(newest)
	}
	w.newest.Store(&r)
}

// forget forgets a revision of which a replica says that its epoch is over.
func (w *written) forget(r consent.Revision) {
	w.noting.Lock()
	defer w.noting.Unlock()
	if newest := w.revision(); newest.Epoch == r.Epoch {
		w.leave(newest)
		w.newest.Store(nil)
	}
}

func (w *written) leave(r consent.Revision) {
	if r != (consent.Revision{}) {
		w.left = append(w.left, r.Epoch)
	}
}

// demand returns what a question demands of the data under its answer, and whether some of it is this client's own doing: then an epoch that
// is over is no business of the caller's.
func (w *written) demand(asked consent.Consistency) (c consent.Consistency, own bool) {
	newest := w.revision()
	switch {
	case newest == consent.Revision{} || asked.Full: // which includes every write
		return asked, false
	case asked.AtLeast == (consent.Revision{}), asked.AtLeast.Epoch == newest.Epoch && asked.AtLeast.Index < newest.Index:
		return consent.Consistency{AtLeast: newest}, asked.AtLeast == (consent.Revision{})
	default:
		return asked, false
	}
}
