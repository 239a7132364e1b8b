package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/consent/clocktest"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// memoryStream is a stream of changes without a connection. Its reader takes what send takes.
type memoryStream struct {
	grpc.ServerStream
	ctx   context.Context
	asked chan *consentv1.WatchRequest
	send  func(*consentv1.WatchResponse) error
}

func (s *memoryStream) Context() context.Context { return s.ctx }

func (s *memoryStream) Send(m *consentv1.WatchResponse) error { return s.send(m) }

func (s *memoryStream) Recv() (*consentv1.WatchRequest, error) {
	select {
	case m, open := <-s.asked:
		if !open {
			return nil, io.EOF
		}
		return m, nil
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

// newWatchService serves the changes of a backend without a server.
func newWatchService(memory *memoryBackend) *watchService {
	o := Options{State: memory, Policies: memory, Watching: memory}
	o.setDefaults()
	return &watchService{core: newCore(o)}
}

// figure returns the value of a gauge or a counter.
func figure(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.GetGauge().GetValue() + out.GetCounter().GetValue()
}

// TestReaderThatTakesNothing: it is cut off once a message has waited for two bounds, and what waits for it ends with the stream.
func TestReaderThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := newMemory()
		memory.put(t, defaultTenant, testPolicy)
		memory.bound = 3 * time.Second
		service := newWatchService(memory)
		ctx, cancel := context.WithCancel(t.Context())
		stream := &memoryStream{ctx: ctx, asked: make(chan *consentv1.WatchRequest, 1), send: func(m *consentv1.WatchResponse) error {
			if m.GetSequence() < 3 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}}
		stream.asked <- startMessage(&consentv1.WatchStart{})
		go func() {
			time.Sleep(time.Minute) // a reader that has nothing to take isn't slow
			memory.put(t, defaultTenant, testPolicy+"#")
		}()
		began := time.Now()
		if err := service.Watch(stream); !errors.Is(err, errSlowReader) {
			t.Errorf("%v, want it cut off", err)
		}
		if took := time.Since(began); took != time.Minute+2*memory.bound {
			t.Errorf("it was cut off after %s", took)
		}
		if cut := figure(t, service.watches.cutOff); cut != 1 {
			t.Errorf("%v are counted as cut off", cut)
		}
		cancel()
		service.streams.Wait()
	})
}

func TestReaderThatFallsBehind(t *testing.T) {
	r := newRig(t)
	w := r.watchFrom(t, &consentv1.WatchStart{})
	w.reset(t, consentv1.WatchResetReason_WATCH_RESET_REASON_START)
	w.caughtUp(t)
	r.memory.change(func() { r.memory.behind = 2 })
	r.write(t, grant("anna", "newsletter/email"))
	_, err := w.stream.Recv()
	wantError(t, err, codes.ResourceExhausted, "SLOW_READER")

	w = r.watchFrom(t, &consentv1.WatchStart{Epoch: memoryEpoch, Position: 1})
	if reset := w.reset(t, consentv1.WatchResetReason_WATCH_RESET_REASON_POSITION_GONE); reset.GetPosition() != 2 {
		t.Errorf("one that comes back begins at %v", reset)
	}
	w.caughtUp(t)
}

func (m *memoryBackend) change(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

func TestWatchResumes(t *testing.T) {
	r := newRig(t)
	r.write(t, grant("anna", "newsletter/email"))
	r.write(t, grant("bert", "newsletter/email"))
	tests := []struct {
		name  string
		start *consentv1.WatchStart
		reset consentv1.WatchResetReason
	}{
		{"where it was", &consentv1.WatchStart{Epoch: memoryEpoch, Position: 2}, 0},
		{"at the end", &consentv1.WatchStart{Epoch: memoryEpoch, Position: 3}, 0},
		{"ahead", &consentv1.WatchStart{Epoch: memoryEpoch, Position: 9}, 0},
		{"too late", &consentv1.WatchStart{Epoch: memoryEpoch, Position: 1}, consentv1.WatchResetReason_WATCH_RESET_REASON_POSITION_GONE},
		{"in another epoch", &consentv1.WatchStart{Epoch: 1, Position: 3}, consentv1.WatchResetReason_WATCH_RESET_REASON_EPOCH},
		{"anew", &consentv1.WatchStart{}, consentv1.WatchResetReason_WATCH_RESET_REASON_START},
	}
	r.memory.change(func() { r.memory.gone = 2 })
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := r.watchFrom(t, tt.start)
			switch {
			case tt.reset != 0:
				if reset := w.reset(t, tt.reset); reset.GetPosition() != 3 || reset.GetEpoch() != memoryEpoch {
					t.Errorf("%v", reset)
				}
			case tt.start.GetPosition() < 3:
				want := []uint32{bucketOf(memoryKey{defaultTenant, "bert"})}
				if changes := w.changes(t); changes.GetPosition() != 3 || !slices.Equal(unpacked(t, changes), want) {
					t.Errorf("%v", changes)
				}
			}
			w.caughtUp(t)
		})
	}
}

