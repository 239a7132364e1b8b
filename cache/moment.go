package cache

import "github.com/consentd/consentd/consent"

// moment is what the replicated state has come to as far as the stream has told, and how fresh that was proven to be. It is immutable; its
// floors rise on, for the moments after it.
type moment struct {
	view   consent.View // never without a Head; without FreshAsOf before the first proof
	floors *floors
	next   chan struct{} // closed once there is another moment
}

func (m *moment) at() consent.Revision { return m.view.Revision }

func (m *moment) proven() bool { return !m.view.FreshAsOf.IsZero() }

// counts reports whether the entry is that subject's, and its record is the one of this moment.
func (m *moment) counts(e entry, k key) bool {
	at := m.at()
	switch {
	case !e.isOf(k, at.Epoch):
		return false
	case bug("count records of moments to come"):
		return e.position() >= m.floors.under(e.bucket())
	case bug("forget the floors"):
		return e.position() <= at.Index
	}
	return e.position() <= at.Index && e.position() >= m.floors.under(e.bucket())
}

// precedes reports whether the entry is that subject's, and of a moment still to come.
func (m *moment) precedes(e entry, k key) bool {
	at := m.at()
	return e.isOf(k, at.Epoch) && e.position() > at.Index
}
