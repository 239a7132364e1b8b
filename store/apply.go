package store

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/consentd/consentd/consent"

	"github.com/cockroachdb/pebble/v2"
)

// Result is what a command came to. All but Err is zero if Err isn't nil: the command then changed nothing.
type Result struct {
	Err           error // the same on every replica
	Revision      consent.Revision
	Stamp         consent.Time
	Effects       []consent.Effect       // of a write: one for each event
	Policy        *consent.PolicyVersion // of a policy: the version that the document has
	PolicyChanged bool                   // that version is new
}

// entry is the work on one entry. Everything it will change is collected here first, and nothing of it shows before all of it is in the
// ledger's batch, the batch committed, and the records published.
type entry struct {
	store   *Store
	state   *state
	known   map[string]*consent.Tenant // before the entry
	from    pebble.Reader              // the ledger as it was before the entry
	pinned  bool                       // the records are to be read from there too
	index   uint64
	stamp   consent.Time
	stands  bool   // a restore was on its way before, so that the ledger stands where that began
	ordinal uint32 // of the next event
	err     error  // the first thing that went wrong with the ledger; the entry must not be committed

	meta       meta
	tenants    map[string]*consent.Tenant // those that changed
	nextTenant uint32
	policies   map[policyRef]consent.PolicyVersion
	outcomes   []executed
	executed   map[consent.RequestID]int // where in outcomes
	subjects   map[Key]*subject
	nextDue    consent.Time
	learners   learners
	restored   *state // takes the place of all else that the entry changes

	batch      *pebble.Batch
	key, value []byte // space for one at a time
	bare       []consent.Event
	words      []uint64 // space for the records read
	buffer     Buffer
}

// newEntry returns the work on an entry of so many commands.
func newEntry(st *state, index uint64, stamp consent.Time, commands int) *entry {
	e := &entry{
		state: st, index: index, stamp: stamp, meta: st.meta, nextDue: st.nextDue,
		stands:     st.restoring != nil,
		known:      st.tenants(),
		from:       st.ledger.db,
		learners:   st.settings.Load().learners,
		tenants:    map[string]*consent.Tenant{},
		nextTenant: uint32(len(st.tenants()) + 1),
		policies:   map[policyRef]consent.PolicyVersion{},
		outcomes:   make([]executed, 0, commands),
		executed:   make(map[consent.RequestID]int, commands),
		subjects:   make(map[Key]*subject, commands),
	}
	e.meta.applied, e.meta.stamp = index, stamp
	e.meta.horizon = max(e.meta.horizon, horizonAt(stamp))
	return e
}

// fail notes an error of the ledger.
func (e *entry) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

func (e *entry) set(key, value []byte) { e.fail(e.batch.Set(key, value, nil)) }

func (e *entry) revision() consent.Revision {
	return consent.Revision{Epoch: e.meta.epoch, Index: e.index}
}

// refuse returns the result of a command that changes nothing.
func (e *entry) refuse(err error) Result { return Result{Err: err} }

// restoring reports whether the state is about to be replaced, so that nothing else may change it.
func (e *entry) restoring() bool { return e.state.restoring != nil }

// run executes one command.
func (e *entry) run(c *decodedCommand) Result {
	switch {
	case c.Restore != nil:
		return e.applyRestore(c.Restore)
	case c.Write != nil:
		return e.applyWrite(c.Write, c.payload)
	case c.Policy != nil:
		return e.applyPolicy(c.Policy, c.payload)
	case c.Member != nil && e.restoring():
		return e.refuse(ErrRestoring)
	case c.Member != nil:
		return e.applyMember(c.Member)
	default:
		return e.applyTermStart(c.TermStart)
	}
}

func (e *entry) applyTermStart(t *TermStart) Result {
	if e.meta.keyed && e.meta.keyCheck != t.CheckValue {
		return e.refuse(ErrPseudonymKey)
	}
	e.meta.keyed, e.meta.keyCheck = true, t.CheckValue
	e.meta.term = max(e.meta.term, t.Term)
	if e.meta.epoch == 0 {
		e.meta.epoch = t.Epoch
	}
	if e.meta.bound == 0 {
		e.meta.bound = t.Bound
	}
	return Result{Revision: e.revision(), Stamp: e.stamp}
}

