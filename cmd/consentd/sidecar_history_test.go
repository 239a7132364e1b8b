package main

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consentd/consentd/client"
	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// shopPermissions are some of the shop's, which differ in what they rest on.
var shopPermissions = []string{"newsletter/email", "newsletter/post", "recommendations/web", "crm_storage"}

func withUnknown() []string { return append(slices.Clone(shopPermissions), "no/such") }

// TestASidecarAnswersAsItsReplica after each event of random histories: single checks, batches, segments, and a near cache of the SDK that
// follows the sidecar. Some subjects are never asked about before, others often.
func TestASidecarAnswersAsItsReplica(t *testing.T) {
	replica := spawn(t, filepath.Join(t.TempDir(), "data"))
	sidecar := spawnSidecar(t, replica.addr)
	near, err := client.Dial(t.Context(), sidecar.addr, client.WithNearCache(16<<20))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(near.Close)
	r, s := dial(t, replica.addr), dial(t, sidecar.addr)
	random := rand.New(rand.NewPCG(4, 7))
	var subjects []string
	for i := range 20 {
		subjects = append(subjects, fmt.Sprintf("subject-%d@example.com", i))
	}
	for n := range 150 {
		subject := subjects[random.IntN(len(subjects))]
		written, err := consentv1.NewRecordServiceClient(s).WriteEvents(t.Context(), &consentv1.WriteEventsRequest{
			Events: []*consentv1.Event{randomEvent(random, subject)},
		})
		if err != nil {
			t.Fatal(err)
		}
		at := &consentv1.Consistency{Requirement: &consentv1.Consistency_AtLeast{AtLeast: written.GetRevision()}}
		wantSame(t, fmt.Sprintf("check after event %d", n), checkAll(t, r, subject, at), checkAll(t, s, subject, at))
		if n%10 == 0 {
			wantNear(t, near, subject, written.GetRevision(), checkAll(t, r, subject, at))
			some := subjects[:1+random.IntN(len(subjects))]
			wantSame(t, "batch", batchOf(t, r, some, at), batchOf(t, s, some, at))
			wantSame(t, "segment", segmentOf(t, r, some, at), segmentOf(t, s, some, at))
		}
	}
}

// wantNear compares a replica's first answer with that of a near cache.
func wantNear(t *testing.T, near *client.Client, subject, revision string, reply *consentv1.CheckResponse) {
	t.Helper()
	at, err := consent.ParseRevision(revision)
	if err != nil {
		t.Fatal(err)
	}
	got, err := near.Check(t.Context(), client.Question{
		Subject: subject, Permission: shopPermissions[0], Consistency: consent.Consistency{AtLeast: at},
	})
	want := reply.GetResults()[0].GetAnswer()
	allowed := want.GetDecision() == consentv1.Decision_DECISION_ALLOW
	if err != nil || got.Allowed != allowed || consentv1.Reason(got.Reason) != want.GetReason() {
		t.Errorf("the near cache behind the sidecar says %+v, error %v, and the replica %v", got, err, want)
	}
}

// randomEvent is one that changes what is decided, at some time of the last month.
func randomEvent(random *rand.Rand, subject string) *consentv1.Event {
	kinds := []consentv1.EventKind{
		consentv1.EventKind_EVENT_KIND_GRANTED, consentv1.EventKind_EVENT_KIND_GRANTED, consentv1.EventKind_EVENT_KIND_CONFIRMED,
		consentv1.EventKind_EVENT_KIND_WITHDRAWN, consentv1.EventKind_EVENT_KIND_REFUSED, consentv1.EventKind_EVENT_KIND_UNDELIVERABLE,
		consentv1.EventKind_EVENT_KIND_RESTRICTED, consentv1.EventKind_EVENT_KIND_UNRESTRICTED, consentv1.EventKind_EVENT_KIND_ERASED,
	}
	e := &consentv1.Event{
		Subject: subject, Kind: kinds[random.IntN(len(kinds))],
		OccurredAt: timestamppb.New(time.Now().Add(-time.Duration(random.Int64N(int64(30 * 24 * time.Hour))))),
	}
	switch e.Kind {
	case consentv1.EventKind_EVENT_KIND_GRANTED:
		e.Evidence = &consentv1.Evidence{
			NoticeVersion: 1 + uint32(random.IntN(3)), Method: consentv1.Method_METHOD_WEB_FORM, Source: "checkout", Reference: "forms/1",
		}
		fallthrough
	case consentv1.EventKind_EVENT_KIND_CONFIRMED, consentv1.EventKind_EVENT_KIND_WITHDRAWN, consentv1.EventKind_EVENT_KIND_REFUSED:
		e.Scope = &consentv1.Scope{Permissions: []string{shopPermissions[random.IntN(len(shopPermissions))]}}
	case consentv1.EventKind_EVENT_KIND_UNDELIVERABLE:
		e.Scope = &consentv1.Scope{Channels: []string{"email"}}
	}
	return e
}

func checkAll(t *testing.T, conn *grpc.ClientConn, subject string, at *consentv1.Consistency) *consentv1.CheckResponse {
	t.Helper()
	reply, err := consentv1.NewPermissionServiceClient(conn).Check(t.Context(), &consentv1.CheckRequest{
		Subject: subject, Permissions: withUnknown(), Consistency: at,
	})
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

func batchOf(t *testing.T, conn *grpc.ClientConn, subjects []string, at *consentv1.Consistency) *consentv1.BatchCheckResponse {
	t.Helper()
	request := &consentv1.BatchCheckRequest{Permissions: withUnknown(), Consistency: at}
	for _, subject := range subjects {
		request.Questions = append(request.Questions, &consentv1.CheckQuestion{Subject: subject})
	}
	reply, err := consentv1.NewPermissionServiceClient(conn).BatchCheck(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

func segmentOf(t *testing.T, conn *grpc.ClientConn, subjects []string, at *consentv1.Consistency) *consentv1.CheckSegmentResponse {
	t.Helper()
	stream, err := consentv1.NewPermissionServiceClient(conn).CheckSegment(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, message := range []*consentv1.CheckSegmentRequest{
		{Message: &consentv1.CheckSegmentRequest_Segment{Segment: &consentv1.Segment{
			Permission: shopPermissions[0], Form: consentv1.SegmentForm_SEGMENT_FORM_REASONS, Consistency: at,
		}}},
		{Message: &consentv1.CheckSegmentRequest_Subjects{Subjects: &consentv1.SubjectList{Ids: subjects}}},
	} {
		if err := stream.Send(message); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	reply, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

// wantSame compares all but what passes with time.
func wantSame(t *testing.T, what string, replica, sidecar proto.Message) {
	t.Helper()
	passing := cmp.Options{
		protocmp.Transform(), protocmp.IgnoreFields(&consentv1.Answer{}, "cache_for"), protocmp.IgnoreFields(&consentv1.CheckResponse{}, "age"),
		protocmp.IgnoreFields(&consentv1.BatchCheckResponse{}, "age"),
		protocmp.IgnoreFields(&consentv1.CheckSegmentResponse{}, "age", "cache_for"),
	}
	if diff := cmp.Diff(replica, sidecar, passing); diff != "" {
		t.Errorf("%s (-replica +sidecar):\n%s", what, diff)
	}
}
