package cluster

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/consentd/consentd/cluster/chaos"
	"github.com/hashicorp/raft"
)

// chaosFaults are what can happen to a cluster in one process. Each returns how it ends, if it does, and takes note when it has done
// something.
var chaosFaults = merged(nearFaults(), map[string]func(*chaosRun, *rand.Rand) func(){
	"power loss of the leader":      func(r *chaosRun, d *rand.Rand) func() { return r.loses(d, r.leads()) },
	"power loss of a follower":      func(r *chaosRun, d *rand.Rand) func() { return r.loses(d, r.follows(d)) },
	"power loss of all":             func(r *chaosRun, d *rand.Rand) func() { return r.loses(d, r.c.ids...) },
	"kill of the leader":            func(r *chaosRun, _ *rand.Rand) func() { return r.dies(r.leads()) },
	"kill of a follower":            func(r *chaosRun, d *rand.Rand) func() { return r.dies(r.follows(d)) },
	"leader cut off":                func(r *chaosRun, _ *rand.Rand) func() { return r.apart(r.leads()) },
	"follower cut off":              func(r *chaosRun, d *rand.Rand) func() { return r.apart(r.follows(d)) },
	"leader left with learners":     func(r *chaosRun, _ *rand.Rand) func() { return r.apart(r.leads(), "l1") },
	"leader cut off by a coup":      (*chaosRun).coup,
	"leader can't send":             func(r *chaosRun, _ *rand.Rand) func() { return r.mute(r.leads()) },
	"leader can't hear":             func(r *chaosRun, _ *rand.Rand) func() { return r.deaf(r.leads()) },
	"follower can't hear":           func(r *chaosRun, d *rand.Rand) func() { return r.deaf(r.follows(d)) },
	"one direction cut":             (*chaosRun).oneWay,
	"slow links":                    (*chaosRun).slow,
	"messages held back":            (*chaosRun).held,
	"commits untold":                (*chaosRun).untold,
	"leadership transferred":        (*chaosRun).transfer,
	"snapshots":                     (*chaosRun).snapshot,
	"voter demoted and promoted":    (*chaosRun).demote,
	"learner promoted and demoted":  (*chaosRun).promote,
	"learner removed and added":     (*chaosRun).remove,
	"clock jumps ahead":             (*chaosRun).jump,
	"backup":                        (*chaosRun).backUp,
	"disk full":                     (*chaosRun).fill,
	"slow disks":                    (*chaosRun).slowDisks,
	"learner away past the log":     func(r *chaosRun, d *rand.Rand) func() { return r.loses(d, "l1") },
	"power loss while it starts up": (*chaosRun).losesTwice,
})

func merged[K comparable, V any](into, more map[K]V) map[K]V {
	maps.Copy(into, more)
	return into
}

// leads returns who leads, or anyone that runs.
func (r *chaosRun) leads() string {
	running := r.c.running()
	for _, id := range running {
		if n := r.c.replicas[id].Node; n.raft.State() == raft.Leader {
			return id
		}
	}
	if len(running) == 0 {
		return ""
	}
	return running[0]
}

// follows returns a voter that runs and doesn't lead, if there is one.
func (r *chaosRun) follows(d *rand.Rand) string {
	leader := r.leads()
	others := slices.DeleteFunc(r.c.running(), func(id string) bool { return id == leader || id[0] == 'l' })
	if len(others) == 0 {
		return ""
	}
	return others[d.IntN(len(others))]
}

// loses cuts the power of replicas, all at once, and starts them at the end.
func (r *chaosRun) loses(d *rand.Rand, ids ...string) func() {
	var down []string
	for _, id := range ids {
		if slices.Contains(r.c.running(), id) {
			down = append(down, id)
		}
	}
	r.c.crashAll(crashConfig(d), down...)
	if len(down) > 0 {
		r.take()
	}
	return func() { r.restart(down) }
}

func (r *chaosRun) dies(id string) func() {
	if id == "" {
		return nil
	}
	r.c.kill(id)
	r.take()
	return func() { r.restart([]string{id}) }
}

func (r *chaosRun) losesTwice(d *rand.Rand) func() {
	id := r.follows(d)
	if id == "" {
		return nil
	}
	r.c.crash(id, crashConfig(d))
	r.c.start(id)
	r.c.crash(id, crashConfig(d))
	r.take()
	return func() { r.restart([]string{id}) }
}

func (r *chaosRun) restart(ids []string) {
	for _, id := range ids {
		if r.c.replicas[id].Node == nil {
			r.c.start(id)
		}
	}
}

