package cluster

import (
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// herald is a transport that tells followers of a commit at once. Raft tells of it with the next entries or, where nobody writes, within
// two CommitTimeouts; each of these messages costs both sides a little, also if there was nothing to tell.
//
// As soon as this replica's state machine gets an entry, that entry is committed. The herald then sends a message without entries to each
// follower that is known to hold it, with the entry as the previous one and as the leader's commit index. So a follower commits what its
// log shares with the leader's, and nothing behind it: of another entry at that index it refuses the message.
//
// It is a message that this replica's Raft may have sent itself, since it has the head of those that Raft sends in the term in which it
// leads, and is only sent of entries of that term. So it may be lost, late, doubled or overtaken as any of Raft's. Answers are ignored: what
// they tell, as of a newer term, Raft hears in the answer to its own next message, and what is refused or lost Raft tells then too.
//
// There is at most one such message on its way to a follower, about the newest commit, and none if Raft has told it or is about to.
type herald struct {
	peerTransport
	raft    *ownRaft
	telling sync.WaitGroup // messages on their way

	mu       sync.Mutex
	closed   bool
	audience *audience
	commit   raft.Log // the newest committed entry; only its index and term
}

// audience are the followers in the newest term in which this replica's Raft has led.
type audience struct {
	head    raft.AppendEntriesRequest // what all of Raft's requests have in common: who leads in which term
	hearers map[raft.ServerID]*hearer
}

// hearer is a follower.
type hearer struct {
	address raft.ServerAddress
	holds   uint64 // its log is the leader's up to this index
	told    uint64 // the newest commit index that it was sent
	busy    bool   // it is being told
}

// ownRaft is the Raft that a transport belongs to. It is set once it is made, which takes the transport.
type ownRaft struct{ atomic.Pointer[raft.Raft] }

// leads reports whether this replica leads.
func (o *ownRaft) leads() bool {
	r := o.Load()
	return r != nil && r.State() == raft.Leader
}

// heralded is a state machine whose entries the followers are told of.
type heralded struct {
	raft.BatchingFSM
	herald *herald
}

// ApplyBatch implements raft.BatchingFSM.
func (m heralded) ApplyBatch(logs []*raft.Log) []any {
	m.herald.committed(logs[len(logs)-1])
	return m.BatchingFSM.ApplyBatch(logs)
}

// newHerald returns a transport for a Raft that isn't made yet. Close has to be called.
func newHerald(t peerTransport, own *ownRaft) *herald {
	return &herald{peerTransport: t, raft: own, audience: &audience{}}
}

// committed tells the followers of an entry that is committed, if it is of the term in which this replica leads.
func (h *herald) committed(entry *raft.Log) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.commit.Index, h.commit.Term = entry.Index, entry.Term
	for id, f := range h.audience.hearers {
		h.tell(id, f)
	}
}

// AppendEntries implements raft.Transport.
func (h *herald) AppendEntries(id raft.ServerID, address raft.ServerAddress, request *raft.AppendEntriesRequest,
	response *raft.AppendEntriesResponse) error {
	h.sending(id, address, request)
	err := h.peerTransport.AppendEntries(id, address, request, response)
	if err == nil {
		h.answered(id, request, response)
	}
	return err
}

// AppendEntriesPipeline implements raft.Transport.
func (h *herald) AppendEntriesPipeline(id raft.ServerID, address raft.ServerAddress) (raft.AppendPipeline, error) {
	inner, err := h.peerTransport.AppendEntriesPipeline(id, address)
	if err != nil {
		return nil, err
	}
	sending := func(request *raft.AppendEntriesRequest) { h.sending(id, address, request) }
	answered := func(request *raft.AppendEntriesRequest, response *raft.AppendEntriesResponse) {
		h.answered(id, request, response)
	}
	return newPipeline(inner, sending, answered), nil
}

// Close implements raft.WithClose. It returns when nobody is being told any more.
func (h *herald) Close() error {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	err := h.peerTransport.Close()
	h.telling.Wait()
	return err
}

// sending notes what Raft sends a follower. If it gets lost, Raft sends it again.
func (h *herald) sending(id raft.ServerID, address raft.ServerAddress, request *raft.AppendEntriesRequest) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if request.Term > h.audience.head.Term {
		head := raft.AppendEntriesRequest{RPCHeader: request.RPCHeader, Term: request.Term}
		h.audience = &audience{head: head, hearers: map[raft.ServerID]*hearer{}}
	}
	if request.Term != h.audience.head.Term {
		return
	}
	f := h.audience.hearers[id]
	if f == nil {
		f = &hearer{}
		h.audience.hearers[id] = f
	}
	f.address = address
	f.told = max(f.told, request.LeaderCommitIndex)
}

// answered notes what a follower holds, and tells it of a commit that came first.
func (h *herald) answered(id raft.ServerID, request *raft.AppendEntriesRequest, response *raft.AppendEntriesResponse) {
	if !response.Success {
		return
	}
	holds := request.PrevLogEntry
	if n := len(request.Entries); n > 0 {
		holds = request.Entries[n-1].Index
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if f := h.audience.hearers[id]; f != nil && request.Term == h.audience.head.Term && holds > f.holds {
		f.holds = holds
		h.tell(id, f)
	}
}

// tell has a follower told of the newest commit, if it needs to be. It is called with the lock held.
func (h *herald) tell(id raft.ServerID, f *hearer) {
	if f.busy || !h.newTo(h.audience, f) {
		return
	}
	f.busy = true
	a := h.audience
	h.telling.Go(func() { h.keepTelling(a, id, f) })
}

// newTo reports whether a follower needs to be told of the newest commit. Entries behind it are being sent, or their own commit is about to
// be told.
func (h *herald) newTo(a *audience, f *hearer) bool {
	return !h.closed && a == h.audience && h.commit.Term == a.head.Term && f.told < h.commit.Index && h.commit.Index <= f.holds &&
		h.raft.leads() && h.raft.Load().LastIndex() == h.commit.Index
}

// keepTelling sends a follower one message after the other as long as there is news.
func (h *herald) keepTelling(a *audience, id raft.ServerID, f *hearer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.newTo(a, f) {
		address, news := f.address, tidings(a.head, h.commit)
		f.told = h.commit.Index
		h.mu.Unlock()
		discard(h.peerTransport.AppendEntries(id, address, &news, &raft.AppendEntriesResponse{}))
		h.mu.Lock()
	}
	f.busy = false
}

// tidings returns the message that an entry is committed, from who leads in its term.
func tidings(head raft.AppendEntriesRequest, entry raft.Log) raft.AppendEntriesRequest {
	head.PrevLogEntry, head.PrevLogTerm, head.LeaderCommitIndex = entry.Index, entry.Term, entry.Index
	return head
}
