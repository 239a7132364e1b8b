package chaos

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// onLinks returns how trouble of links ends. It has done something if it has met anything that was sent.
func (r *run) onLinks(end func()) func() {
	before := r.links.Troubled()
	return func() {
		if r.links.Troubled() > before {
			r.take()
		}
		end()
	}
}

// apart cuts some off from the others. Connections break at once, or stall and go on at the end.
func (r *run) apart(d *rand.Rand, some ...*replica) func() {
	breaks := d.IntN(2) == 0
	some = slices.DeleteFunc(some, func(o *replica) bool { return o == nil })
	for _, a := range some {
		for _, b := range r.replicas {
			if slices.Contains(some, b) {
				continue
			}
			r.links.Set(a.id, b.id, Condition{Stalled: true})
			r.links.Set(b.id, a.id, Condition{Stalled: true})
			if breaks {
				r.links.Break(a.id, b.id)
			}
		}
	}
	return r.onLinks(r.links.Heal)
}

// withLearners leaves the leader with learners only.
func (r *run) withLearners(d *rand.Rand) func() {
	leader, learners := r.known(), r.learners()
	if leader == nil || len(learners) == 0 {
		return nil
	}
	return r.apart(d, append(learners, leader)...)
}

func (r *run) mute(who *replica) func() {
	if who == nil {
		return nil
	}
	return r.stall(who, nil)
}

func (r *run) deaf(who *replica) func() {
	if who == nil {
		return nil
	}
	return r.stall(nil, who)
}

func (r *run) oneWay(from, to *replica) func() {
	if from == nil || to == nil {
		return nil
	}
	return r.stall(from, to)
}

// stall holds what one sends to another. Nil stands for all.
func (r *run) stall(from, to *replica) func() {
	for _, a := range r.replicas {
		for _, b := range r.replicas {
			if a != b && (from == nil || from == a) && (to == nil || to == b) {
				r.links.Set(a.id, b.id, Condition{Stalled: true})
			}
		}
	}
	return r.onLinks(r.links.Heal)
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
	return r.onLinks(func() { cancel(); flapping.Wait() })
}

func (r *run) slow(d *rand.Rand) func() {
	for range 4 {
		from, to := r.pair(d)
		r.links.Set(from, to, Condition{Delay: time.Duration(1+d.IntN(250)) * time.Millisecond})
	}
	return r.onLinks(r.links.Heal)
}

func (r *run) narrow(d *rand.Rand) func() {
	for range 4 {
		from, to := r.pair(d)
		r.links.Set(from, to, Condition{Rate: 2_000 + d.IntN(20_000)})
	}
	return r.onLinks(r.links.Heal)
}