// TestWatchAcrossARestore: a reader that follows begins anew when a backup is restored, or a snapshot takes the place of the state.
func TestWatchAcrossARestore(t *testing.T) {
	r := newRig(t)
	w := r.watchFrom(t, &consentv1.WatchStart{})
	w.reset(t, consentv1.WatchResetReason_WATCH_RESET_REASON_START)
	w.caughtUp(t)
	r.memory.change(func() {
		r.memory.epoch++
		r.memory.policies[defaultTenant][0].Revision.Epoch++
		r.memory.next()
	})
	if reset := w.reset(t, consentv1.WatchResetReason_WATCH_RESET_REASON_EPOCH); reset.GetEpoch() != memoryEpoch+1 || reset.GetPosition() != 2 {
		t.Errorf("after a backup was restored: %v", reset)
	}
	r.memory.change(func() { r.memory.gone = 3; r.memory.next() })
	if reset := w.reset(t, consentv1.WatchResetReason_WATCH_RESET_REASON_POSITION_GONE); reset.GetPosition() != 3 {
		t.Errorf("after a snapshot: %v", reset)
	}
	for reason, want := range map[string]float64{"start": 1, "epoch": 1, "position_gone": 1} {
		if got := figure(t, r.server.core.watches.resets.WithLabelValues(reason)); got != want {
			t.Errorf("%v resets for %s are counted", got, reason)
		}
	}
	w.send(t, pingMessage(1, false))
	if pong := w.pong(t, 1); pong.GetAge() == nil || pong.GetPosition() != 3 {
		t.Errorf("%v", pong)
	}
}

// lateWatching does something behind the changes that a reader is given, before it looks at them.
type lateWatching struct {
	*memoryBackend
	then func(*consent.Changes)
}

func (w *lateWatching) Changes(after consent.Revision, most int, space []consent.Touched) (consent.Changes, error) {
	changes, err := w.memoryBackend.Changes(after, most, space)
	w.then(&changes)
	return changes, err
}

// TestRestoreBehindChanges: in another epoch, numbers stand for other tenants. Those that a reader from a replica that was ahead is about to
// look up mustn't say which changes of the old epoch are wanted.
func TestRestoreBehindChanges(t *testing.T) {
	r := newRig(t, func(o *Options) {
		memory := o.Watching.(*memoryBackend)
		o.Watching = &lateWatching{memory, func(changes *consent.Changes) {
			if len(changes.Subjects) > 0 {
				memory.change(func() {
					memory.epoch++
					memory.policies[defaultTenant][0].Revision.Epoch++
				})
			}
		}}
	})
	w := r.watchFrom(t, &consentv1.WatchStart{Epoch: memoryEpoch, Position: 2, Tenants: []string{defaultTenant}})
	w.caughtUp(t)
	r.memory.change(r.memory.next)
	r.write(t, grant("anna", "newsletter/email"))
	if reset := w.reset(t, consentv1.WatchResetReason_WATCH_RESET_REASON_EPOCH); reset.GetEpoch() != memoryEpoch+1 {
		t.Errorf("%v", reset)
	}
}

