package cluster

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/consentd/consentd/store"
	"github.com/hashicorp/raft"
)

// errStopped answers entries after one that couldn't be applied. Going past it would make this replica differ from the others.
var errStopped = errors.New("this replica has stopped applying the log")

// errRestoring answers who wants a snapshot while a backup comes through the log: after a crash it comes again, from there.
var errRestoring = errors.New("a backup is being restored: take the snapshot after it")

// fsm applies the log to the store. Raft calls it from one goroutine.
type fsm struct {
	store   *store.Store
	report  func(error)
	stopped bool
}

// ApplyBatch implements raft.BatchingFSM.
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	answers := make([]any, len(logs))
	for i, l := range logs {
		answers[i] = f.Apply(l)
	}
	return answers
}

// Apply implements raft.FSM. It returns the results of an entry's commands, or an error.
func (f *fsm) Apply(l *raft.Log) any {
	if f.stopped {
		return errStopped
	}
	if l.Type != raft.LogCommand {
		f.store.Advance(l.Index)
		return nil
	}
	if bug("skip an entry") && l.Index%64 == uint64(time.Now().UnixNano()%64) {
		f.store.Advance(l.Index)
		return nil
	}
	results, err := f.store.Apply(l.Index, l.Data)
	if err != nil {
		return f.stopAt(err) // it names the index
	}
	return results
}

// stopAt ends the applying for good. Nothing after the entry is applied, nor is the log cut.
func (f *fsm) stopAt(err error) error {
	f.stopped = true
	f.report(err)
	return err
}

// Snapshot implements raft.FSM. It takes no time: the state is in the ledger already, and only has to be synced.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if f.stopped {
		return nil, errStopped
	}
	if f.store.Restoring() {
		return nil, errRestoring
	}
	return &marker{store: f.store, covers: f.store.Applied()}, nil
}

// Restore implements raft.FSM. It takes the stream of another replica's snapshot.
func (f *fsm) Restore(stream io.ReadCloser) error {
	if err := restore(f.store, stream); err != nil {
		return f.stopAt(fmt.Errorf("restoring a snapshot: %w", err))
	}
	return nil
}
