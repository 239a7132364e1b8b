package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// nemeses are what can happen to a cluster of processes. Each returns how it ends, if it does.
var nemeses = map[string]func(*run, *rand.Rand) func(){
	"kill -9 of the leader":      func(r *run, _ *rand.Rand) func() { return r.kill(r.leader()) },
	"kill -9 of a follower":      func(r *run, d *rand.Rand) func() { return r.kill(r.follower(d)) },
	"kill -9 of all":             func(r *run, _ *rand.Rand) func() { return r.kill(r.replicas...) },
	"SIGSTOP of the leader":      func(r *run, _ *rand.Rand) func() { return r.pause(r.leader()) },
	"SIGSTOP of a follower":      func(r *run, d *rand.Rand) func() { return r.pause(r.follower(d)) },
	"SIGTERM of the leader":      (*run).stopLeader,
	"leader cut off":             func(r *run, d *rand.Rand) func() { return r.apart(d, r.leader()) },
	"follower cut off":           func(r *run, d *rand.Rand) func() { return r.apart(d, r.follower(d)) },
	"leader left with learners":  func(r *run, d *rand.Rand) func() { return r.apart(d, append(r.learners(), r.leader())...) },
	"leader can't send":          func(r *run, _ *rand.Rand) func() { return r.oneWay(r.leader(), nil) },
	"leader can't hear":          func(r *run, _ *rand.Rand) func() { return r.oneWay(nil, r.leader()) },
	"follower can't hear":        func(r *run, d *rand.Rand) func() { return r.oneWay(nil, r.follower(d)) },
	"one direction cut":          func(r *run, d *rand.Rand) func() { return r.oneWay(r.leader(), r.follower(d)) },
	"flapping links":             (*run).flap,
	"slow links":                 (*run).slow,
	"narrow links":               (*run).narrow,
	"leadership transferred":     (*run).transfer,
	"snapshots":                  (*run).snapshot,
	"voter demoted and promoted": (*run).demote,
	"member added":               (*run).join,
}

// follower returns a voter that runs and doesn't lead, or nil.
func (r *run) follower(d *rand.Rand) *replica {
	leader := r.leader()
	others := slices.DeleteFunc(r.running(), func(o *replica) bool { return o == leader || o.id[0] == 'l' })
	if len(others) == 0 {
		return nil
	}
	return others[d.IntN(len(others))]
}

func (r *run) learners() []*replica {
	return slices.DeleteFunc(r.running(), func(o *replica) bool { return o.id[0] != 'l' })
}

// kill kills replicas, and starts them at the end.
func (r *run) kill(whom ...*replica) func() {
	var down []*replica
	for _, o := range whom {
		if o != nil && o.process != nil {
			o.process.Process.Kill()
			down = append(down, o)
		}
	}
	for _, o := range down {
		o.reap()
	}
	return func() { r.restart(down) }
}

func (r *run) restart(down []*replica) {
	for _, o := range down {
		if o.process == nil && slices.Contains(r.replicas, o) {
			o.start()
		}
	}
}

// pause stops a process in its tracks, and lets it go on at the end, which may be after others have elected another leader and written.
func (r *run) pause(whom *replica) func() {
	if whom == nil {
		return nil
	}
	whom.signal(syscall.SIGSTOP)
	return func() { whom.signal(syscall.SIGCONT) }
}

// stopLeader ends the leader in good order.
func (r *run) stopLeader(*rand.Rand) func() {
	whom := r.leader()
	if whom == nil {
		return nil
	}
	whom.signal(syscall.SIGTERM)
	whom.reap()
	return func() { r.restart([]*replica{whom}) }
}

// apart cuts some off from the others. Connections break at once, or stall and go on at the end.
func (r *run) apart(d *rand.Rand, some ...*replica) func() {
	breaks := d.IntN(2) == 0
	for _, a := range some {
		for _, b := range r.replicas {
			if a == nil || slices.Contains(some, b) {
				continue
			}
			r.links.Set(a.id, b.id, Condition{Stalled: true})
			r.links.Set(b.id, a.id, Condition{Stalled: true})
			if breaks {
				r.links.Break(a.id, b.id)
			}
		}
	}
	return r.links.Heal
}