// TestPolicyIsNeverNewerThanTheRecords puts another policy whenever a reader is about to be told of one: it gets the version that its tenant
// has at its position.
func TestPolicyIsNeverNewerThanTheRecords(t *testing.T) {
	const versions = 4
	r := newRig(t)
	document := func(version int64) string { return testPolicy + strings.Repeat("#", int(version)-1) }
	newest := int64(1)
	r.memory.failWith(func(call string) error {
		if call != "Policy" || newest == versions {
			return nil
		}
		newest++
		_, _, err := r.memory.PutPolicy(context.Background(), consent.PolicyPut{Tenant: defaultTenant, Document: []byte(document(newest))})
		return err
	})
	w := r.watchFrom(t, &consentv1.WatchStart{})
	told := w.reset(t, consentv1.WatchResetReason_WATCH_RESET_REASON_START).GetTenants()
	w.caughtUp(t)
	for version := int64(1); ; version++ {
		if len(told) != 1 || told[0].GetPolicyVersion() != version || string(told[0].GetPolicyDocument()) != document(version) {
			t.Fatalf("at version %d: %v", version, told)
		}
		if version == versions {
			return
		}
		told = w.changes(t).GetTenants()
	}
}

// TestPolicyOfAnotherState: the version that a reader is about to be told of may be another one's, when a backup was restored meanwhile.
func TestPolicyOfAnotherState(t *testing.T) {
	r := newRig(t)
	for _, gone := range []error{consent.ErrUnknownTenant, consent.ErrUnknownVersion} {
		r.memory.failWith(func(call string) error {
			if call == "Policy" {
				return gone
			}
			return nil
		})
		_, err := r.watchFrom(t, &consentv1.WatchStart{}).stream.Recv()
		wantError(t, err, codes.Unavailable, "NOT_READY")
	}
	r.memory.failWith(func(string) error { return nil })
	r.memory.change(func() { r.memory.policies[defaultTenant][0].Revision.Epoch++ })
	_, err := r.watchFrom(t, &consentv1.WatchStart{}).stream.Recv()
	wantError(t, err, codes.Unavailable, "NOT_READY")
}

func TestResetInParts(t *testing.T) {
	r := newRig(t)
	filler := "#" + strings.Repeat("x", enoughBytes/2)
	for i := range 5 {
		r.memory.put(t, fmt.Sprint("brand", i), testPolicy+filler)
	}
	w := r.watchFrom(t, &consentv1.WatchStart{})
	seen, parts := map[string]bool{}, 0
	for more := true; more; parts++ {
		reset := w.reset(t, consentv1.WatchResetReason_WATCH_RESET_REASON_START)
		if reset.GetPosition() != 6 || reset.GetEpoch() != memoryEpoch {
			t.Errorf("part %d is at %d", parts, reset.GetPosition())
		}
		for _, tenant := range reset.GetTenants() {
			seen[tenant.GetName()] = true
		}
		more = reset.GetMore()
	}
	if len(seen) != 6 || parts != 3 {
		t.Errorf("%d parts with the tenants %v", parts, seen)
	}
	w.caughtUp(t)
}

// lateState writes something while its View is asked for, before it is loaded.
type lateState struct {
	*memoryBackend
	write func()
}

func (s *lateState) View(ctx context.Context, c consent.Consistency) (consent.View, error) {
	s.write()
	return s.memoryBackend.View(ctx, c)
}

// TestPongBehindItsChanges: whatever the view of a pong has seen is sent before the pong.
func TestPongBehindItsChanges(t *testing.T) {
	var state *lateState
	r := newRig(t, func(o *Options) {
		memory := o.Watching.(*memoryBackend)
		state = &lateState{memory, func() { memory.change(memory.next) }}
		o.State = state
	})
	w := r.watchFrom(t, &consentv1.WatchStart{})
	w.reset(t, consentv1.WatchResetReason_WATCH_RESET_REASON_START)
	w.caughtUp(t)
	for id := range uint64(50) {
		w.send(t, pingMessage(id, id%2 == 0))
		if changes := w.changes(t); changes.GetPosition() != id+2 {
			t.Errorf("ping %d: %v", id, changes)
		}
		if pong := w.pong(t, id); pong.GetPosition() != id+2 {
			t.Errorf("%v", pong)
		}
	}
}

