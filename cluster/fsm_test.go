package cluster

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/consentd/consentd/cluster/chaos"
	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/store"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
)

// TestReplicasAgree has replicas come by one log in every way there is: entry by entry; in batches; with restarts and losses of power, and
// the log replayed from some index; with streams of snapshots, early and late, made while entries were applied. Whenever they stand at the
// same index, their states have to be the same and show the same, and every command has to come to the same. CHAOSRUNS says how many logs.
func TestReplicasAgree(t *testing.T) {
	t.Parallel()
	seed := crashSeed(t)
	for i := range uint64(chaos.Runs(t, 4)) {
		l := appliedLog(t, seed+i)
		for n := range uint64(3) {
			r := &wanderer{tb: t, log: l, dice: rand.New(rand.NewPCG(seed+i, 10+n)), fs: vfs.NewCrashableMem(), next: 1}
			r.open()
			r.wander()
			closeStore(t, r.store)
		}
		if t.Failed() {
			t.Fatalf("log %d of seed %d", i, seed)
		}
	}
}

// agreed is a log, and what a replica came to that applied it entry by entry.
type agreed struct {
	entries []*raft.Log // that of index n at n-1; nil for one that the state machine doesn't hear of
	answers [][]told
	moments map[uint64]moment // by what is applied
	streams [][]byte
}

// told is the result of a command, with its error in words.
type told struct {
	store.Result
	Refusal string
}

// moment is what a state is and shows.
type moment struct {
	hash  [32]byte
	shows string
}

const agreedEntries = 120

// appliedLog makes a log, and applies it.
func appliedLog(t *testing.T, seed uint64) *agreed {
	t.Helper()
	l := &agreed{moments: map[uint64]moment{}}
	dice := rand.New(rand.NewPCG(seed, 1))
	random := &randomLog{dice: dice}
	s := openMemoryStore(t, vfs.NewMem())
	machine := &fsm{store: s, report: func(err error) { t.Error(err) }}
	var streaming sync.WaitGroup
	var mu sync.Mutex
	l.moments[0] = momentOf(t, s)
	for index := uint64(1); index <= agreedEntries; index++ {
		entry := &raft.Log{Index: index, Type: raft.LogCommand}
		switch dice.IntN(12) {
		case 0:
			entry = nil
		case 1:
			entry.Type = raft.LogConfiguration
		default:
			entry.Data = random.entry(s.Head().Stamp, func() []byte { return streamNow(t, s)[streamHeadBytes:] })
		}
		if index == agreedEntries/2 && seed%4 == 0 {
			entry = &raft.Log{Index: index, Type: raft.LogCommand, Data: store.EncodeEntry(random.stamp, random.fullRecord())}
		}
		l.entries, l.answers = append(l.entries, entry), append(l.answers, nil)
		if entry == nil {
			continue
		}
		if dice.IntN(6) == 0 {
			streaming.Go(func() {
				stream := streamNow(t, s)
				mu.Lock()
				defer mu.Unlock()
				l.streams = append(l.streams, stream)
			})
		}
		l.answers[index-1] = answersOf(machine.Apply(entry))
		l.moments[index] = momentOf(t, s)
	}
	streaming.Wait()
	closeStore(t, s)
	return l
}

// streamNow returns the stream of a snapshot, as a follower gets it.
func streamNow(tb testing.TB, s *store.Store) []byte {
	tb.Helper()
	var stream bytes.Buffer
	if _, err := writeStream(s, &stream); err != nil {
		tb.Error(err)
	}
	return stream.Bytes()
}

