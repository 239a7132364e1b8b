package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// fakeCluster notes what it is asked, and answers as it is told.
type fakeCluster struct {
	consentv1.UnimplementedClusterServiceServer
	status *consentv1.GetClusterStatusResponse
	asked  proto.Message
	err    error
}

func (f *fakeCluster) GetClusterStatus(
	_ context.Context, r *consentv1.GetClusterStatusRequest,
) (*consentv1.GetClusterStatusResponse, error) {
	f.asked = r
	return f.status, f.err
}

func (f *fakeCluster) JoinCluster(_ context.Context, r *consentv1.JoinClusterRequest) (*consentv1.JoinClusterResponse, error) {
	f.asked = r
	return &consentv1.JoinClusterResponse{ClusterId: "c1"}, f.err
}

func (f *fakeCluster) RemoveMember(_ context.Context, r *consentv1.RemoveMemberRequest) (*consentv1.RemoveMemberResponse, error) {
	f.asked = r
	return &consentv1.RemoveMemberResponse{}, f.err
}

func (f *fakeCluster) PromoteMember(_ context.Context, r *consentv1.PromoteMemberRequest) (*consentv1.PromoteMemberResponse, error) {
	f.asked = r
	return &consentv1.PromoteMemberResponse{}, f.err
}

func (f *fakeCluster) DemoteMember(_ context.Context, r *consentv1.DemoteMemberRequest) (*consentv1.DemoteMemberResponse, error) {
	f.asked = r
	return &consentv1.DemoteMemberResponse{}, f.err
}

func (f *fakeCluster) TransferLeadership(
	_ context.Context, r *consentv1.TransferLeadershipRequest,
) (*consentv1.TransferLeadershipResponse, error) {
	f.asked = r
	return &consentv1.TransferLeadershipResponse{Leader: "n2"}, f.err
}

func (f *fakeCluster) TakeSnapshot(_ context.Context, r *consentv1.TakeSnapshotRequest) (*consentv1.TakeSnapshotResponse, error) {
	f.asked = r
	return &consentv1.TakeSnapshotResponse{Index: 42}, f.err
}

func startFakeCluster(t *testing.T, f *fakeCluster) (addr string) {
	t.Helper()
	return startFake(t, func(s *grpc.Server) { consentv1.RegisterClusterServiceServer(s, f) })
}

func TestClusterStatus(t *testing.T) {
	addr := startFakeCluster(t, &fakeCluster{status: &consentv1.GetClusterStatusResponse{
		ClusterId: "c1", Leader: "n1", Term: 4, FailuresTolerated: 1, NodeId: "n2", MaxStaleness: durationpb.New(2 * time.Second),
		Members: []*consentv1.Member{
			{
				Id: "n1", Address: "10.0.0.1:7435", Role: consentv1.MemberRole_MEMBER_ROLE_LEADER, Applied: 90, LastContact: durationpb.New(0),
				Version: "v1", Healthy: true, Listen: []string{"10.0.0.1:7433"}, Answered: true,
			},
			{
				Id: "n2", Address: "10.0.0.2:7435", Role: consentv1.MemberRole_MEMBER_ROLE_VOTER, Applied: 88, TrailsLeaderBy: 2,
				LastContact: durationpb.New(31 * time.Millisecond), Version: "v1", Answered: true,
				UnhealthyBecause: "refuses writes: its disk is nearly full",
			},
			{Id: "n3", Address: "10.0.0.3:7435", Role: consentv1.MemberRole_MEMBER_ROLE_LEARNER, UnhealthyBecause: "can't be reached"},
		},
	}})
	const want = `{
	"cluster_id": "c1", "leader": "n1", "term": 4,
	"members": [
		{"id": "n1", "address": "10.0.0.1:7435", "role": "LEADER", "applied": 90, "trails_leader_by": 0, "last_contact_ms": 0, "version": "v1",
			"healthy": true, "unhealthy_because": "", "listen": ["10.0.0.1:7433"]},
		{"id": "n2", "address": "10.0.0.2:7435", "role": "VOTER", "applied": 88, "trails_leader_by": 2, "last_contact_ms": 31, "version": "v1",
			"healthy": false, "unhealthy_because": "refuses writes: its disk is nearly full", "listen": []},
		{"id": "n3", "address": "10.0.0.3:7435", "role": "LEARNER", "applied": null, "trails_leader_by": null, "last_contact_ms": null,
			"version": "", "healthy": false, "unhealthy_because": "can't be reached", "listen": []}
	],
	"failures_tolerated": 1, "node_id": "n2", "max_staleness": "2s"}`
	var expected any
	if err := json.Unmarshal([]byte(want), &expected); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(expected, decode[any](t, must(t, addr, "cluster", "status", "-o", "json"))); diff != "" {
		t.Error(diff)
	}
	const table = `ID  ROLE     HEALTHY  APPLIED  TRAILS BY  LAST CONTACT  VERSION  ADDRESS
n1  LEADER   yes      90       0          0s            v1       10.0.0.1:7435
n2  VOTER    no       88       2          31ms          v1       10.0.0.2:7435
n3  LEARNER  no       -        -          -             -        10.0.0.3:7435

cluster c1: n1 leads in term 4; 1 voter may fail
n2 refuses writes: its disk is nearly full
n3 can't be reached
n2 answers no check from data that are more than 2s old
`
	if diff := cmp.Diff(table, must(t, addr, "cluster", "status")); diff != "" {
		t.Error(diff)
	}
}

