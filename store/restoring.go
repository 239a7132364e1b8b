package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"runtime"

	"github.com/consentd/consentd/consent"

	"github.com/cockroachdb/pebble/v2"
)

// RestoreStep is what a RestoreCommand does.
type RestoreStep uint8

// The steps of a restore, in their order.
const (
	RestorePiece  RestoreStep = iota // brings a piece of the stream; an empty one says that it goes on
	RestoreWhole                     // says that all of the stream has come, and what its checksum is
	RestoreFinish                    // puts the state in its place
	RestoreGiveUp                    // forgets what has come
	restoreSteps
)

// RestoreCommand is a step on the way to the state of another cluster's snapshot. All replicas take it at the index of the last step.
type RestoreCommand struct {
	Epoch   uint64 // random: names the restore, and is the epoch after it
	Step    RestoreStep
	Replace bool     // of the first piece: go on though there are tenants already
	Offset  uint64   // of the piece in the stream; 0 begins a restore
	Sum     [32]byte // of RestoreWhole: the SHA-256 of the stream
	Piece   []byte
}

// restorePatience is how many milliseconds of stamped time a restore is kept that no step comes for: whoever sent it is gone.
const restorePatience = 5_000

// restoring is a restore on its way, on each replica: the state is built aside from the pieces that entries of the log bring, and takes the
// place of the current one at the entry that finishes it.
//
// # Why through the log
//
// The obvious way is raft's Restore: the leader puts a snapshot in place of its state, and the others get it from there. But the index that
// it puts it at is one that nobody has agreed to. If that leader dies before another has its snapshot, the next one goes on from the old
// state, gives the same index to something else, and replicas of two states look alike. As entries, a restore has happened once the last
// one is committed, on every replica and for good, or hasn't.
//
// # Invariants
//
//  1. From the first piece to the end of a restore nothing is written to the ledger, which so stands at the index before it. A crash then
//     leads back there, and the log, which no snapshot may cut meanwhile, brings the pieces again.
//  2. So nothing changes meanwhile but terms and stamps, which the entry after it writes. Whatever else asks for a change is refused;
//     a repeat of what was executed asks for none, and is answered.
//  3. An epoch never comes again: a late copy of a restore's steps must neither begin it anew, with nobody to go on, nor bring a state back
//     under an epoch of which there are revisions. The newest that have ended are remembered.
//  4. Whether a step succeeds depends on the state, the steps and the stamps. What is wrong with the bytes is found by reading them, as
//     Inspect does, and refused by all replicas alike. A replica that can't build what was readable can't go on: others can.
//
// A version that reads streams which an earlier one calls unreadable has to bring them by steps that the earlier one can't decode, so that
// it stops there, instead of refusing what others take.
type restoring struct {
	epoch  uint64
	next   uint64 // the offset of the next piece
	sum    hash.Hash
	whole  bool
	newest consent.Time // the stamp of the newest step

	pieces *io.PipeWriter
	number uint64        // of the ledger being built
	built  chan struct{} // closed once the rest is valid
	state  *state
	err    error
}

var errGivenUp = errors.New("the restore was given up")

// beginRestore starts building a state aside. What it contains will stand at an index: see rebase.
func (s *Store) beginRestore(epoch, index uint64) *restoring {
	from, pieces := io.Pipe()
	r := &restoring{epoch: epoch, sum: sha256.New(), pieces: pieces, number: s.place.number + 1, built: make(chan struct{})}
	go func() {
		defer close(r.built)
		r.state, r.err = s.buildRestored(s.place.dirOf(r.number), from, &rebase{index: index, epoch: epoch})
		_ = from.CloseWithError(errGivenUp) // so that nobody waits to write; it never fails
	}()
	return r
}

// buildRestored is build for a stream that nobody but its sender has verified.
func (s *Store) buildRestored(dir string, from io.Reader, to *rebase) (_ *state, err error) {
	if to.check, err = newInspection(); err != nil {
		return nil, err
	}
	defer to.check.close()
	return s.build(dir, from, to)
}

// take adds a piece. What building makes of it is seen at the end.
func (r *restoring) take(piece []byte) {
	if len(piece) == 0 {
		return
	}
	r.sum.Write(piece)
	r.next += uint64(len(piece))
	_, _ = r.pieces.Write(piece)
}

// giveUp removes what was built.
func (r *restoring) giveUp() {
	_ = r.pieces.CloseWithError(errGivenUp) // it never fails
	<-r.built
	if r.err == nil {
		r.state.ledger.obsolete.Store(true)
		r.state.ledger.release()
	}
}

// endRestoring gives up the restore on its way, if there is one.
func (st *state) endRestoring() {
	if st.restoring != nil {
		st.restoring.giveUp()
		st.restoring = nil
	}
}

// expireRestore gives up a restore that no step has come for.
func (e *entry) expireRestore() {
	if r := e.state.restoring; r != nil && e.stamp > r.newest+restorePatience {
		e.endRestore(r.epoch)
	}
}

// endRestore gives up the restore of an epoch, and remembers that: a late copy of its first piece would begin it again, with nobody to go on.
func (e *entry) endRestore(epoch uint64) {
	if r := e.state.restoring; r != nil && r.epoch == epoch {
		e.state.endRestoring()
	}
	e.meta.end(epoch)
}

// applyRestore takes a step.
func (e *entry) applyRestore(c *RestoreCommand) Result {
	if c.Epoch == 0 {
		return e.refuse(errors.New("a restore has a random epoch, which isn't 0"))
	}
	finished := c.Epoch == e.meta.epoch || e.restored != nil && e.restored.meta.epoch == c.Epoch // before: the answer was lost
	if !finished {
		if err := e.restoreStep(c); err != nil {
			return e.refuse(err)
		}
	}
	return Result{Revision: consent.Revision{Epoch: c.Epoch, Index: e.index}, Stamp: e.stamp}
}

