package cluster

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"
)

// peerTransport is what Raft talks to other replicas through.
type peerTransport interface {
	raft.Transport
	raft.WithPreVote
	raft.WithClose
}

// raftStore is where Raft keeps its log, its term and its vote.
type raftStore interface {
	raft.LogStore
	raft.StableStore
	// believe has GetLog return an entry of no term for an index that isn't there, until believe(0).
	believe(index uint64)
}

// lateSnapshots answers in Raft's place where a snapshot is sent of what is here already, as one that was long on its way. Raft looks at
// nothing but the term: it would go back to the snapshot and drop its whole log, with what it has acknowledged since.
//
// Raft gets one request at a time, so that a snapshot is judged by what all requests before it have led to.
type lateSnapshots struct {
	peerTransport
	logs      raftStore
	snapshots raft.SnapshotStore
	requests  chan raft.RPC // for Raft
	shut      chan struct{}
	once      sync.Once
	tail      *raft.InstallSnapshotRequest // see forgetTail; only for pass
}

// sortOutLateSnapshots returns a transport for a Raft with these stores. Close has to be called.
func sortOutLateSnapshots(t peerTransport, logs raftStore, snapshots raft.SnapshotStore) *lateSnapshots {
	l := &lateSnapshots{
		peerTransport: t, logs: logs, snapshots: snapshots, requests: make(chan raft.RPC), shut: make(chan struct{}),
	}
	go l.pass()
	return l
}

// Consumer implements raft.Transport.
func (l *lateSnapshots) Consumer() <-chan raft.RPC { return l.requests }

// Close implements raft.WithClose.
func (l *lateSnapshots) Close() error {
	l.once.Do(func() { close(l.shut) })
	return l.peerTransport.Close()
}

// pass passes requests on until Close.
func (l *lateSnapshots) pass() {
	for {
		select {
		case request := <-l.peerTransport.Consumer():
			switch command := request.Command.(type) {
			case *raft.AppendEntriesRequest:
				l.forgetTail(command.RPCHeader, command.Term)
				request.Command = l.fitting(command)
				l.ask(request)
			case *raft.InstallSnapshotRequest:
				l.passSnapshot(request, command)
			default:
				l.ask(request)
			}
		case <-l.shut:
			return
		}
	}
}

// passSnapshot has a snapshot answered that isn't needed, and has Raft install one that is.
func (l *lateSnapshots) passSnapshot(request raft.RPC, snapshot *raft.InstallSnapshotRequest) {
	if l.answer(request, snapshot) {
		return
	}
	last, err := l.logs.LastIndex()
	tail := l.tail != nil || err == nil && last >= snapshot.LastLogIndex // who can't read the log fails in Raft
	if answer, done := l.asked(request); done {
		if installed, is := answer.Response.(*raft.InstallSnapshotResponse); tail && is && answer.Error == nil && installed.Success {
			l.tail = snapshot
			l.forgetTail(snapshot.RPCHeader, snapshot.Term)
		}
		request.RespChan <- answer
	}
}

// ask has Raft answer a request.
func (l *lateSnapshots) ask(request raft.RPC) {
	if answer, done := l.asked(request); done {
		request.RespChan <- answer
	}
}

// asked returns what Raft answers to a request, and whether it did before Close.
func (l *lateSnapshots) asked(request raft.RPC) (answer raft.RPCResponse, done bool) {
	answers := make(chan raft.RPCResponse, 1)
	request.RespChan = answers
	select {
	case l.requests <- request:
	case <-l.shut:
		return raft.RPCResponse{}, false
	}
	select {
	case answer = <-answers:
		return answer, true
	case <-l.shut:
		return raft.RPCResponse{}, false
	}
}

// answer answers a request if it is for Raft to install a snapshot that isn't needed, and reports whether it has. A success only says that
// what the snapshot has is here, durably, which it is. Of an older term nothing is.
func (l *lateSnapshots) answer(request raft.RPC, snapshot *raft.InstallSnapshotRequest) bool {
	held, err := l.holds(snapshot)
	if err == nil && !held {
		return false
	}
	term, termErr := l.logs.GetUint64(currentTermKey)
	_, drainErr := io.Copy(io.Discard, request.Reader) // the connection is used again
	if err := errors.Join(err, termErr, drainErr); err != nil {
		request.Respond(nil, fmt.Errorf("a snapshot at %d, of which it can't be told whether it is needed: %w", snapshot.LastLogIndex, err))
		return true
	}
	request.Respond(&raft.InstallSnapshotResponse{Term: max(term, snapshot.Term), Success: snapshot.Term >= term}, nil)
	return true
}

// holds reports whether all that a snapshot has is here: in our own, or in the log, which agrees up to where index and term do. That it is
// applied says less: the log may end before, where a stream covered more than its snapshot's index; and may go on behind, unapplied yet.
func (l *lateSnapshots) holds(snapshot *raft.InstallSnapshotRequest) (bool, error) {
	ours, err := l.snapshots.List()
	if err != nil {
		return false, err
	}
	if len(ours) > 0 && snapshot.LastLogIndex <= ours[0].Index {
		return true, nil
	}
	var entry raft.Log
	err = l.logs.GetLog(snapshot.LastLogIndex, &entry)
	if errors.Is(err, raft.ErrLogNotFound) {
		return false, nil
	}
	return err == nil && entry.Term == snapshot.LastLogTerm, err
}
