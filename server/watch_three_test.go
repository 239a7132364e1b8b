package server

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// written are the writes of a test, by the index that each stands at.
type written struct {
	mu       sync.Mutex
	newest   uint64
	subjects map[uint64][]string
	versions map[uint64]int64 // of the policy
}

// told is what a reader was: the positions that it was at, and what each step brought.
type told struct {
	epoch    uint64
	position uint64
	steps    []toldStep
}

type toldStep struct {
	from, to uint64
	buckets  []uint32
	versions []int64
}

// follow reads changes from a replica, where it was before if it was, until a fully consistent pong has shown that all that was acknowledged
// so far is told, so many times.
func (r *replica) follow(t *testing.T, seen *told, all *written, pongs uint64) {
	t.Helper()
	w := r.watchFrom(t, &consentv1.WatchStart{Epoch: seen.epoch, Position: seen.position})
	for ping, acknowledged := uint64(0), uint64(0); ping <= pongs; {
		m := w.next(t)
		switch {
		case m.GetReset_() != nil:
			if seen.epoch != 0 {
				t.Errorf("%s: %v", r.id, m)
			}
			seen.epoch, seen.position = m.GetReset_().GetEpoch(), m.GetReset_().GetPosition()
		case m.GetChanges() != nil:
			seen.take(t, m.GetChanges())
			continue
		case m.GetPong() != nil && (m.GetPong().GetPosition() != seen.position || seen.position < acknowledged || m.GetPong().GetAge() == nil):
			t.Errorf("%s: %v came at %d, and %d was acknowledged before its ping", r.id, m, seen.position, acknowledged)
		}
		if m.GetReset_() == nil {
			ping++
			all.mu.Lock()
			acknowledged = all.newest
			all.mu.Unlock()
			w.send(t, pingMessage(ping, true))
		}
	}
}

func (seen *told) take(t *testing.T, c *consentv1.WatchChanges) {
	t.Helper()
	step := toldStep{from: seen.position, to: c.GetPosition(), buckets: unpacked(t, c)}
	for _, tenant := range c.GetTenants() {
		step.versions = append(step.versions, tenant.GetPolicyVersion())
	}
	if step.to <= step.from {
		t.Errorf("from %d the changes led to %d", step.from, step.to)
	}
	seen.position = step.to
	seen.steps = append(seen.steps, step)
}

// check compares each step with the writes that stand at its indexes.
func (seen *told) check(t *testing.T, all *written, bucket map[string]uint32) {
	t.Helper()
	for _, step := range seen.steps {
		var buckets []uint32
		var versions []int64
		for index := step.from + 1; index <= step.to; index++ {
			for _, subject := range all.subjects[index] {
				buckets = append(buckets, bucket[subject])
			}
			if version, found := all.versions[index]; found {
				versions = []int64{version}
			}
		}
		slices.Sort(buckets)
		if buckets = slices.Compact(buckets); !slices.Equal(buckets, step.buckets) || !slices.Equal(versions, step.versions) {
			t.Errorf("from %d to %d the buckets %d and policies %d were told, want %d and %d", step.from, step.to, step.buckets, step.versions,
				buckets, versions)
		}
	}
}

// TestChangesOfThreeReplicas follows what is written at any replica, going from one replica to the next: every step has what was written at
// its indexes, and nothing else, and a pong comes behind all that was acknowledged before its ping.
func TestChangesOfThreeReplicas(t *testing.T) {
	leader, followers := three(t)
	replicas := append([]*replica{leader}, followers...)
	all := &written{subjects: map[uint64][]string{}, versions: map[uint64]int64{}}
	all.put(t, leader, testPolicy)
	stop, wrote := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(wrote)
		writeOn(t, replicas, all, stop)
	}()
	readers := make([]told, 2)
	var following sync.WaitGroup
	for i := range readers {
		following.Go(func() {
			for turn := range 6 {
				replicas[(i+turn)%3].follow(t, &readers[i], all, 10)
			}
		})
	}
	following.Wait()
	close(stop)
	<-wrote
	bucket := map[string]uint32{}
	for i := range watchedSubjects {
		subject := fmt.Sprint("subject-", i)
		filled := must[*consentv1.FillResponse](t)(leader.watch.Fill(background(t), &consentv1.FillRequest{
			Subject: subject, Epoch: readers[0].epoch, Position: readers[0].position,
		}))
		bucket[subject] = filled.GetBucket()
	}
	for i := range readers {
		if len(readers[i].steps) == 0 {
			t.Errorf("reader %d was told nothing", i)
		}
		readers[i].check(t, all, bucket)
	}
}

const watchedSubjects = 20

// writeOn writes at one replica after the other until told to stop.
func writeOn(t *testing.T, replicas []*replica, all *written, stop chan struct{}) {
	t.Helper()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		r := replicas[n%3]
		if n%10 == 9 {
			all.put(t, r, testPolicy+fmt.Sprint("#", n))
			continue
		}
		var events []*consentv1.Event
		var subjects []string
		for range 1 + rand.IntN(3) {
			subject := fmt.Sprint("subject-", rand.IntN(watchedSubjects))
			events = append(events, event(subject, consentv1.EventKind_EVENT_KIND_WITHDRAWN))
			subjects = append(subjects, subject)
		}
		reply, err := r.records.WriteEvents(background(t), &consentv1.WriteEventsRequest{Events: events})
		if err != nil {
			t.Error(err)
			return
		}
		all.note(t, reply.GetRevision(), func(index uint64) { all.subjects[index] = subjects })
	}
}

// put puts a policy at a replica.
func (all *written) put(t *testing.T, r *replica, document string) {
	t.Helper()
	reply, err := r.policies.PutPolicy(background(t), &consentv1.PutPolicyRequest{Document: document})
	if err != nil {
		t.Error(err)
		return
	}
	all.note(t, reply.GetPolicy().GetRevision(), func(index uint64) { all.versions[index] = reply.GetPolicy().GetVersion() })
}

// note takes down what was acknowledged at a revision.
func (all *written) note(t *testing.T, token string, f func(index uint64)) {
	t.Helper()
	revision, err := consent.ParseRevision(token)
	if err != nil {
		t.Error(err)
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	f(revision.Index)
	all.newest = max(all.newest, revision.Index)
}
