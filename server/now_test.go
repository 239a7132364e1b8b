package server

import (
	"context"
	"maps"
	"testing"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// nearStream serves a sidecar, and opens a stream of checks to it.
func nearStream(t *testing.T, p *passer, state Near) consentv1.PermissionService_StreamCheckClient {
	t.Helper()
	_, conn := serve(t, Options{State: state, Upstream: p.replicas})
	return must[consentv1.PermissionService_StreamCheckClient](t)(consentv1.NewPermissionServiceClient(conn).StreamCheck(background(t)))
}

// askOne asks a stream about a subject, and returns the next answer.
func askOne(t *testing.T, stream consentv1.PermissionService_StreamCheckClient, id uint64, subject string) *consentv1.StreamCheckResponse {
	t.Helper()
	if err := stream.Send(ask(id, &consentv1.CheckRequest{Subject: subject, Permissions: []string{"crm_storage"}})); err != nil {
		t.Fatal(err)
	}
	return must[*consentv1.StreamCheckResponse](t)(stream.Recv())
}

// forgetfulNear loses each record as soon as it has been found, and then can't fetch it before it is released.
type forgetfulNear struct {
	*nearMemory
	release chan struct{}
}

func (n *forgetfulNear) Look(ctx context.Context, t *consent.Tenant, subject string) (consent.View, consent.Record, error) {
	select {
	case <-n.release:
	case <-ctx.Done():
		return consent.View{}, nil, ctx.Err()
	}
	return n.nearMemory.Look(ctx, t, subject)
}

// TestLostRecordsDontBlock: what was here when a question was looked at is what answers it, though it is lost meanwhile.
func TestLostRecordsDontBlock(t *testing.T) {
	p := newPasser(t, func(string) bool { return true })
	near := &forgetfulNear{p.near, make(chan struct{})}
	stream := nearStream(t, p, near)
	for id := range uint64(2) {
		if answer := askOne(t, stream, id, anna); answer.GetCorrelationId() != id || answer.GetCheck() == nil {
			t.Errorf("answer %v, want that of question %d", answer, id)
		}
	}
	close(near.release)
}

// TestMissesAreOvertaken: a record that isn't here is fetched beside the stream.
func TestMissesAreOvertaken(t *testing.T) {
	release := make(chan struct{})
	p := newPasser(t, func(subject string) bool { return subject != "missing" })
	p.near.fetch = func() { <-release }
	stream := nearStream(t, p, p.near)
	if err := stream.Send(ask(0, &consentv1.CheckRequest{Subject: "missing", Permissions: []string{"crm_storage"}})); err != nil {
		t.Fatal(err)
	}
	if answer := askOne(t, stream, 1, anna); answer.GetCorrelationId() != 1 {
		t.Errorf("answer %d, want that of what is held", answer.GetCorrelationId())
	}
	close(release)
	if answer := must[*consentv1.StreamCheckResponse](t)(stream.Recv()); answer.GetCorrelationId() != 0 || answer.GetCheck() == nil {
		t.Errorf("answer %v, want that of what was fetched", answer)
	}
}

// TestPanicsOfLookingAreOneQuestions: one in the near cache ends no stream that others share.
func TestPanicsOfLookingAreOneQuestions(t *testing.T) {
	p := newPasser(t, func(subject string) bool {
		if subject == "rotten" {
			panic("rotten bits")
		}
		return true
	})
	stream := nearStream(t, p, p.near)
	wantStatus(t, status.FromProto(askOne(t, stream, 0, "rotten").GetStatus()), codes.Internal, "INTERNAL")
	if answer := askOne(t, stream, 1, anna); answer.GetCheck() == nil {
		t.Errorf("answer %v: the stream doesn't go on after a panic", answer)
	}
}

// changedNear has another policy take effect between the view and the record.
type changedNear struct {
	*nearMemory
	change func()
}

func (n *changedNear) Held(t *consent.Tenant, subject string) (consent.View, consent.Record, bool) {
	n.change()
	return n.nearMemory.Held(t, subject)
}

// TestPoliciesInFlight: a record found here is decided by the policy of the state that it is of.
func TestPoliciesInFlight(t *testing.T) {
	p := newPasser(t, func(string) bool { return true })
	changes := 0
	near := &changedNear{p.near, func() {
		if changes++; changes == 1 {
			p.memory.put(t, defaultTenant, testPolicy+"  newer: {bases: [consent]}\n")
		}
	}}
	answer := askOne(t, nearStream(t, p, near), 0, anna)
	if got := answer.GetCheck().GetPolicyVersion(); got != 2 {
		t.Errorf("decided by version %d, want 2", got)
	}
}

// lostNear finds each record once, and never again.
type lostNear struct{ *nearMemory }

func (lostNear) Record(context.Context, *consent.Tenant, string, *consent.Buffer) (consent.Record, error) {
	return nil, consent.ErrStale
}

func (lostNear) Look(context.Context, *consent.Tenant, string) (consent.View, consent.Record, error) {
	return consent.View{}, nil, consent.ErrStale
}

// TestWholeIsLookedUpOnce: what is found of a batch or a chunk is what answers it, though it is lost meanwhile; so it is one hit, too.
func TestWholeIsLookedUpOnce(t *testing.T) {
	p := newPasser(t, nil)
	looks := map[string]int{}
	p.near.held = func(subject string) bool {
		looks[subject]++
		return looks[subject] == 1
	}
	_, conn := serve(t, Options{State: lostNear{p.near}, Upstream: p.replicas})
	r := &rig{conn: conn, permissions: consentv1.NewPermissionServiceClient(conn)}
	batch := must[*consentv1.BatchCheckResponse](t)(r.permissions.BatchCheck(background(t), oneQuestion("a", "b")))
	for _, item := range batch.GetItems() {
		if len(item.GetResults()) != 1 {
			t.Errorf("item %v, want an answer", item)
		}
	}
	must[*consentv1.CheckSegmentResponse](t)(segmentOnce(t, r, &consentv1.Segment{Permission: "crm_storage"}, packed("c", "d")))
	if want := map[string]int{"a": 1, "b": 1, "c": 1, "d": 1}; !maps.Equal(looks, want) {
		t.Errorf("looked up %v, want %v", looks, want)
	}
}