// oneWay stalls what one sends to another. Nil stands for all.
func (r *run) oneWay(from, to *replica) func() {
	for _, a := range r.replicas {
		for _, b := range r.replicas {
			if a != b && (from == nil || from == a) && (to == nil || to == b) {
				r.links.Set(a.id, b.id, Condition{Stalled: true})
			}
		}
	}
	return r.links.Heal
}

func (r *run) pair(d *rand.Rand) (from, to string) {
	i := d.IntN(len(r.replicas))
	j := (i + 1 + d.IntN(len(r.replicas)-1)) % len(r.replicas)
	return r.replicas[i].id, r.replicas[j].id
}

// flap stalls links for moments.
func (r *run) flap(d *rand.Rand) func() {
	var flapping sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	for range 3 {
		from, to := r.pair(d)
		stalled := time.Duration(50+d.IntN(300)) * time.Millisecond
		flapping.Go(func() {
			tick := time.NewTicker(stalled)
			defer tick.Stop()
			for on := true; ; on = !on {
				r.links.Set(from, to, Condition{Stalled: on})
				select {
				case <-tick.C:
				case <-ctx.Done():
					r.links.Set(from, to, Condition{})
					return
				}
			}
		})
	}
	return func() { cancel(); flapping.Wait() }
}

func (r *run) slow(d *rand.Rand) func() {
	for range 4 {
		from, to := r.pair(d)
		r.links.Set(from, to, Condition{Delay: time.Duration(d.IntN(250)) * time.Millisecond})
	}
	return r.links.Heal
}

func (r *run) narrow(d *rand.Rand) func() {
	for range 4 {
		from, to := r.pair(d)
		r.links.Set(from, to, Condition{Rate: 2_000 + d.IntN(20_000)})
	}
	return r.links.Heal
}

// ask has somebody change the cluster, and doesn't care whether that works out.
func (r *run) ask(what func(context.Context, consentv1.ClusterServiceClient) error) {
	whom := r.leader()
	if whom == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := what(ctx, whom.members); err != nil {
		r.refused++
	}
}

func (r *run) transfer(*rand.Rand) func() {
	r.ask(func(ctx context.Context, c consentv1.ClusterServiceClient) error {
		_, err := c.TransferLeadership(ctx, &consentv1.TransferLeadershipRequest{})
		return err
	})
	return nil
}

func (r *run) snapshot(*rand.Rand) func() {
	for _, o := range r.running() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		if _, err := o.members.TakeSnapshot(ctx, &consentv1.TakeSnapshotRequest{}); err != nil {
			r.refused++
		}
		cancel()
	}
	return nil
}

func (r *run) demote(d *rand.Rand) func() {
	whom := r.follower(d)
	if whom == nil {
		return nil
	}
	r.ask(func(ctx context.Context, c consentv1.ClusterServiceClient) error {
		_, err := c.DemoteMember(ctx, &consentv1.DemoteMemberRequest{Id: whom.id})
		return err
	})
	return func() { r.demoted = append(r.demoted, whom.id); r.promote() }
}

// promote makes those voters again that were demoted. Whoever can't be now is later.
func (r *run) promote() {
	r.demoted = slices.DeleteFunc(r.demoted, func(id string) (done bool) {
		r.ask(func(ctx context.Context, c consentv1.ClusterServiceClient) error {
			_, err := c.PromoteMember(ctx, &consentv1.PromoteMemberRequest{Id: id})
			done = err == nil
			return err
		})
		return done
	})
}

// join has a new replica join. It may take until all else is over.
func (r *run) join(*rand.Rand) func() {
	r.added++
	id := fmt.Sprintf("m%d", r.added)
	o := newReplica(r.t, r.links, r.odd, id, r.dir)
	o.args = append(append(o.args, r.common...), "--join", r.addresses())
	r.joining = append(r.joining, o)
	o.start()
	return nil
}
