package chaos

import (
	"math/rand/v2"
	"slices"
	"syscall"
	"time"
)

// nemeses are what can happen to a cluster of processes. Each returns how it ends, if it does, and takes note when it has done something.
var nemeses = map[string]func(*run, *rand.Rand) func(){
	"kill -9 of the leader":      func(r *run, _ *rand.Rand) func() { return r.kill(r.known()) },
	"kill -9 of a follower":      func(r *run, d *rand.Rand) func() { return r.kill(r.follower(d)) },
	"kill -9 of all":             func(r *run, _ *rand.Rand) func() { return r.kill(r.replicas...) },
	pauseOfLeader:                (*run).pauseLeader,
	"SIGSTOP of a follower":      func(r *run, d *rand.Rand) func() { return r.pause(r.follower(d)) },
	"SIGTERM of the leader":      (*run).stopLeader,
	"leader cut off":             func(r *run, d *rand.Rand) func() { return r.apart(d, r.known()) },
	"follower cut off":           func(r *run, d *rand.Rand) func() { return r.apart(d, r.follower(d)) },
	leftWithLearners:             (*run).withLearners,
	"leader can't send":          func(r *run, _ *rand.Rand) func() { return r.mute(r.known()) },
	"leader can't hear":          func(r *run, _ *rand.Rand) func() { return r.deaf(r.known()) },
	"follower can't hear":        func(r *run, d *rand.Rand) func() { return r.deaf(r.follower(d)) },
	"one direction cut":          func(r *run, d *rand.Rand) func() { return r.oneWay(r.known(), r.follower(d)) },
	"flapping links":             (*run).flap,
	"slow links":                 (*run).slow,
	"narrow links":               (*run).narrow,
	"leadership transferred":     (*run).transfer,
	"snapshots":                  (*run).snapshot,
	awayPastTheLog:               (*run).away,
	"voter demoted and promoted": (*run).demote,
	"member added":               (*run).join,
	"member removed":             (*run).remove,
	"files damaged":              (*run).damage,
	"SIGSTOP of a sidecar":       (*run).pauseSidecar,
	"kill -9 of a sidecar":       (*run).killSidecar,
	"sidecar cut off":            func(r *run, d *rand.Rand) func() { return r.onSidecarLinks(d, Condition{Stalled: true}) },
	"sidecar's links slow": func(r *run, d *rand.Rand) func() {
		return r.onSidecarLinks(d, Condition{Delay: time.Duration(1+d.IntN(250)) * time.Millisecond})
	},
	"sidecars' connections broken": (*run).breakSidecars,
	"backup":                       (*run).backup,
	"backup restored":              (*run).restore,
}

// leftWithLearners needs a learner.
const leftWithLearners = "leader left with learners"

// awayPastTheLog is known to have done something once a replica that was away is back.
const awayPastTheLog = "follower away past the log"

// pauseOfLeader is given more time than others: see stretch.
const pauseOfLeader = "SIGSTOP of the leader"

// stretch lets a leader stand still for 0.2 to 5 s.
func stretch(p Plan) Plan {
	for i := range p {
		if p[i].Fault == pauseOfLeader {
			p[i].For = 200*time.Millisecond + time.Duration(p[i].Random().Int64N(int64(4800*time.Millisecond)))
		}
	}
	return p
}

// take notes that the step being carried out has done something.
func (r *run) take() { r.took[r.step]++ }

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
	if len(down) > 0 {
		r.take()
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

// pause stops a process in its tracks, and lets it go on at the end.
func (r *run) pause(whom *replica) func() {
	if whom == nil {
		return nil
	}
	whom.signal(syscall.SIGSTOP)
	r.take()
	return func() { whom.signal(syscall.SIGCONT) }
}

// pauseLeader counts if it goes on when another leads and has written.
func (r *run) pauseLeader(*rand.Rand) func() {
	whom := r.known()
	if whom == nil {
		return nil
	}
	whom.signal(syscall.SIGSTOP)
	seen := r.load.Recorder.Newest()
	return func() {
		if next := r.known(); next != nil && next != whom && r.load.Recorder.Newest().Index > seen.Index {
			r.take()
		}
		whom.signal(syscall.SIGCONT)
	}
}

// stopLeader ends the leader in good order.
func (r *run) stopLeader(*rand.Rand) func() {
	whom := r.known()
	if whom == nil {
		return nil
	}
	whom.signal(syscall.SIGTERM)
	whom.reap()
	r.take()
	return func() { r.restart([]*replica{whom}) }
}
