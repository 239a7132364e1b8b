package cluster

import (
	"bytes"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// sentSnapshots is a transport that keeps what snapshots it sends.
type sentSnapshots struct {
	peerTransport
	sent chan sentSnapshot
}

type sentSnapshot struct {
	request raft.InstallSnapshotRequest
	stream  []byte
}

// InstallSnapshot implements raft.Transport.
func (s *sentSnapshots) InstallSnapshot(id raft.ServerID, address raft.ServerAddress, request *raft.InstallSnapshotRequest,
	response *raft.InstallSnapshotResponse, data io.Reader) error {
	stream, err := io.ReadAll(data)
	if err != nil {
		return err
	}
	select {
	case s.sent <- sentSnapshot{*request, stream}:
	default:
	}
	return s.peerTransport.InstallSnapshot(id, address, request, response, bytes.NewReader(stream))
}

// TestLateSnapshotKeepsTheLog sends a follower the snapshot again that it once needed, after it has acknowledged more in the same term. The
// leader is gone and the third replica never heard of the write, so nobody else has it.
func TestLateSnapshotKeepsTheLog(t *testing.T) {
	const patience = 5
	for range patience { // a busy machine may elect another leader on the way, and the snapshot is of an older term then
		if sendSnapshotLate(t) {
			return
		}
	}
	t.Errorf("another leader was elected in each of %d attempts", patience)
}

// sendSnapshotLate reports whether the leader stayed long enough for the snapshot to be a late one of its own term.
func sendSnapshotLate(t *testing.T) bool {
	t.Helper()
	sent := make(chan sentSnapshot, 1)
	c := newCluster(t, 3, 0, func(o *Options) {
		o.tuning.trailingLogs, o.tuning.snapshotInterval = 1, time.Hour
		inner := o.tuning.transport
		o.tuning.transport = func(id string) peerTransport { return &sentSnapshots{inner(id), sent} }
	})
	leader, id, away := c.leader(), c.followers()[0], c.followers()[1]
	c.stop(id)
	mustWrite(t, c.node(leader), grants(t, "before", 10))
	for _, taker := range c.running() { // so that whoever leads then has cut its log
		takeSnapshot(t, c.node(taker))
		mustWrite(t, c.node(leader), grants(t, "between", 2))
	}
	mustWrite(t, c.node(leader), grants(t, "behind", 2))
	c.start(id)
	c.waitReady(id)
	late := <-sent
	c.waitEqual()
	c.isolate(away)
	index := mustWrite(t, c.node(leader), grant(t, "acknowledged")).Revision.Index
	if term := c.node(id).Stats().Term; c.leader() != leader || term != late.request.Term || index <= late.request.LastLogIndex {
		return false
	}
	c.kill(leader)
	answer, err := c.net.transports[id].handle(&late.request, bytes.NewReader(late.stream), snapshotPatience)
	if err != nil || !answer.(*raft.InstallSnapshotResponse).Success {
		t.Errorf("the late snapshot was answered %+v, %v", answer, err)
	}
	if last, err := c.node(id).logs.LastIndex(); err != nil || last < index {
		t.Errorf("the log ends at %d, %v, and %d was acknowledged", last, err, index)
	}
	c.kill(id)
	c.start(id)
	c.heal()
	c.waitReady(id, away)
	c.waitEqual()
	if events := historyOf(t, c.node(away), "acknowledged"); len(events) != 1 {
		t.Errorf("the acknowledged write is there %d times", len(events))
	}
	return true
}

// lateSnapshotsOf returns what judges snapshots for a log of term 2 from 5 to 10, with our own snapshot at 6.
func lateSnapshotsOf(t *testing.T) (l *lateSnapshots, transport *testTransport, logs *raft.InmemStore) {
	t.Helper()
	logs, snapshots := raft.NewInmemStore(), raft.NewInmemSnapshotStore()
	for index := uint64(5); index <= 10; index++ {
		if err := logs.StoreLog(&raft.Log{Index: index, Term: 2}); err != nil {
			t.Fatal(err)
		}
	}
	if err := logs.SetUint64(currentTermKey, 3); err != nil {
		t.Fatal(err)
	}
	s, err := snapshots.Create(raft.SnapshotVersionMax, 6, 2, raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	transport = newTestNet().transport("a").(*testTransport)
	l = sortOutLateSnapshots(transport, believing{logs}, snapshots)
	t.Cleanup(func() { _ = l.Close() }) // has no errors
	return l, transport, logs
}

func TestLateSnapshotIsAnsweredWithoutRaft(t *testing.T) {
	tests := []struct {
		name                  string
		index, lastTerm, term uint64
		passed, wantSuccess   bool
		wantTerm              uint64
	}{
		{"before our own", 4, 1, 3, false, true, 3},
		{"our own", 6, 2, 3, false, true, 3},
		{"within the log", 8, 2, 3, false, true, 3},
		{"at its end", 10, 2, 3, false, true, 3},
		{"of a newer term", 8, 2, 4, false, true, 4},
		{"of an older term", 8, 2, 2, false, false, 3},
		{"instead of what the log has", 8, 3, 3, true, false, 0},
		{"past the log", 11, 2, 3, true, false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, transport, _ := lateSnapshotsOf(t)
			stream := bytes.NewReader([]byte("stream"))
			answers := make(chan raft.RPCResponse, 1)
			request := &raft.InstallSnapshotRequest{Term: tt.term, LastLogIndex: tt.index, LastLogTerm: tt.lastTerm}
			transport.consumer <- raft.RPC{Command: request, Reader: stream, RespChan: answers}
			select {
			case passed := <-l.Consumer():
				if !tt.passed || passed.Command != request || stream.Len() == 0 {
					t.Errorf("Raft was given %+v with %d bytes", passed.Command, stream.Len())
				}
			case answer := <-answers:
				got, _ := answer.Response.(*raft.InstallSnapshotResponse)
				if tt.passed || answer.Error != nil || got.Success != tt.wantSuccess || got.Term != tt.wantTerm {
					t.Errorf("answered %+v, %v", answer.Response, answer.Error)
				}
				if stream.Len() != 0 {
					t.Error("the stream was left on the connection")
				}
			}
		})
	}
}

// A snapshot isn't judged while Raft is still at the request before, which may write what the snapshot has.
func TestLateSnapshotBehindAnotherRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, transport, logs := lateSnapshotsOf(t)
		before := make(chan raft.RPCResponse, 1)
		transport.consumer <- raft.RPC{Command: &raft.AppendEntriesRequest{Term: 3}, RespChan: before}
		writing := <-l.Consumer()
		answers := make(chan raft.RPCResponse, 1)
		go func() {
			snapshot := &raft.InstallSnapshotRequest{Term: 3, LastLogIndex: 11, LastLogTerm: 3}
			transport.consumer <- raft.RPC{Command: snapshot, Reader: bytes.NewReader(nil), RespChan: answers}
		}()
		synctest.Wait()
		if err := logs.StoreLog(&raft.Log{Index: 11, Term: 3}); err != nil {
			t.Fatal(err)
		}
		writing.Respond(&raft.AppendEntriesResponse{Success: true}, nil)
		if answer := <-before; !answer.Response.(*raft.AppendEntriesResponse).Success {
			t.Errorf("the request before was answered %+v", answer)
		}
		select {
		case answer := <-answers:
			if got, _ := answer.Response.(*raft.InstallSnapshotResponse); !got.Success {
				t.Errorf("answered %+v", answer)
			}
		case <-l.Consumer():
			t.Error("Raft was given the snapshot")
		}
	})
}
