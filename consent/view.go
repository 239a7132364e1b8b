package consent

import "time"

// Consistency says how new the state under an answer must be. The zero value asks for the lowest latency: what is here, within the
// staleness bound.
type Consistency struct {
	AtLeast Revision // not zero: includes this write
	Full    bool     // includes every write acknowledged before the question
}

// Tenant is what is known of a tenant at a revision. It is immutable.
type Tenant struct {
	Name   string
	Number uint32  // stands for the tenant in its subjects' records
	Names  *Names  // of permissions, purposes and channels in those records
	Policy *Policy // the newest; nil before the first is put
	Epoch  uint64  // of the state; in one of another epoch the numbers mean something else
}

// KeepsCase reports whether ids that are e-mail addresses are used as they are: see Door. t may be nil.
func (t *Tenant) KeepsCase() bool { return t != nil && t.Policy != nil && t.Policy.KeepCase }

// Head is one published moment of the replicated state. Records read after a Head was loaded are at least as new as its revision. It
// is immutable.
type Head struct {
	Revision Revision
	Stamp    Time // the leader's stamp of the last entry
	Tenants  map[string]*Tenant
}

// View is a Head, and how fresh it was proven to be.
type View struct {
	*Head
	FreshAsOf time.Time     // every write acknowledged before then is in it; carries a monotonic reading
	Bound     time.Duration // a decision may be given while now - FreshAsOf is less
}

// Age returns how long before now the view was proven to be the newest, by the clock on which more has passed, and whether a decision may
// still be given from it. It may not once the bound has passed on the monotonic clock or on the wall clock, which move apart while a machine
// is suspended.
func (v View) Age(now time.Time) (age time.Duration, fresh bool) {
	monotonic := now.Sub(v.FreshAsOf)
	wall := time.Duration(now.UnixNano() - v.FreshAsOf.UnixNano())
	return max(monotonic, wall), v.Head != nil && holds(monotonic, wall, v.Bound)
}

// holds reports whether a proof holds still, after the time that the monotonic and the wall clock say has passed since. Either may stand
// still while a machine is suspended, so both count.
func holds(monotonic, wall, bound time.Duration) bool {
	return monotonic < bound && wall < bound && monotonic-wall < bound
}
