package cluster

import (
	"io"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// comeback is a transport that tells Raft of a failure to replicate only when the follower can be reached again.
//
// After each failure Raft waits for longer before it tries again, up to 10 s, so a follower that was away for a while would be left without
// entries for as long after its return, and answer STALE. Heartbeats never wait for longer than half their timeout. So who asks in vain is
// kept waiting here until a heartbeat is answered: to Raft any absence is one failure, after which it waits 10 ms. Nothing is sent again
// here, nor is Raft told anything but what has happened, which it would have acted on by asking again, and no follower counts as heard of.
//
// Waiting ends when the request is of no use any more: this replica doesn't lead in its term, is being closed, or Raft would ask another
// address or nobody.
type comeback struct {
	peerTransport
	raft *ownRaft

	mu       sync.Mutex
	term     uint64                          // the newest in which Raft has sent anything
	answered map[raft.ServerID]chan struct{} // each closed when the follower's next heartbeat is
	waiting  map[raft.ServerID]int           // how many requests to each are waited with
}

// comebackLook is how often who waits looks whether it still makes sense.
const comebackLook = 25 * time.Millisecond

// newComeback returns a transport for a Raft that isn't made yet.
func newComeback(t peerTransport, own *ownRaft) *comeback {
	return &comeback{peerTransport: t, raft: own, answered: map[raft.ServerID]chan struct{}{}, waiting: map[raft.ServerID]int{}}
}

// AppendEntries implements raft.Transport.
func (c *comeback) AppendEntries(id raft.ServerID, address raft.ServerAddress, request *raft.AppendEntriesRequest,
	response *raft.AppendEntriesResponse) error {
	c.sending(request.Term)
	err := c.peerTransport.AppendEntries(id, address, request, response)
	switch {
	case isHeartbeat(request) && err == nil:
		c.heard(id)
	case !isHeartbeat(request) && err != nil:
		c.await(id, address, request.Term)
	}
	return err
}

// InstallSnapshot implements raft.Transport. What it is to send is closed before the wait, or the stream's file and the log behind it would be
// kept for as long as the follower is away.
func (c *comeback) InstallSnapshot(id raft.ServerID, address raft.ServerAddress, request *raft.InstallSnapshotRequest,
	response *raft.InstallSnapshotResponse, data io.Reader) error {
	err := c.peerTransport.InstallSnapshot(id, address, request, response, data)
	if err != nil {
		if stream, is := data.(io.Closer); is {
			discard(stream.Close())
		}
		c.await(id, address, request.Term)
	}
	return err
}

// isHeartbeat reports whether Raft answers a request without asking the disk, in the words of raft's NetworkTransport.
func isHeartbeat(r *raft.AppendEntriesRequest) bool {
	return r.Term != 0 && r.PrevLogEntry == 0 && r.PrevLogTerm == 0 && len(r.Entries) == 0 && r.LeaderCommitIndex == 0
}

func (c *comeback) sending(term uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.term = max(c.term, term)
}

// heard lets those go who wait for a follower.
func (c *comeback) heard(id raft.ServerID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if answered := c.answered[id]; answered != nil {
		close(answered)
		delete(c.answered, id)
	}
}

// away reports whether Raft waits for a follower.
func (c *comeback) away(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting[raft.ServerID(id)] > 0
}

// await waits until a follower answers a heartbeat, as long as Raft goes on replicating to it in that term.
func (c *comeback) await(id raft.ServerID, address raft.ServerAddress, term uint64) {
	answered := c.nextAnswer(id)
	c.waits(id, 1)
	defer c.waits(id, -1)
	look := time.NewTicker(comebackLook)
	defer look.Stop()
	for c.replicates(id, address, term) {
		select {
		case <-answered:
			return
		case <-look.C:
		}
	}
}

func (c *comeback) waits(id raft.ServerID, more int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting[id] += more
}

func (c *comeback) nextAnswer(id raft.ServerID) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	answered := c.answered[id]
	if answered == nil {
		answered = make(chan struct{})
		c.answered[id] = answered
	}
	return answered
}

// replicates reports whether this replica's Raft leads in a term and replicates to a follower at an address.
func (c *comeback) replicates(id raft.ServerID, address raft.ServerAddress, term uint64) bool {
	c.mu.Lock()
	newest := c.term
	c.mu.Unlock()
	if newest != term || !c.raft.leads() {
		return false
	}
	servers := c.raft.Load().GetConfiguration().Configuration().Servers
	return slices.ContainsFunc(servers, func(s raft.Server) bool { return s.ID == id && s.Address == address })
}