// TestPongsCoverWhatWasAcknowledged pings while others write: behind a pong, a reader has all that was acknowledged before its ping.
func TestPongsCoverWhatWasAcknowledged(t *testing.T) {
	r := newRig(t)
	ctx, stop := context.WithCancel(t.Context())
	written := make(chan struct{})
	go func() {
		defer close(written)
		for ctx.Err() == nil {
			r.memory.change(r.memory.next)
		}
	}()
	w := r.watchFrom(t, &consentv1.WatchStart{})
	position := w.reset(t, consentv1.WatchResetReason_WATCH_RESET_REASON_START).GetPosition()
	for id := range uint64(200) {
		var acknowledged uint64
		r.memory.change(func() { acknowledged = r.memory.index })
		w.send(t, pingMessage(id, id%3 == 0))
		for ponged := false; !ponged; {
			switch m := w.next(t); {
			case m.GetChanges() != nil:
				position = m.GetChanges().GetPosition()
			case m.GetPong() != nil:
				ponged = true
				if position != m.GetPong().GetPosition() || position < acknowledged {
					t.Fatalf("the reader is at %d, the pong at %d, and %d was acknowledged", position, m.GetPong().GetPosition(), acknowledged)
				}
			}
		}
	}
	stop()
	<-written
}

// unprovenState holds fully consistent views until told.
type unprovenState struct {
	*memoryBackend
	proven chan struct{}
}

func (s *unprovenState) View(ctx context.Context, c consent.Consistency) (consent.View, error) {
	if c.Full {
		select {
		case <-s.proven:
		case <-ctx.Done():
			return consent.View{}, ctx.Err()
		}
	}
	return s.memoryBackend.View(ctx, c)
}

// TestFullPings: they wait for a new proof, and nothing else does for them. Too many of them are refused.
func TestFullPings(t *testing.T) {
	state := &unprovenState{proven: make(chan struct{})}
	r := newRig(t, func(o *Options) {
		state.memoryBackend = o.Watching.(*memoryBackend)
		o.State = state
	})
	w := r.watchFrom(t, &consentv1.WatchStart{})
	w.reset(t, consentv1.WatchResetReason_WATCH_RESET_REASON_START)
	w.caughtUp(t)
	w.send(t, pingMessage(1, true))
	w.send(t, pingMessage(2, false))
	w.pong(t, 2)
	r.memory.change(r.memory.next)
	w.changes(t)
	state.proven <- struct{}{}
	if pong := w.pong(t, 1); pong.GetAge() == nil || pong.GetAge().AsDuration() != 0 || pong.GetPosition() != 2 {
		t.Errorf("%v, want one that is as fresh as its ping", pong)
	}
	for id := range uint64(maxPings + 1) {
		w.send(t, pingMessage(id, true))
	}
	_, err := w.stream.Recv()
	wantViolation(t, err, "ping")
}

func TestPongWithoutAProof(t *testing.T) {
	r := newRig(t)
	w := r.watchFrom(t, &consentv1.WatchStart{})
	w.reset(t, consentv1.WatchResetReason_WATCH_RESET_REASON_START)
	w.caughtUp(t)
	r.memory.failWith(func(call string) error {
		if call == "View" {
			return consent.ErrNotReady
		}
		return nil
	})
	for _, full := range []bool{false, true} {
		w.send(t, pingMessage(1, full))
		if pong := w.pong(t, 1); pong.Age != nil || pong.GetPosition() != 1 {
			t.Errorf("%v", pong)
		}
	}
}