// onLinks returns how trouble of links ends. It has done something if a message has met it.
func (r *chaosRun) onLinks(end func()) func() {
	before := r.c.net.troubled.Load()
	return func() {
		if r.c.net.troubled.Load() > before {
			r.take()
		}
		end()
	}
}

func (r *chaosRun) apart(ids ...string) func() {
	r.c.isolate(ids...)
	return r.onLinks(r.c.heal)
}

// coup cuts the leader and the learner off from the others at the moment at which one of those stands for election, as after a transfer of
// leadership. So there is a new leader long before the old one knows.
func (r *chaosRun) coup(d *rand.Rand) func() {
	leader, next := r.leads(), r.follows(d)
	if next == "" {
		return nil
	}
	r.c.isolate(leader, "l1")
	r.c.net.mu.Lock()
	target := r.c.net.transports[next]
	r.c.net.mu.Unlock()
	_, _ = target.handle(&raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{
		ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(leader), Addr: []byte(leader),
	}}, nil, rpcPatience) // it may have stopped
	return func() {
		if r.otherLeads(leader) {
			r.take()
		}
		r.c.heal()
	}
}

// otherLeads reports whether another replica leads, be it beside one that doesn't know.
func (r *chaosRun) otherLeads(than string) bool {
	return slices.ContainsFunc(r.c.running(), func(id string) bool { return id != than && r.c.node(id).raft.State() == raft.Leader })
}

func (r *chaosRun) mute(id string) func() {
	for _, other := range r.c.ids {
		r.c.cut(id, other)
	}
	return r.onLinks(r.c.heal)
}

func (r *chaosRun) deaf(id string) func() {
	for _, other := range r.c.ids {
		r.c.cut(other, id)
	}
	return r.onLinks(r.c.heal)
}

func (r *chaosRun) pair(d *rand.Rand) (from, to string) {
	i := d.IntN(len(r.c.ids))
	j := (i + 1 + d.IntN(len(r.c.ids)-1)) % len(r.c.ids)
	return r.c.ids[i], r.c.ids[j]
}

func (r *chaosRun) oneWay(d *rand.Rand) func() {
	r.c.cut(r.pair(d))
	return r.onLinks(r.c.heal)
}

func (r *chaosRun) slow(d *rand.Rand) func() {
	for range 4 {
		from, to := r.pair(d)
		r.c.delay(from, to, time.Duration(1+d.IntN(120))*time.Millisecond)
	}
	return r.onLinks(r.c.heal)
}

// untold loses the messages that only tell of commits. A follower hears of one with later entries, and one that then leads may not have.
func (r *chaosRun) untold(*rand.Rand) func() {
	r.c.net.untold.Store(true)
	return r.onLinks(func() { r.c.net.untold.Store(false) })
}

func (r *chaosRun) held(d *rand.Rand) func() { return r.onLinks(r.c.hold(r.pair(d))) }

func (r *chaosRun) transfer(*rand.Rand) func() {
	if id := r.leads(); id != "" {
		done := r.c.node(id).raft.LeadershipTransfer()
		return func() {
			if done.Error() == nil { // otherwise whoever else leads, or doesn't
				r.take()
			}
		}
	}
	return nil
}

func (r *chaosRun) snapshot(*rand.Rand) func() {
	var taken []raft.SnapshotFuture
	for _, id := range r.c.running() {
		taken = append(taken, r.c.node(id).raft.Snapshot())
	}
	return func() {
		done := false
		for _, s := range taken {
			err := s.Error()
			done = done || err == nil
			if err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) && !errors.Is(err, raft.ErrRaftShutdown) &&
				!strings.Contains(err.Error(), errOvertaken.Error()) { // Raft doesn't wrap it
				r.odd.add(err)
			}
		}
		if done {
			r.take()
		}
	}
}

// demote makes a voter a learner until the end.
func (r *chaosRun) demote(d *rand.Rand) func() {
	leader, id := r.leads(), r.follows(d)
	if id == "" {
		return nil
	}
	if r.c.node(leader).raft.DemoteVoter(raft.ServerID(id), 0, time.Second).Error() == nil { // fails for who doesn't lead
		r.take()
	}
	return func() {
		if leader := r.leads(); leader != "" {
			_ = r.c.node(leader).raft.AddVoter(raft.ServerID(id), raft.ServerAddress(id), 0, time.Second).Error() // see above
		}
	}
}