// applyWrite writes events, unless the same request has written them before.
func (e *entry) applyWrite(w *WriteCommand, payload payloadHash) Result {
	o, found, err := e.repeated(w.RequestID, payload)
	if err == nil && !found {
		o.effects, err = e.write(w)
		o.payload = payload
	}
	if err != nil {
		return e.refuse(err)
	}
	if !found {
		o = e.remember(w.RequestID, o)
	}
	return Result{Revision: consent.Revision{Epoch: e.meta.epoch, Index: o.index}, Stamp: o.stamp, Effects: o.effects}
}

// write folds events into their subjects, all or none: what can be wrong with them is looked at first. It gives the events their times.
func (e *entry) write(w *WriteCommand) ([]consent.Effect, error) {
	tenant, err := e.named(w)
	if err != nil {
		return nil, err
	}
	effects := make([]consent.Effect, len(w.Events))
	for i := range w.Events {
		effects[i] = e.fold(w.Events[i].Key, &w.Events[i].Event, &tenant)
	}
	return effects, nil
}

// named returns the tenant of a write, with numbers for all that its events name, and keeps it. A "no" is never refused: where there is
// no number left for what it names, it is folded as one over everything.
func (e *entry) named(w *WriteCommand) (consent.Tenant, error) {
	tenant := e.tenant(w.Tenant)
	if tenant.Number > consent.MaxTenant {
		return tenant, ErrTooManyTenants
	}
	known := tenant.Names
	for i := range w.Events {
		event := &w.Events[i].Event
		names, err := tenant.Names.AddScope(event.Scope)
		switch {
		case err == nil:
			tenant.Names = names
		case !event.IsNo():
			return tenant, err
		}
	}
	if tenant.Names != known || tenant.Number == e.nextTenant {
		e.keepTenant(tenant)
	}
	return tenant, nil
}

// subject returns a subject as the entry has made it so far.
func (e *entry) subject(key Key) *subject {
	if s, found := e.subjects[key]; found {
		return s
	}
	from := len(e.words)
	e.words = append(e.words, e.current(key)...)
	record := consent.Record(e.words[from:len(e.words):len(e.words)])
	s := &subject{before: record, record: record}
	e.subjects[key] = s
	return s
}

// current returns the words of a subject's record before the entry. They are valid until the next call.
func (e *entry) current(key Key) []uint64 {
	if !e.pinned {
		return e.state.memory.get(key, &e.buffer)
	}
	e.key = recordKey(e.key[:0], key)
	value, err := get(e.from, e.key)
	if err != nil || value == nil {
		e.fail(err)
		return nil
	}
	words, err := decodeRecordValue(nil, e.key, value)
	e.fail(err)
	return words
}

// commit writes all that the entry changed to the ledger, as one batch.
func (e *entry) commit() error {
	e.writeSubjects()
	e.writeTenants()
	e.writePolicies()
	e.writeOutcomes()
	e.set([]byte{prefixMeta}, e.meta.encode())
	if e.err != nil {
		return e.err
	}
	if err := e.batch.Commit(pebble.NoSync); err != nil {
		return fmt.Errorf("committing to the ledger: %w", err)
	}
	return nil
}

// publish shows what was committed: the records first, and the head that says so last.
func (e *entry) publish() {
	st := e.state
	for key, s := range e.subjects {
		if !s.changed() {
			continue
		}
		st.memory.put(key, s.record)
		if s.record.Index() == e.index { // else it says the same as before
			st.changes.note(e.index, s.record.Tenant(), key)
		}
	}
	head := &consent.Head{Revision: e.revision(), Stamp: e.stamp, Tenants: e.tenantsAfter()}
	st.meta, st.nextDue = e.meta, e.nextDue
	st.changes.publish(head, e.changedTenants())
	st.head.Store(head)
	st.set(e.learners)
}

// Apply executes the commands of an entry and returns their results, in order. An entry that was applied before is skipped, and has no
// results. When Apply returns, all of the entry is visible, and in the ledger, if not yet durable there: see Sync. An error means that
// this replica can't go on: the entry isn't one (ErrEntry), or the ledger failed; nothing of the entry was published.
func (s *Store) Apply(index uint64, text []byte) ([]Result, error) {
	s.applying.Lock()
	defer s.applying.Unlock()
	if s.closed.Load() {
		return nil, ErrClosed
	}
	if index <= s.applied.get() && !bug("apply again what is applied") {
		return nil, nil
	}
	results, err := s.apply(index, text)
	if err != nil {
		return nil, fmt.Errorf("applying the entry at index %d: %w", index, err)
	}
	s.applied.set(index)
	return results, nil
}

