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
	left   []uint64         // epochs that are over
	rival  consent.Revision // of another epoch than the newest, which may be the later one: nothing here tells. Zero for none
}

// revision returns the zero Revision for none.
func (w *written) revision() consent.Revision {
	if newest := w.newest.Load(); newest != nil {
		return *newest
	}
	return consent.Revision{}
}

// note takes a revision that a write was acknowledged at, and which epoch the newest was of when that write began, 0 for none.
//
// Epochs are random, so they don't tell which of two is later. A write that began when the newest was known is later than that. One that was
// under way before then may be of an epoch before it, whose acknowledgement was long on its way, or of one after it: it is the rival, until a
// replica says that the newest's epoch is over. An epoch that was left doesn't come back.
func (w *written) note(r consent.Revision, began uint64) {
	w.noting.Lock()
	defer w.noting.Unlock()
	newest := w.revision()
	switch {
	case slices.Contains(w.left, r.Epoch), newest.Epoch == r.Epoch && newest.Index >= r.Index:
	case newest.Epoch == r.Epoch, newest == consent.Revision{}:
		w.newest.Store(&r)
	case newest.Epoch == began:
		w.leave(newest)
		w.succeed(r)
	default:
		w.rival = later(r, w.rival)
	}
}

// forget forgets a revision of which a replica says that its epoch is over. Then the newest is the rival, if there is one.
func (w *written) forget(r consent.Revision) {
	w.noting.Lock()
	defer w.noting.Unlock()
	switch newest := w.revision(); {
	case r == consent.Revision{}:
	case newest.Epoch == r.Epoch:
		w.leave(newest)
		w.succeed(w.rival)
	case w.rival.Epoch == r.Epoch:
		w.leave(w.rival)
		w.rival = consent.Revision{}
	}
}

// succeed has another revision be the newest, or none.
func (w *written) succeed(r consent.Revision) {
	if w.rival.Epoch == r.Epoch {
		r, w.rival = later(r, w.rival), consent.Revision{}
	}
	if r == (consent.Revision{}) {
		w.newest.Store(nil)
	} else {
		w.newest.Store(&r)
	}
}

// later returns the later of two revisions of an epoch, and of two epochs' the first.
func later(r, than consent.Revision) consent.Revision {
	if than.Epoch == r.Epoch && than.Index > r.Index {
		return than
	}
	return r
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
