package server

import (
	"context"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// watched is a reader of changes that looks closely.
type watched struct {
	stream   grpc.BidiStreamingClient[consentv1.WatchRequest, consentv1.WatchResponse]
	sequence uint64
}

func startMessage(start *consentv1.WatchStart) *consentv1.WatchRequest {
	return &consentv1.WatchRequest{Message: &consentv1.WatchRequest_Start{Start: start}}
}

func pingMessage(id uint64, full bool) *consentv1.WatchRequest {
	return &consentv1.WatchRequest{Message: &consentv1.WatchRequest_Ping{Ping: &consentv1.WatchPing{Id: id, Full: full}}}
}

func (r *rig) watchFrom(t *testing.T, start *consentv1.WatchStart) *watched {
	t.Helper()
	ctx, cancel := context.WithCancel(background(t))
	t.Cleanup(cancel)
	stream := must[grpc.BidiStreamingClient[consentv1.WatchRequest, consentv1.WatchResponse]](t)(r.watch.Watch(ctx))
	w := &watched{stream: stream}
	w.send(t, startMessage(start))
	return w
}

func (w *watched) send(t *testing.T, m *consentv1.WatchRequest) {
	t.Helper()
	if err := w.stream.Send(m); err != nil {
		t.Fatal(err)
	}
}

// next returns the next message, which has to be in turn.
func (w *watched) next(t *testing.T) *consentv1.WatchResponse {
	t.Helper()
	m := must[*consentv1.WatchResponse](t)(w.stream.Recv())
	if w.sequence++; m.GetSequence() != w.sequence {
		t.Fatalf("message %d came after %d", m.GetSequence(), w.sequence-1)
	}
	return m
}

func (w *watched) reset(t *testing.T, reason consentv1.WatchResetReason) *consentv1.WatchReset {
	t.Helper()
	m := w.next(t)
	if m.GetReset_() == nil || m.GetReset_().GetReason() != reason {
		t.Fatalf("%v came, want a reset for %v", m, reason)
	}
	return m.GetReset_()
}

func (w *watched) caughtUp(t *testing.T) {
	t.Helper()
	if m := w.next(t); m.GetCaughtUp() == nil {
		t.Fatalf("%v came, want to be caught up", m)
	}
}

func (w *watched) changes(t *testing.T) *consentv1.WatchChanges {
	t.Helper()
	m := w.next(t)
	if m.GetChanges() == nil {
		t.Fatalf("%v came, want changes", m)
	}
	return m.GetChanges()
}

func (w *watched) pong(t *testing.T, id uint64) *consentv1.WatchPong {
	t.Helper()
	m := w.next(t)
	if m.GetPong() == nil || m.GetPong().GetId() != id {
		t.Fatalf("%v came, want pong %d", m, id)
	}
	return m.GetPong()
}

// unpacked returns the buckets of changes.
func unpacked(t *testing.T, c *consentv1.WatchChanges) (buckets []uint32) {
	t.Helper()
	rest, bucket := c.GetBuckets(), uint64(0)
	for len(rest) > 0 {
		difference, n := binary.Uvarint(rest)
		if n <= 0 || difference == 0 && len(buckets) > 0 || bucket+difference >= consent.Buckets {
			t.Fatalf("buckets %x", c.GetBuckets())
		}
		rest, bucket = rest[n:], bucket+difference
		buckets = append(buckets, uint32(bucket))
	}
	return buckets
}

func TestWatch(t *testing.T) {
	r := newRig(t)
	w := r.watchFrom(t, &consentv1.WatchStart{})
	reset := w.reset(t, consentv1.WatchResetReason_WATCH_RESET_REASON_START)
	if reset.GetEpoch() != memoryEpoch || reset.GetPosition() != 1 || reset.GetMore() || len(reset.GetTenants()) != 1 {
		t.Errorf("%v", reset)
	}
	tenant := reset.GetTenants()[0]
	if tenant.GetName() != defaultTenant || tenant.GetNumber() != 1 || tenant.GetPolicyVersion() != 1 ||
		string(tenant.GetPolicyDocument()) != testPolicy || len(tenant.GetPermissions()) != 4 {
		t.Errorf("%v", tenant)
	}
	w.caughtUp(t)

	r.write(t, grant("anna", "newsletter/email"), grant("bert", "newsletter/email"), grant("anna", "newsletter/phone"))
	changes := w.changes(t)
	want := []uint32{bucketOf(memoryKey{defaultTenant, "anna"}), bucketOf(memoryKey{defaultTenant, "bert"})}
	slices.Sort(want)
	if got := unpacked(t, changes); changes.GetPosition() != 2 || !slices.Equal(got, want) || len(changes.GetTenants()) != 0 {
		t.Errorf("%v with %v, want %v", changes, got, want)
	}

	r.memory.put(t, defaultTenant, testPolicy+"# new")
	changes = w.changes(t)
	if len(changes.GetBuckets()) != 0 || len(changes.GetTenants()) != 1 || changes.GetTenants()[0].GetPolicyVersion() != 2 {
		t.Errorf("%v", changes)
	}

	w.send(t, pingMessage(7, false))
	pong := w.pong(t, 7)
	if pong.GetPosition() != 3 || pong.GetAge() == nil || pong.GetBound().AsDuration() != time.Hour {
		t.Errorf("%v", pong)
	}
	if err := w.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
}

func TestFill(t *testing.T) {
	r := newRig(t)
	r.write(t, grant("anna", "newsletter/phone"))
	got := must[*consentv1.FillResponse](t)(r.watch.Fill(background(t), &consentv1.FillRequest{Subject: "anna", Epoch: memoryEpoch, Position: 2}))
	key := memoryKey{defaultTenant, "anna"}
	if got.GetEpoch() != memoryEpoch || got.GetPosition() != 2 || got.GetBucket() != bucketOf(key) || got.GetFormat() != consent.RecordFormat {
		t.Errorf("%v", got)
	}
	if record := consent.Record(got.GetRecord()); record.Validate() != nil || !slices.Equal(record, r.memory.subjects[key].record.ForDecisions(nil)) {
		t.Errorf("record %x", record)
	}
	got = must[*consentv1.FillResponse](t)(r.watch.Fill(background(t), &consentv1.FillRequest{Subject: "bert", Epoch: memoryEpoch}))
	if len(got.GetRecord()) != 0 || got.GetPosition() != 2 {
		t.Errorf("%v", got)
	}
	_, err := r.watch.Fill(background(t), &consentv1.FillRequest{Subject: "anna"})
	wantViolation(t, err, "epoch")
	_, err = r.watch.Fill(background(t), &consentv1.FillRequest{Subject: "anna", Epoch: 1})
	wantError(t, err, codes.FailedPrecondition, "EPOCH_CHANGED")
}

// TestWatchResumedAhead: a reader comes from a replica that is ahead, where a tenant that it wants is new. When it is here too, its changes
// are told.
func TestWatchResumedAhead(t *testing.T) {
	r := newRig(t)
	w := r.watchFrom(t, &consentv1.WatchStart{Tenants: []string{"brand"}, Epoch: memoryEpoch, Position: 2})
	w.caughtUp(t)
	w.send(t, pingMessage(1, false))
	if pong := w.pong(t, 1); pong.GetPosition() != 2 || pong.GetAge() == nil {
		t.Errorf("%v, want a proof at the reader's own position", pong)
	}
	r.memory.put(t, "brand", testPolicy) // at 2
	_, err := r.memory.Write(background(t), consent.Write{Tenant: "brand", Events: []consent.SubjectEvent{{Subject: "anna"}}})
	if err != nil {
		t.Fatal(err)
	}
	changes := w.changes(t)
	want := []uint32{bucketOf(memoryKey{"brand", "anna"})}
	if got := unpacked(t, changes); changes.GetPosition() != 3 || !slices.Equal(got, want) || len(changes.GetTenants()) != 0 {
		t.Errorf("%v with %v, want %v at 3", changes, got, want)
	}
}

func TestWatchOfSomeTenants(t *testing.T) {
	r := newRig(t)
	w := r.watchFrom(t, &consentv1.WatchStart{Tenants: []string{"brand", ""}})
	if reset := w.reset(t, consentv1.WatchResetReason_WATCH_RESET_REASON_START); len(reset.GetTenants()) != 1 {
		t.Errorf("%v", reset)
	}
	w.caughtUp(t)
	write := func(tenant string) (bucket uint32) {
		if _, err := r.memory.Write(background(t), consent.Write{
			Tenant: tenant, RequestID: consent.RequestID{tenant[0]}, Events: []consent.SubjectEvent{{Subject: "anna"}},
		}); err != nil {
			t.Fatal(err)
		}
		return bucketOf(memoryKey{tenant, "anna"})
	}
	for _, tt := range []struct {
		tenant   string
		told     bool
		position uint64
	}{{"other", false, 2}, {"brand", true, 3}, {defaultTenant, true, 4}} {
		bucket := write(tt.tenant)
		changes := w.changes(t)
		var want []uint32
		if tt.told {
			want = []uint32{bucket}
		}
		if got := unpacked(t, changes); changes.GetPosition() != tt.position || !slices.Equal(got, want) {
			t.Errorf("%s: %v with %v, want %v at %d", tt.tenant, changes, got, want, tt.position)
		}
		if isNew := tt.tenant == "brand"; isNew != (len(changes.GetTenants()) == 1) {
			t.Errorf("%s: tenants %v", tt.tenant, changes.GetTenants())
		}
	}
}

// TestWatchingIsNoLoad: a near cache that follows what changes keeps no call from being admitted.
func TestWatchingIsNoLoad(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxInFlight = 1 })
	r.watchFrom(t, &consentv1.WatchStart{}).next(t)
	r.check(t, anna, "crm_storage")
}
