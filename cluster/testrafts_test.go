package cluster

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// memRafts is Rafts with everything in memory, each behind a herald and a comeback, for tests in virtual time.
type memRafts struct {
	t    *testing.T
	all  map[string]*memRaft
	mu   sync.Mutex
	down map[[2]string]bool // links, from and to
	deaf map[[2]string]bool // where only answers get lost
	sent []memMessage
}

// memRaft is one of them.
type memRaft struct {
	*raft.Raft
	id       string
	fsm      *raft.MockFSM
	herald   *herald
	comeback *comeback
}

// memMessage is a request to append, in the order in which they were sent.
type memMessage struct {
	from, to string
	at       time.Time
	request  raft.AppendEntriesRequest
}

// memTransport loses what goes over a link that is down, without a word, and notes requests to append. It has no pipeline.
type memTransport struct {
	*raft.InmemTransport
	id    string
	rafts *memRafts
}

// memPatience is how long a lost message is waited for.
const memPatience = 500 * time.Millisecond

func (m *memTransport) lost(to raft.ServerAddress) error {
	m.rafts.mu.Lock()
	down := m.rafts.down[[2]string{m.id, string(to)}]
	m.rafts.mu.Unlock()
	if !down {
		return nil
	}
	time.Sleep(memPatience) // virtual
	return fmt.Errorf("%s doesn't answer", to)
}

func (m *memTransport) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

func (m *memTransport) AppendEntries(id raft.ServerID, to raft.ServerAddress, request *raft.AppendEntriesRequest,
	response *raft.AppendEntriesResponse) error {
	m.rafts.mu.Lock()
	m.rafts.sent = append(m.rafts.sent, memMessage{m.id, string(to), time.Now(), *request})
	m.rafts.mu.Unlock()
	if err := m.lost(to); err != nil {
		return err
	}
	answer := raft.AppendEntriesResponse{}
	err := m.InmemTransport.AppendEntries(id, to, request, &answer)
	m.rafts.mu.Lock()
	deaf := m.rafts.deaf[[2]string{m.id, string(to)}]
	m.rafts.mu.Unlock()
	if deaf {
		return fmt.Errorf("the answer of %s got lost", to)
	}
	*response = answer
	return err
}

func (m *memTransport) RequestVote(id raft.ServerID, to raft.ServerAddress, request *raft.RequestVoteRequest,
	response *raft.RequestVoteResponse) error {
	if err := m.lost(to); err != nil {
		return err
	}
	return m.InmemTransport.RequestVote(id, to, request, response)
}

func (m *memTransport) RequestPreVote(id raft.ServerID, to raft.ServerAddress, request *raft.RequestPreVoteRequest,
	response *raft.RequestPreVoteResponse) error {
	if err := m.lost(to); err != nil {
		return err
	}
	return m.InmemTransport.RequestPreVote(id, to, request, response)
}

func (m *memTransport) InstallSnapshot(id raft.ServerID, to raft.ServerAddress, request *raft.InstallSnapshotRequest,
	response *raft.InstallSnapshotResponse, data io.Reader) error {
	if err := m.lost(to); err != nil {
		return err
	}
	return m.InmemTransport.InstallSnapshot(id, to, request, response, data)
}

// batching is a raft.MockFSM that takes batches.
type batching struct{ *raft.MockFSM }

// ApplyBatch implements raft.BatchingFSM.
func (b batching) ApplyBatch(logs []*raft.Log) []any {
	for _, l := range logs {
		if l.Type == raft.LogCommand {
			b.Apply(l)
		}
	}
	return make([]any, len(logs))
}

// openMemRafts starts voters, n1 and so on, whose leader tells of commits every so often by itself. It has to be closed.
func openMemRafts(t *testing.T, voters int, commit time.Duration) *memRafts {
	t.Helper()
	m := &memRafts{t: t, all: map[string]*memRaft{}, down: map[[2]string]bool{}, deaf: map[[2]string]bool{}}
	var servers []raft.Server
	transports := map[string]*raft.InmemTransport{}
	for i := range voters {
		id := fmt.Sprintf("n%d", i+1)
		servers = append(servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
		_, transports[id] = raft.NewInmemTransportWithTimeout(raft.ServerAddress(id), memPatience)
	}
	for id, from := range transports {
		for to, transport := range transports {
			if to != id {
				from.Connect(raft.ServerAddress(to), transport)
			}
		}
		m.all[id] = m.open(id, from, servers, commit)
	}
	return m
}

func (m *memRafts) open(id string, transport *raft.InmemTransport, servers []raft.Server, commit time.Duration) *memRaft {
	m.t.Helper()
	o := Options{Logger: slog.New(slog.DiscardHandler)}
	o.tuning.commit = commit
	config := raftConfig(o.withDefaults(), id, nil)
	var own ownRaft
	r := &memRaft{id: id, fsm: &raft.MockFSM{}}
	r.herald = newHerald(&memTransport{transport, id, m}, &own)
	r.comeback = newComeback(r.herald, &own)
	logs, snapshots := raft.NewInmemStore(), raft.NewInmemSnapshotStore()
	err := raft.BootstrapCluster(config, logs, logs, snapshots, transport, raft.Configuration{Servers: servers})
	if err == nil {
		r.Raft, err = raft.NewRaft(config, heralded{batching{r.fsm}, r.herald}, logs, logs, snapshots, r.comeback)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	own.Store(r.Raft)
	return r
}

func (m *memRafts) close() {
	m.t.Helper()
	for _, r := range m.all {
		if err := r.Shutdown().Error(); err != nil {
			m.t.Error(err)
		}
	}
	time.Sleep(time.Minute) // virtual, for one that was told before to shut down
}

// leader waits until one of some leads, or of all. It returns it and the others of all.
func (m *memRafts) leader(among ...string) (leader *memRaft, others []*memRaft) {
	m.t.Helper()
	for range 1000 {
		time.Sleep(10 * time.Millisecond) // virtual
		for id, r := range m.all {
			if r.State() == raft.Leader && (len(among) == 0 || slices.Contains(among, id)) {
				for _, other := range m.all {
					if other != r {
						others = append(others, other)
					}
				}
				return r, others
			}
		}
	}
	m.t.Fatal("nobody leads")
	return nil, nil
}

// apart cuts or mends the links between one and others, in both directions.
func (m *memRafts) apart(cut bool, one *memRaft, others ...*memRaft) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, other := range others {
		m.down[[2]string{one.id, other.id}], m.down[[2]string{other.id, one.id}] = cut, cut
	}
}

// deafen loses or brings the answers of others to one.
func (m *memRafts) deafen(deaf bool, one *memRaft, others ...*memRaft) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, other := range others {
		m.deaf[[2]string{one.id, other.id}] = deaf
	}
}

// apply has an entry applied.
func (m *memRafts) apply(r *memRaft, entry string) {
	m.t.Helper()
	if err := r.Apply([]byte(entry), 0).Error(); err != nil {
		m.t.Fatal(err)
	}
}

// since returns the requests that one has sent since a moment, but for heartbeats.
func (m *memRafts) since(from *memRaft, began time.Time) (sent []memMessage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sent {
		if s.from == from.id && !s.at.Before(began) && !isHeartbeat(&s.request) {
			sent = append(sent, s)
		}
	}
	return sent
}

// entries returns what a replica has applied.
func (r *memRaft) entries() (all []string) {
	for _, entry := range r.fsm.Logs() {
		all = append(all, string(entry))
	}
	return all
}
