package cluster

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// rpcTimeout is how long one request of Raft's, except a snapshot, may take, the disk of the other side included. It isn't what ends a
	// leadership: heartbeats do, on a connection of their own, and raft asks each replica from a goroutine of its own. So it is
	// longer than an election, because giving up a slow disk's answer only sends it the same entries again.
	rpcTimeout = 2 * time.Second
	// pooledConns are kept to each replica: for heartbeats, entries and votes.
	pooledConns = 3
	// appendBytes is how much of the log one request carries at most, unless its first entry is larger. It has to get through within
	// rpcTimeout, and is held in memory on both sides.
	appendBytes = 4 << 20
	// A snapshot may stall for this long, on its way and while it is put into place.
	snapshotStall = 20 * time.Second
)

// raftTransport is raft's transport on a wire. Raft names a replica by id and address, its transport asks a stream layer for an address:
// so the target that it gets here is both, "id@address", and each connection is made to the replica that is meant.
type raftTransport struct{ *raft.NetworkTransport }

// transport returns what Raft talks through. Close ends its connections; it is called once for a wire.
func (w *Wire) transport(log *slog.Logger) *raftTransport {
	return &raftTransport{raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Logger: newRaftLogger(log), Stream: w.streamLayer(), MaxPool: pooledConns, Timeout: rpcTimeout, MsgpackUseNewTimeFormat: true,
	})}
}

// AppendEntries implements raft.Transport.
func (t *raftTransport) AppendEntries(id raft.ServerID, address raft.ServerAddress, request *raft.AppendEntriesRequest,
	response *raft.AppendEntriesResponse) error {
	boundEntries(request)
	return t.NetworkTransport.AppendEntries(id, target(id, address), request, response)
}

// AppendEntriesPipeline implements raft.Transport.
func (t *raftTransport) AppendEntriesPipeline(id raft.ServerID, address raft.ServerAddress) (raft.AppendPipeline, error) {
	inner, err := t.NetworkTransport.AppendEntriesPipeline(id, target(id, address))
	if err != nil {
		return nil, err
	}
	return boundedPipeline{inner}, nil
}

// RequestVote implements raft.Transport.
func (t *raftTransport) RequestVote(id raft.ServerID, address raft.ServerAddress, request *raft.RequestVoteRequest,
	response *raft.RequestVoteResponse) error {
	return pastStale(func() error { return t.NetworkTransport.RequestVote(id, target(id, address), request, response) })
}

// RequestPreVote implements raft.WithPreVote.
func (t *raftTransport) RequestPreVote(id raft.ServerID, address raft.ServerAddress, request *raft.RequestPreVoteRequest,
	response *raft.RequestPreVoteResponse) error {
	return pastStale(func() error { return t.NetworkTransport.RequestPreVote(id, target(id, address), request, response) })
}

// TimeoutNow implements raft.Transport.
func (t *raftTransport) TimeoutNow(id raft.ServerID, address raft.ServerAddress, request *raft.TimeoutNowRequest,
	response *raft.TimeoutNowResponse) error {
	return pastStale(func() error { return t.NetworkTransport.TimeoutNow(id, target(id, address), request, response) })
}

// InstallSnapshot implements raft.Transport.
func (t *raftTransport) InstallSnapshot(id raft.ServerID, address raft.ServerAddress, request *raft.InstallSnapshotRequest,
	response *raft.InstallSnapshotResponse, data io.Reader) error {
	return t.NetworkTransport.InstallSnapshot(id, snapshotMark+target(id, address), request, response, data)
}

// EncodePeer implements raft.Transport. It is how a leader names its address to the others.
func (t *raftTransport) EncodePeer(_ raft.ServerID, address raft.ServerAddress) []byte {
	return []byte(address)
}

// boundEntries leaves out the entries that are too much for one request. Raft looks at the request afterwards to see how far it got, and
// sends the rest next.
func boundEntries(request *raft.AppendEntriesRequest) {
	bytes := 0
	for i, entry := range request.Entries {
		bytes += entryBytes(entry)
		if bytes > appendBytes && i > 0 {
			request.Entries = request.Entries[:i]
			return
		}
	}
}

// boundedPipeline is a raft.AppendPipeline whose requests are bounded.
type boundedPipeline struct{ raft.AppendPipeline }

// AppendEntries implements raft.AppendPipeline.
func (p boundedPipeline) AppendEntries(request *raft.AppendEntriesRequest, response *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	boundEntries(request)
	return p.AppendPipeline.AppendEntries(request, response)
}

// pastStale repeats a request that failed on a connection which the other side has ended since it was last used, as a restart does to
// all that are pooled. Without it, a candidate loses an election for each of them. A vote that is asked for twice is the same vote.
func pastStale(request func() error) error {
	for range pooledConns {
		if err := request(); !isStale(err) {
			return err
		}
	}
	return request()
}

func isStale(err error) bool {
	for _, sign := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, sign) {
			return true
		}
	}
	return false
}

// snapshotMark begins the target of a snapshot. No id has a colon in it.
const snapshotMark = "snapshot:"

func target(id raft.ServerID, address raft.ServerAddress) raft.ServerAddress {
	return raft.ServerAddress(id) + "@" + address
}

// streamLayer carries Raft's connections. It implements raft.StreamLayer.
type streamLayer struct {
	*doorway
}

func (w *Wire) streamLayer() raft.StreamLayer { return streamLayer{w.raft} }

// Dial implements raft.StreamLayer.
func (s streamLayer) Dial(target raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	name, isSnapshot := strings.CutPrefix(string(target), snapshotMark)
	id, address, found := strings.Cut(name, "@")
	if !found {
		return nil, fmt.Errorf("%q isn't id@address", target)
	}
	conn, err := s.wire.dialWithin(timeout, kindRaft, id, address)
	if err != nil || !isSnapshot {
		return conn, err
	}
	return &snapshotConn{conn}, nil
}

// Close ends Raft's connections. Raft's transport closes neither those that it pools nor those that it has accepted.
func (s streamLayer) Close() error {
	err := s.doorway.Close()
	s.wire.closeAll(func(o *opened) bool { return o.kind == kindRaft })
	return err
}

// snapshotConn carries a snapshot. Raft sets one deadline for all of it, in proportion to its size. Here sending goes on as long as it
// makes progress, and a small one also gets the time that the other side's disk may take.
type snapshotConn struct{ net.Conn }

// SetDeadline implements net.Conn.
func (c *snapshotConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t.Add(snapshotStall)) }

// Write implements net.Conn.
func (c *snapshotConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(snapshotStall)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