// asLeader asks who leads for a change of the members, which fails for who doesn't, or hasn't the others' word in time.
func (r *chaosRun) asLeader(change func(*raft.Raft) raft.IndexFuture) error {
	leader := r.leads()
	if leader == "" {
		return errCrashed
	}
	return change(r.c.node(leader).raft).Error()
}

// promote makes the learner a voter until the end.
func (r *chaosRun) promote(*rand.Rand) func() {
	if r.asLeader(func(n *raft.Raft) raft.IndexFuture { return n.AddVoter("l1", "l1", 0, time.Second) }) == nil {
		r.take()
	}
	return func() {
		_ = r.asLeader(func(n *raft.Raft) raft.IndexFuture { return n.DemoteVoter("l1", 0, time.Second) })
	}
}

// remove removes the learner until the end. It runs on, and doesn't hear of it.
func (r *chaosRun) remove(*rand.Rand) func() {
	if r.asLeader(func(n *raft.Raft) raft.IndexFuture { return n.RemoveServer("l1", 0, time.Second) }) == nil {
		r.take()
	}
	return func() { _ = r.addLearner() }
}

// addLearner takes the learner in, if it isn't a member.
func (r *chaosRun) addLearner() error {
	return r.asLeader(func(n *raft.Raft) raft.IndexFuture { return n.AddNonvoter("l1", "l1", 0, time.Second) })
}

// jump has the clock of a replica jump ahead, for good.
func (r *chaosRun) jump(d *rand.Rand) func() {
	ahead := r.ahead[r.c.ids[d.IntN(len(r.c.ids))]]
	ahead.Add(int64(1+d.IntN(3000)) * int64(time.Millisecond))
	r.take()
	return nil
}

// backUp has a replica make a backup until the end, and reads that.
func (r *chaosRun) backUp(d *rand.Rand) func() {
	running := r.c.running()
	if len(running) == 0 {
		return nil
	}
	n := r.c.node(running[d.IntN(len(running))])
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	var file bytes.Buffer
	made := make(chan error, 1)
	go func() { made <- n.BackUp(ctx, &file) }()
	return func() {
		defer cancel()
		if <-made != nil { // it had no proof, or has stopped
			return
		}
		r.take()
		if _, err := Inspect(&file); err != nil {
			r.odd.add(err)
		}
	}
}

// fill fills the disk of whoever leads.
func (r *chaosRun) fill(*rand.Rand) func() {
	id := r.leads()
	if id == "" {
		return nil
	}
	r.disks[id].full.Store(true)
	return func() {
		if n := r.c.replicas[id].Node; n != nil && n.space.full.Load() {
			r.take()
		}
		r.disks[id].full.Store(false)
	}
}

// slowDisks makes each sync take long, on all replicas but perhaps one.
func (r *chaosRun) slowDisks(d *rand.Rand) func() {
	spared := r.c.ids[d.IntN(len(r.c.ids))]
	for id, disk := range r.disks {
		if id != spared {
			disk.syncs.Store(int64(5+d.IntN(35)) * int64(time.Millisecond))
		}
	}
	return func() {
		for _, disk := range r.disks {
			disk.syncs.Store(0)
			if disk.slowed.Swap(false) {
				r.take()
			}
		}
	}
}

// chaosFS is a disk that can be full or slow.
type chaosFS struct {
	vfs.FS
	disk *chaosDisk
}

func (f chaosFS) around(fs vfs.FS) vfs.FS {
	return chaosFS{errorfs.Wrap(fs, errorfs.InjectorFunc(f.disk.wait)), f.disk}
}

type chaosDisk struct {
	full   atomic.Bool
	syncs  atomic.Int64 // nanoseconds that each takes longer
	slowed atomic.Bool  // one has
}

// wait holds a sync up.
func (d *chaosDisk) wait(op errorfs.Op) error {
	syncs := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
	if longer := d.syncs.Load(); syncs && longer > 0 {
		d.slowed.Store(true)
		<-time.After(time.Duration(longer))
	}
	return nil
}

// GetDiskUsage implements vfs.FS.
func (f chaosFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	if f.disk.full.Load() {
		return vfs.DiskUsage{AvailBytes: 1 << 10, TotalBytes: 1 << 30, UsedBytes: 1<<30 - 1<<10}, nil
	}
	return vfs.DiskUsage{AvailBytes: 1 << 29, TotalBytes: 1 << 30, UsedBytes: 1 << 29}, nil
}

var _ chaos.Replica = (*chaosReplica)(nil)