// TestAgeOfAPong: it counts until the ping came, by the clock on which more has passed. A proof that is younger than the ping is no older.
func TestAgeOfAPong(t *testing.T) {
	proof := time.Now()
	for _, tt := range []struct {
		name string
		came time.Time
		want time.Duration
	}{
		{name: "as usual", came: proof.Add(50 * time.Millisecond), want: 50 * time.Millisecond},
		{name: "at once", came: proof, want: 0},
		{name: "younger", came: proof.Add(-50 * time.Millisecond), want: 0},
		{name: "the machine was suspended", came: clocktest.MonotonicStoodStill(proof, time.Hour), want: time.Hour},
		{name: "the wall clock was set back", came: clocktest.MonotonicStoodStill(proof.Add(time.Second), -time.Hour), want: time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, func(o *Options) {
				o.Watching.(*memoryBackend).freshAsOf = func() time.Time { return proof }
				o.Now = func() time.Time { return tt.came }
			})
			w := r.watchFrom(t, &consentv1.WatchStart{})
			w.reset(t, consentv1.WatchResetReason_WATCH_RESET_REASON_START)
			w.caughtUp(t)
			w.send(t, pingMessage(1, false))
			if got := w.pong(t, 1).GetAge(); got == nil || got.AsDuration() != tt.want {
				t.Errorf("%v, want %s", got, tt.want)
			}
		})
	}
}

func TestWatchRefusesWhatItCantMean(t *testing.T) {
	r := newRig(t)
	for field, first := range map[string]*consentv1.WatchRequest{
		"start":       pingMessage(1, false),
		"start.epoch": startMessage(&consentv1.WatchStart{Position: 3}),
		"tenant":      startMessage(&consentv1.WatchStart{Tenants: []string{"Anna@x.de"}}),
	} {
		ctx, cancel := context.WithCancel(background(t))
		stream := must[grpc.BidiStreamingClient[consentv1.WatchRequest, consentv1.WatchResponse]](t)(r.watch.Watch(ctx))
		if err := stream.Send(first); err != nil {
			t.Fatal(err)
		}
		_, err := stream.Recv()
		wantViolation(t, err, field)
		cancel()
	}
	w := r.watchFrom(t, &consentv1.WatchStart{})
	w.reset(t, consentv1.WatchResetReason_WATCH_RESET_REASON_START)
	w.caughtUp(t)
	w.send(t, startMessage(&consentv1.WatchStart{}))
	_, err := w.stream.Recv()
	wantViolation(t, err, "ping")
}

func TestWatchEndsWithTheServer(t *testing.T) {
	r := newRig(t)
	w := r.watchFrom(t, &consentv1.WatchStart{})
	w.reset(t, consentv1.WatchResetReason_WATCH_RESET_REASON_START)
	w.caughtUp(t)
	if readers := figure(t, r.server.core.watches.readers); readers != 1 {
		t.Errorf("%v readers are counted", readers)
	}
	if err := r.server.Drain(background(t)); err != nil {
		t.Fatal(err)
	}
	_, err := w.stream.Recv()
	wantError(t, err, codes.Unavailable, "NOT_READY")
	if readers := figure(t, r.server.core.watches.readers); readers != 0 {
		t.Errorf("%v readers are counted after the end", readers)
	}
}

// TestBytesOfAChange: at 10,000 changes a second an entry has ten at least, because there is no more than one entry in a millisecond. With a
// message for each, and all that gRPC puts around it, a change takes less than 16 bytes.
func TestBytesOfAChange(t *testing.T) {
	const entry, framing, most = 10, 9 + 5, 16 // HTTP/2's head of a frame, and gRPC's of a message
	memory := newMemory()
	sent := 0
	r := &reader{
		service: newWatchService(memory), at: consent.Revision{Epoch: memoryEpoch, Index: 1 << 34}, sequence: 1 << 34,
		sending: time.AfterFunc(time.Hour, func() {}),
		stream: &memoryStream{send: func(m *consentv1.WatchResponse) error {
			sent += framing + proto.Size(m)
			return nil
		}},
	}
	defer r.sending.Stop()
	r.numbered = r.at.Index
	const entries = 100
	for i := range entries {
		changes := consent.Changes{To: r.at}
		changes.To.Index++
		for n := range entry {
			changes.Subjects = append(changes.Subjects, consent.Touched{Tenant: 1, Bucket: uint32((i*entry+n)*7919*131) % consent.Buckets})
		}
		if err := r.sendChanges(&changes); err != nil {
			t.Fatal(err)
		}
	}
	if each := float64(sent) / entries / entry; each > most {
		t.Errorf("a change takes %.1f bytes, want %d at most", each, most)
	} else {
		t.Logf("a change takes %.1f bytes", each)
	}
}