func (e *entry) restoreStep(c *RestoreCommand) error {
	st := e.state
	r := st.restoring
	begins := c.Step == RestorePiece && c.Offset == 0
	switch {
	case c.Step == RestoreGiveUp:
		e.endRestore(c.Epoch)
		return nil
	case e.meta.hasEnded(c.Epoch), r == nil && !begins:
		return ErrRestoreEnded
	case r == nil && !c.Replace && len(st.tenants()) > 0:
		return ErrNotEmpty
	case r == nil:
		// Entries move the index in the ledger and Advance doesn't, so that it may lag; from here on it is relied on.
		if !e.stands {
			e.fail(st.ledger.db.Set([]byte{prefixMeta}, st.meta.encode(), pebble.NoSync))
		}
		r = e.store.beginRestore(c.Epoch, e.index)
		st.restoring = r
	case r.epoch != c.Epoch:
		return ErrRestoring
	}
	r.newest = e.stamp
	switch c.Step {
	case RestorePiece:
		return r.piece(c)
	case RestoreWhole:
		return e.wholeRestore(r, c)
	default:
		return e.finishRestore(r)
	}
}

// piece takes a piece that is the next, or was taken before.
func (r *restoring) piece(c *RestoreCommand) error {
	end := c.Offset + uint64(len(c.Piece))
	switch {
	case c.Offset == r.next && (!r.whole || end == c.Offset):
		r.take(c.Piece)
	case c.Offset > r.next || end > r.next:
		return fmt.Errorf("%w: a piece for offset %d came, and the next is that for %d", ErrRestoreEnded, c.Offset, r.next)
	}
	return nil
}

// wholeRestore compares the checksum of all that came.
func (e *entry) wholeRestore(r *restoring, c *RestoreCommand) error {
	if c.Offset != r.next || [32]byte(r.sum.Sum(nil)) != c.Sum {
		e.endRestore(c.Epoch)
		return fmt.Errorf("%w: %w: what came isn't what was verified", consent.ErrBackup, ErrSnapshot)
	}
	if !r.whole {
		r.whole = true
		_ = r.pieces.Close() // it never fails
	}
	return nil
}

// finishRestore waits for the state built, and makes it the entry's.
func (e *entry) finishRestore(r *restoring) error {
	if !r.whole {
		return fmt.Errorf("%w: its end hasn't come", ErrRestoreEnded)
	}
	<-r.built
	if errors.Is(r.err, ErrSnapshot) {
		e.endRestore(r.epoch)
		return fmt.Errorf("%w: %w", consent.ErrBackup, r.err)
	}
	if r.err != nil {
		e.fail(fmt.Errorf("restoring what others can: %w", r.err))
		return r.err
	}
	restored := r.state
	if e.meta.keyed && restored.meta.keyed && restored.meta.keyCheck != e.meta.keyCheck {
		e.endRestore(r.epoch)
		return ErrPseudonymKey
	}
	e.restored = restored
	return nil
}

// replace puts the restored state in the place of the current one, durably. What isn't part of a backup stays: the terms, the wishes about
// members, the staleness bound, and what was known of the key.
func (e *entry) replace() error {
	st, m := e.restored, e.meta
	m.applied, m.epoch, m.horizon = e.index, st.meta.epoch, max(st.meta.horizon, m.horizon)
	m.stamp = max(m.stamp, st.meta.stamp+1)
	m.keyed, m.keyCheck = m.keyed || st.meta.keyed, st.meta.keyCheck
	if e.meta.keyed {
		m.keyCheck = e.meta.keyCheck
	}
	m.end(e.meta.epoch)
	st.meta = m
	st.requests.forget(m.horizon)
	batch := st.ledger.db.NewBatch()
	defer func() { _ = batch.Close() }() // it has no error to return once it is committed or given up
	e.fail(batch.DeleteRange(requestsFrom(0), requestsFrom(m.horizon/purgeSeconds*purgeSeconds), nil))
	for id := range e.learners {
		e.fail(batch.Set(learnerKey(nil, id), nil, nil))
	}
	e.fail(batch.Set([]byte{prefixMeta}, m.encode(), nil))
	if e.err != nil {
		return e.err
	}
	if err := batch.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("committing the restored state: %w", err)
	}
	head := *st.head.Load()
	head.Revision, head.Stamp = consent.Revision{Epoch: m.epoch, Index: e.index}, m.stamp
	st.begin(&head)
	st.set(e.learners)
	number := e.state.restoring.number
	e.state.restoring = nil
	return e.store.moveTo(number, st)
}

// moveTo makes a state that was built aside the current one, for good.
func (s *Store) moveTo(number uint64, st *state) error {
	if err := s.place.moveTo(number); err != nil {
		// Which of the two the next start opens isn't known, so neither may go on.
		s.fail(fmt.Errorf("naming the restored ledger: %w", err))
		return err
	}
	s.install(st)
	// The old memory is unmapped when the collector finds that no reader is in it any more. It is too large to wait for that.
	runtime.GC()
	return nil
}

// Restoring reports whether a restore is on its way. Nothing may be cut off the log then.
func (s *Store) Restoring() bool {
	s.applying.Lock()
	defer s.applying.Unlock()
	return s.state.Load().restoring != nil
}

// WaitBuilt returns nil once nothing has to be built any more for the restore of an epoch to finish here, or the context's error.
func (s *Store) WaitBuilt(ctx context.Context, epoch uint64) error {
	s.applying.Lock()
	r := s.state.Load().restoring
	s.applying.Unlock()
	if r == nil || r.epoch != epoch {
		return nil
	}
	select {
	case <-r.built:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