// TestClusterWithoutLeader prints a status all the same: it is when somebody looks.
func TestClusterWithoutLeader(t *testing.T) {
	addr := startFakeCluster(t, &fakeCluster{status: &consentv1.GetClusterStatusResponse{
		ClusterId: "c1", Term: 4, Members: []*consentv1.Member{{Id: "n1", Applied: 90, Answered: true}},
	}})
	if got := must(t, addr, "cluster", "status"); !strings.Contains(got, "nobody leads: nothing can be written") {
		t.Error(got)
	}
	if m := decode[clusterOutput](t, must(t, addr, "cluster", "status", "-o", "json")).Members[0]; *m.Applied != 90 || m.TrailsLeaderBy != nil {
		t.Errorf("got %+v, want what it has applied, and nothing about whom it trails", m)
	}
}

// TestClusterChanges says what each command asks, and what it prints.
func TestClusterChanges(t *testing.T) {
	tests := []struct {
		args  []string
		asked proto.Message
		out   string // of -o json, without spaces
		says  string
	}{
		{[]string{"join", "a:1", "b:2,c:3"}, &consentv1.JoinClusterRequest{Peers: []string{"a:1", "b:2", "c:3"}}, `{"cluster_id":"c1"}`, "belongs to cluster c1"},
		{[]string{"remove", "n3"}, &consentv1.RemoveMemberRequest{Id: "n3"}, `{"id":"n3"}`, "n3 is no member any more"},
		{[]string{"promote", "n3"}, &consentv1.PromoteMemberRequest{Id: "n3"}, `{"id":"n3"}`, "n3 votes"},
		{[]string{"demote", "n3"}, &consentv1.DemoteMemberRequest{Id: "n3"}, `{"id":"n3"}`, "n3 is a learner"},
		{[]string{"transfer-leader"}, &consentv1.TransferLeadershipRequest{}, `{"leader":"n2"}`, "n2 leads"},
		{[]string{"transfer-leader", "n2"}, &consentv1.TransferLeadershipRequest{Id: "n2"}, `{"leader":"n2"}`, "n2 leads"},
		{[]string{"snapshot"}, &consentv1.TakeSnapshotRequest{}, `{"index":42}`, "up to 42"},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			fake := &fakeCluster{}
			addr := startFakeCluster(t, fake)
			args := append([]string{"cluster"}, tt.args...)
			if got := strings.Join(strings.Fields(must(t, addr, append(args, "-o", "json")...)), ""); got != tt.out {
				t.Errorf("prints %s, want %s", got, tt.out)
			}
			if diff := cmp.Diff(tt.asked, fake.asked, protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
			if got := must(t, addr, args...); !strings.Contains(got, tt.says) {
				t.Errorf("says %q, want %q", got, tt.says)
			}
			fake.err = refusal(t, codes.FailedPrecondition, "MEMBERSHIP", "that would leave no quorum")
			got := consentd(t, append(args, "--addr", addr)...)
			if got.code != exitFailed || got.stdout != "" || !strings.Contains(got.stderr, "that would leave no quorum (MEMBERSHIP)") {
				t.Errorf("refused: %+v", got)
			}
		})
	}
}