func openMemoryStore(tb testing.TB, fs vfs.FS) *store.Store {
	tb.Helper()
	s, err := store.Open(store.Options{FS: fs, Dir: "ledger", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func closeStore(tb testing.TB, s *store.Store) {
	tb.Helper()
	if err := s.Close(); err != nil {
		tb.Error(err)
	}
}

func answersOf(answer any) []told {
	results, _ := answer.([]store.Result)
	var all []told
	for _, r := range results {
		of := told{Result: r}
		if r.Err != nil {
			of.Refusal, of.Err = r.Err.Error(), nil
		}
		all = append(all, of)
	}
	return all
}

func momentOf(tb testing.TB, s *store.Store) moment {
	tb.Helper()
	hash, err := s.StateHash()
	if err != nil {
		tb.Fatal(err)
	}
	head := s.Head()
	key, keyed := s.KeyCheck()
	shows := fmt.Sprintln(head.Revision.Epoch, head.Stamp, s.Bound(), key, keyed, s.Learners(), s.NextDue(), s.Restoring(), s.Stats().Subjects)
	for _, name := range slices.Sorted(maps.Keys(head.Tenants)) {
		shows += tenantShows(head.Tenants[name])
	}
	return moment{hash, shows}
}

func tenantShows(t *consent.Tenant) string {
	shows := fmt.Sprintln(t.Name, t.Number, t.Epoch)
	for id := range t.Names.Len() {
		kind, name := t.Names.Name(consent.NameID(id + 1))
		shows += fmt.Sprint(kind, name, " ")
	}
	if t.Policy != nil {
		shows += fmt.Sprintf("\n%d %+v\n", t.Policy.Version, t.Policy.Permissions)
	}
	return shows
}

// wanderer is a replica that comes by the log in its own way.
type wanderer struct {
	tb      testing.TB
	log     *agreed
	dice    *rand.Rand
	fs      *vfs.MemFS
	store   *store.Store
	fsm     *fsm
	next    uint64 // the index of the entry that it gets next
	durable uint64 // what it has to have after a loss of power
}

func (r *wanderer) open() {
	r.tb.Helper()
	r.store = openMemoryStore(r.tb, r.fs)
	r.fsm = &fsm{store: r.store, report: func(err error) { r.tb.Error(err) }}
}

// wander applies the whole log.
func (r *wanderer) wander() {
	r.tb.Helper()
	steps := []func(){r.apply, r.apply, r.apply, r.sync, r.restart, r.losePower, r.takeStream}
	for r.next <= agreedEntries && !r.tb.Failed() {
		steps[r.dice.IntN(len(steps))]()
		want, known := r.log.moments[r.store.Applied()]
		if diff := cmp.Diff(want.shows, momentOf(r.tb, r.store).shows); diff != "" || !known {
			r.tb.Errorf("index %d shows something else (-want +got):\n%s", r.store.Applied(), diff)
		}
		if momentOf(r.tb, r.store).hash != want.hash {
			r.tb.Errorf("index %d has another state", r.store.Applied())
		}
	}
}

// apply applies some entries together. Those applied before have no answers.
func (r *wanderer) apply() {
	r.tb.Helper()
	var batch []*raft.Log
	for range 1 + r.dice.IntN(9) {
		if r.next <= agreedEntries && r.log.entries[r.next-1] != nil {
			batch = append(batch, r.log.entries[r.next-1])
		}
		r.next++
	}
	before := r.store.Applied()
	for i, answer := range r.fsm.ApplyBatch(batch) {
		var want []told
		if batch[i].Index > before {
			want = r.log.answers[batch[i].Index-1]
		}
		if diff := cmp.Diff(want, answersOf(answer)); diff != "" {
			r.tb.Errorf("the commands of entry %d came to something else (-want +got):\n%s", batch[i].Index, diff)
		}
	}
}

func (r *wanderer) sync() {
	r.tb.Helper()
	durable, err := r.store.Sync()
	if err != nil {
		r.tb.Fatal(err)
	}
	r.durable = durable
}

func (r *wanderer) restart() {
	r.tb.Helper()
	closeStore(r.tb, r.store)
	r.open()
	r.resume()
}

func (r *wanderer) losePower() {
	r.tb.Helper()
	left := r.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.dice.IntN(101), RNG: r.dice})
	closeStore(r.tb, r.store)
	r.fs = left
	r.open()
	if applied := r.store.Applied(); applied < r.durable {
		r.tb.Errorf("after a loss of power it stands at %d, and %d was durable", applied, r.durable)
	}
	r.resume()
}

// resume has the log come from a little before what is applied on.
func (r *wanderer) resume() {
	r.next = r.store.Applied() + 1
	r.next -= min(r.next-1, r.dice.Uint64N(5))
}

// takeStream is sent a snapshot, maybe one that it has left behind. The log goes on behind the snapshot's own index, which may be less than
// what its stream covers.
func (r *wanderer) takeStream() {
	r.tb.Helper()
	if len(r.log.streams) == 0 {
		return
	}
	stream := r.log.streams[r.dice.IntN(len(r.log.streams))]
	covers, err := readStreamHead(bytes.NewReader(stream))
	if err != nil {
		r.tb.Fatal(err)
	}
	before := r.store.Applied()
	if err := r.fsm.Restore(io.NopCloser(bytes.NewReader(stream))); err != nil {
		r.tb.Fatal(err)
	}
	if want := max(before, covers); r.store.Applied() != want {
		r.tb.Errorf("it stands at %d after a stream of %d at %d, want %d", r.store.Applied(), covers, before, want)
	}
	if covers > before {
		r.durable = covers
	}
	r.resume()
}