func (s *Store) apply(index uint64, text []byte) ([]Result, error) {
	stamp, commands, err := decodeEntry(text)
	if err != nil {
		return nil, err
	}
	st := s.state.Load()
	// A new leader proposes before it has applied what the last one left, so it may not know the last stamp yet.
	stamp = max(stamp, st.meta.stamp+1)
	if bug("read the clock while applying") {
		stamp = max(consent.TimeOf(time.Now()), st.meta.stamp+1)
	}
	if stamp > consent.MaxTime {
		return nil, fmt.Errorf("%w: its stamp %d lies beyond the year 2248: set the leader's clock", ErrEntry, stamp)
	}
	e := newEntry(st, index, stamp, len(commands))
	e.store, e.batch = s, st.ledger.db.NewBatch()
	defer func() { _ = e.batch.Close() }() // it has no error to return once it is committed or given up
	results := e.execute(commands)
	return results, e.finish()
}

// execute returns the results of commands. Steps of a restore come first, because nothing may change beside one, not even in its entry.
func (e *entry) execute(commands []decodedCommand) []Result {
	results := make([]Result, len(commands))
	e.expireRestore()
	for i := range commands {
		if commands[i].Restore != nil {
			results[i] = e.run(&commands[i])
		}
	}
	if !e.restoring() {
		e.removeDue()
	}
	for i := range commands {
		if commands[i].Restore == nil {
			results[i] = e.run(&commands[i])
		}
	}
	return results
}

// finish makes what the entry changed part of the state.
func (e *entry) finish() error {
	switch {
	case e.err != nil:
		return e.err
	case e.restored != nil:
		return e.replace()
	case e.restoring(): // the ledger stays where it is
		e.meta.applied, e.meta.horizon = e.state.meta.applied, e.state.meta.horizon
	default:
		if err := e.commit(); err != nil {
			return err
		}
	}
	e.publish()
	return nil
}

// Advance notes that the log has passed an index without a command for the store. It becomes durable with the next Sync or entry. There is a
// new head, the same but for its revision: whoever was told of the index, by a near cache or after a start, may ask for a state of it.
func (s *Store) Advance(index uint64) {
	s.applying.Lock()
	defer s.applying.Unlock()
	if index <= s.applied.get() {
		return
	}
	st := s.state.Load()
	if st.restoring == nil {
		st.meta.applied = index
	}
	head := *st.head.Load()
	head.Revision.Index = index
	st.changes.publish(&head, nil)
	st.head.Store(&head)
	s.applied.set(index)
}

// Preview returns what a write stamped with a time would come to, and writes nothing. The time is taken to be later than all stamps so
// far, and the request id isn't looked at. Entries are applied meanwhile: it looks at the state as it was when it began.
func (s *Store) Preview(w WriteCommand, stamp consent.Time) (r Result, err error) {
	e, now, err := s.pin(stamp)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, e.unpin()) }()
	w.Events = slices.Clone(w.Events) // their times are the caller's to keep
	effects, refused := e.write(&w)
	if e.err != nil || refused != nil {
		return Result{Err: refused}, e.err
	}
	return Result{Revision: now.Revision, Stamp: e.stamp, Effects: effects}, nil
}

// pin returns the work on an entry that is never committed, and the head that it follows. The caller has to unpin it.
func (s *Store) pin(stamp consent.Time) (e *entry, now *consent.Head, err error) {
	s.applying.Lock()
	defer s.applying.Unlock()
	st, err := s.acquire()
	if err != nil {
		return nil, nil, err
	}
	e = newEntry(st, s.applied.get()+1, max(stamp, st.meta.stamp+1), 1)
	e.from, e.pinned = st.ledger.db.NewSnapshot(), true
	return e, st.head.Load(), nil
}

func (e *entry) unpin() error {
	defer e.state.ledger.release()
	return e.from.Close()
}
