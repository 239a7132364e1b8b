package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// sidecarCount is how many sidecars a cluster of processes has.
const sidecarCount = 4

// sidecar is a process beside the cluster that answers checks from its memory. It reaches each replica through a proxy.
type sidecar struct {
	*replica
	life *life
	born int // how often it was started
}

// life is a sidecar from its start to its end. The next may answer from before it, so the load calls it by another name.
type life struct {
	*replica
	name string
	over atomic.Bool
}

var errOver = errors.New("it has ended meanwhile")

// Check implements Replica. A sidecar's answer is exactly that of its revision.
func (l *life) Check(ctx context.Context, q Question) (Reply, error) {
	reply, err := l.replica.Check(ctx, q)
	reply.Upto = reply.Revision.Index
	if err == nil && l.over.Load() {
		return Reply{}, errOver // another one may have said it
	}
	return reply, err
}

// newSidecar prepares one that isn't started yet.
func newSidecar(t *testing.T, p *processes, id string) *sidecar {
	t.Helper()
	var upstream []string
	for _, o := range p.replicas {
		proxy, err := NewProxyBetween(t.Context(), p.links, id, o.id, o.api)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { proxy.Close() })
		upstream = append(upstream, proxy.Address())
	}
	r := newProcess(t, p.odd, id, p.dir)
	r.args = []string{
		"sidecar", "--upstream", strings.Join(upstream, ","), "--listen", r.api, "--ops-listen", "127.0.0.1:0",
		"--cache-size", "16MiB", "--ready-file", r.readyFile(),
	}
	return &sidecar{replica: r}
}

// addSidecars starts them, and has the load call them.
func (r *run) addSidecars() {
	r.t.Helper()
	for i := range sidecarCount {
		r.sidecars = append(r.sidecars, newSidecar(r.t, r.processes, fmt.Sprintf("s%d", i+1)))
	}
	r.load.Near = map[string]Checker{}
	for _, s := range r.sidecars {
		r.begin(s)
	}
	for _, s := range r.sidecars {
		s.waitReady()
	}
}

// begin starts a sidecar.
func (r *run) begin(s *sidecar) {
	s.born++
	old := s.life
	s.life = &life{replica: s.replica, name: fmt.Sprintf("%s.%d", s.id, s.born)}
	if old == nil {
		r.load.Near[s.life.name] = s.life
		r.load.Replicas[s.id] = s.replica
	} else {
		r.load.Replace(old.name, s.life.name, s.life)
	}
	s.start()
}

// mendSidecars ends all that was done to them.
func (r *run) mendSidecars() {
	r.t.Helper()
	for _, s := range r.sidecars {
		switch {
		case s.process == nil:
			r.begin(s)
		case s.stopped:
			s.signal(syscall.SIGCONT)
		}
	}
	for _, s := range r.sidecars {
		s.waitReady()
	}
}

func (r *run) anySidecar(d *rand.Rand) *sidecar { return r.sidecars[d.IntN(len(r.sidecars))] }

// pauseSidecar stops one in its tracks, mostly for longer than the bound.
func (r *run) pauseSidecar(d *rand.Rand) func() {
	s := r.anySidecar(d)
	if s.process == nil {
		return nil
	}
	return r.pause(s.replica)
}

// killSidecar kills one, and starts it again at the end.
func (r *run) killSidecar(d *rand.Rand) func() {
	s := r.anySidecar(d)
	if s.process == nil {
		return nil
	}
	s.life.over.Store(true)
	s.kill()
	r.take()
	return func() {
		if s.process == nil {
			r.begin(s)
		}
	}
}

// onSidecarLinks makes the links of a sidecar so, in both directions or from the replicas only.
func (r *run) onSidecarLinks(d *rand.Rand, is Condition) func() {
	s, both := r.anySidecar(d), d.IntN(2) == 0
	for _, o := range r.replicas {
		r.links.Set(o.id, s.id, is)
		if both {
			r.links.Set(s.id, o.id, is)
		}
	}
	return r.onLinks(r.links.Heal)
}

// breakSidecars breaks connections of all sidecars again and again, so that their streams go on at other replicas.
func (r *run) breakSidecars(*rand.Rand) func() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	ids := r.ids()
	go func() {
		defer close(done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-tick.C:
				for _, s := range r.sidecars {
					r.links.Break(s.id, ids[i%len(ids)])
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	r.take()
	return func() { cancel(); <-done }
}

func (r *run) ids() (ids []string) {
	for _, o := range r.replicas {
		ids = append(ids, o.id)
	}
	return slices.Clip(ids)
}
