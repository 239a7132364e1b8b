package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	peerv1 "github.com/consentd/consentd/proto/peer/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
)

// everyCall calls every RPC with a tenant, a subject, a permission and a consistency, and returns its error.
func everyCall(r *rig, tenant, subject, permission string, c *consentv1.Consistency) map[string]func(context.Context) error {
	email := grant(subject, permission)
	list := &consentv1.SubjectList{Ids: []string{subject}}
	return map[string]func(context.Context) error{
		"Check": func(ctx context.Context) error {
			_, err := r.permissions.Check(ctx, &consentv1.CheckRequest{
				Tenant: tenant, Subject: subject, Permissions: []string{permission}, Consistency: c,
			})
			return err
		},
		"BatchCheck": func(ctx context.Context) error {
			_, err := r.permissions.BatchCheck(ctx, &consentv1.BatchCheckRequest{
				Tenant: tenant, Questions: []*consentv1.CheckQuestion{{Subject: subject, Permissions: []string{permission}}}, Consistency: c,
			})
			return err
		},
		"CheckSegment": func(ctx context.Context) error {
			stream, err := r.permissions.CheckSegment(ctx)
			if err != nil {
				return err
			}
			return exchange(stream.Send, stream.Recv, stream.CloseSend,
				&consentv1.CheckSegmentRequest{Message: &consentv1.CheckSegmentRequest_Segment{
					Segment: &consentv1.Segment{Tenant: tenant, Permission: permission, Consistency: c},
				}},
				&consentv1.CheckSegmentRequest{Message: &consentv1.CheckSegmentRequest_Subjects{Subjects: list}})
		},
		"Explain": func(ctx context.Context) error {
			_, err := r.permissions.Explain(ctx, &consentv1.ExplainRequest{
				Tenant: tenant, Subject: subject, Permissions: []string{permission}, Consistency: c, Suppose: []*consentv1.Event{email},
			})
			return err
		},
		"WriteEvents": func(ctx context.Context) error {
			_, err := r.records.WriteEvents(ctx, &consentv1.WriteEventsRequest{Tenant: tenant, Events: []*consentv1.Event{email}})
			return err
		},
		"RecordUses": func(ctx context.Context) error {
			_, err := r.records.RecordUses(ctx, &consentv1.RecordUsesRequest{Tenant: tenant, Permission: permission, Subjects: list})
			return err
		},
		"ImportEvents": func(ctx context.Context) error {
			stream, err := r.records.ImportEvents(ctx)
			if err != nil {
				return err
			}
			return exchange(stream.Send, stream.Recv, stream.CloseSend,
				importStart(&consentv1.Import{Tenant: tenant}), importRows(1, 1, func(int) *consentv1.Event { return email }))
		},
		"GetRecord": func(ctx context.Context) error {
			_, err := r.records.GetRecord(ctx, &consentv1.GetRecordRequest{Tenant: tenant, Subject: subject, Consistency: c})
			return err
		},
		"ListEvents": func(ctx context.Context) error {
			_, err := r.records.ListEvents(ctx, &consentv1.ListEventsRequest{Tenant: tenant, Subject: subject, Consistency: c})
			return err
		},
		"Watch": func(ctx context.Context) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			stream, err := r.watch.Watch(ctx)
			if err != nil {
				return err
			}
			start := &consentv1.WatchStart{Tenants: []string{tenant}}
			return exchange(stream.Send, stream.Recv, stream.CloseSend,
				&consentv1.WatchRequest{Message: &consentv1.WatchRequest_Start{Start: start}})
		},
		"Fill": func(ctx context.Context) error {
			at := consent.Revision{Epoch: memoryEpoch}
			if c.GetAtLeast() != "" {
				at, _ = consent.ParseRevision(c.GetAtLeast())
			}
			_, err := r.watch.Fill(ctx, &consentv1.FillRequest{
				Tenant: tenant, Subject: strings.ToLower(strings.TrimSpace(subject)), Epoch: at.Epoch, Position: at.Index,
			})
			return err
		},
		"PutPolicy": func(ctx context.Context) error {
			_, err := r.policies.PutPolicy(ctx, &consentv1.PutPolicyRequest{Tenant: tenant, Document: testPolicy + "#"})
			return err
		},
		"PutPolicy to try": func(ctx context.Context) error {
			_, err := r.policies.PutPolicy(ctx, &consentv1.PutPolicyRequest{
				Tenant: tenant, Document: testPolicy + "#" + permission, ValidateOnly: true,
			})
			return err
		},
		"GetPolicy": func(ctx context.Context) error {
			_, err := r.policies.GetPolicy(ctx, &consentv1.GetPolicyRequest{Tenant: tenant})
			return err
		},
		"ListPolicies": func(ctx context.Context) error {
			_, err := r.policies.ListPolicies(ctx, &consentv1.ListPoliciesRequest{Tenant: tenant})
			return err
		},
	}
}

// everyClusterCall calls every RPC that is about replicas, with a name, an address and a file, and returns its error.
func everyClusterCall(r *rig, name, address, file string) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"GetClusterStatus": func(ctx context.Context) error {
			_, err := r.cluster.GetClusterStatus(ctx, &consentv1.GetClusterStatusRequest{})
			return err
		},
		"JoinCluster": func(ctx context.Context) error {
			_, err := r.cluster.JoinCluster(ctx, &consentv1.JoinClusterRequest{Peers: []string{address}})
			return err
		},
		"RemoveMember": func(ctx context.Context) error {
			_, err := r.cluster.RemoveMember(ctx, &consentv1.RemoveMemberRequest{Id: name})
			return err
		},
		"PromoteMember": func(ctx context.Context) error {
			_, err := r.cluster.PromoteMember(ctx, &consentv1.PromoteMemberRequest{Id: name})
			return err
		},
		"DemoteMember": func(ctx context.Context) error {
			_, err := r.cluster.DemoteMember(ctx, &consentv1.DemoteMemberRequest{Id: name})
			return err
		},
		"TransferLeadership": func(ctx context.Context) error {
			_, err := r.cluster.TransferLeadership(ctx, &consentv1.TransferLeadershipRequest{Id: name})
			return err
		},
		"TakeSnapshot": func(ctx context.Context) error {
			_, err := r.cluster.TakeSnapshot(ctx, &consentv1.TakeSnapshotRequest{})
			return err
		},
		"BackUp": func(ctx context.Context) error {
			_, err := backedUp(ctx, r)
			return err
		},
		"Restore": func(ctx context.Context) error {
			_, err := restored(ctx, r, true, file)
			return err
		},
		"Introduce": func(ctx context.Context) error {
			_, err := r.discovery.Introduce(ctx, &peerv1.IntroduceRequest{})
			return err
		},
		"Promise": func(ctx context.Context) error {
			_, err := r.discovery.Promise(ctx, &peerv1.PromiseRequest{FounderId: name, ClusterId: name, KeyCheck: []byte(file)})
			return err
		},
		"Enrol": func(ctx context.Context) error {
			_, err := r.discovery.Enrol(ctx, &peerv1.EnrolRequest{NodeId: name, Address: address, KeyCheck: []byte(file)})
			return err
		},
	}
}

// TestEveryMethodIsCalled: what is served is swept by these tests.
func TestEveryMethodIsCalled(t *testing.T) {
	r := newRig(t)
	called := everyCall(r, "", "", "", nil)
	maps.Copy(called, everyClusterCall(r, "", "", ""))
	for service, info := range r.server.grpc.GetServiceInfo() {
		if strings.HasPrefix(service, "grpc.") {
			continue
		}
		for _, method := range info.Methods {
			if called[method.Name] == nil && method.Name != "StreamCheck" { // whose errors are items
				t.Errorf("%s/%s is swept nowhere", service, method.Name)
			}
		}
	}
}

// exchange sends messages and reads answers until the stream ends.
func exchange[Q, A any](send func(Q) error, recv func() (A, error), closeSend func() error, messages ...Q) error {
	for _, m := range messages {
		if err := send(m); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	if err := closeSend(); err != nil {
		return err
	}
	for {
		if _, err := recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// wantOneInfo fails unless an error, if there is one, has exactly one ErrorInfo of ours, and names no subject.
func wantOneInfo(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	s, infos := status.Convert(err), 0
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == Domain && info.GetReason() != "" {
			infos++
		}
	}
	if infos != 1 {
		t.Errorf("%d ErrorInfos in %v", infos, s.Proto())
	}
	if strings.Contains(strings.ToLower(s.Proto().String()), "anna") {
		t.Errorf("%v names the subject", s.Proto())
	}
}

// TestEveryErrorHasOneInfo calls every RPC with bad input of many kinds, and with every failure of what is behind.
func TestEveryErrorHasOneInfo(t *testing.T) {
	r := newRig(t)
	inputs := []struct {
		name, tenant, subject, permission string
		consistency                       *consentv1.Consistency
	}{
		{"unknown tenant", "nobody", anna, "crm_storage", nil},
		{"no tenant's name", "Anna@x.de", anna, "crm_storage", nil},
		{"unknown permission", "", anna, "no/such", nil},
		{"a subject for a permission", "", anna, anna, nil},
		{"no subject", "", "", "crm_storage", nil},
		{"a subject too long", "", strings.Repeat("anna", 65), "crm_storage", nil},
		{"no revision", "", anna, "crm_storage", &consentv1.Consistency{Requirement: &consentv1.Consistency_AtLeast{AtLeast: anna}}},
		{"another epoch", "", anna, "crm_storage", &consentv1.Consistency{Requirement: &consentv1.Consistency_AtLeast{
			AtLeast: consent.Revision{Epoch: 1, Index: 1}.String(),
		}}},
		{"a revision to come", "", anna, "crm_storage", &consentv1.Consistency{Requirement: &consentv1.Consistency_AtLeast{
			AtLeast: consent.Revision{Epoch: memoryEpoch, Index: 1 << 40}.String(),
		}}},
	}
	for _, in := range inputs {
		for name, call := range everyCall(r, in.tenant, in.subject, in.permission, in.consistency) {
			t.Run(in.name+"/"+name, func(t *testing.T) { wantOneInfo(t, call(background(t))) })
		}
	}
	for _, in := range []struct{ name, address, file string }{
		{"", "", ""}, {anna + "\x00", anna, ""}, {strings.Repeat("anna", 65), "unix://anna", strings.Repeat("anna", 65)},
	} {
		for name, call := range everyClusterCall(r, in.name, in.address, in.file) {
			t.Run("bad input/"+name, func(t *testing.T) { wantOneInfo(t, call(background(t))) })
		}
	}
	failures := []error{errors.New("the bits of anna@example.org have rotted")}
	for _, o := range outcomes {
		failures = append(failures, o.err)
	}
	for _, failure := range failures {
		r.memory.failWith(func(call string) error { return fmt.Errorf("%s: %w", call, failure) })
		for name, call := range everyClusterCall(r, "b", "127.0.0.1:1", "file") {
			err := call(background(t))
			if err == nil {
				t.Errorf("%s doesn't fail with %v", name, failure)
			}
			wantOneInfo(t, err)
		}
	}
	for _, failing := range []string{"View", "Record", "Write", "Preview", "History", "EachRecord", "PutPolicy", "Policy", "PolicyVersions",
		"Changes", "Fill"} {
		for _, failure := range failures {
			r.memory.failWith(func(call string) error {
				if call == failing {
					return fmt.Errorf("%s: %w", call, failure)
				}
				return nil
			})
			for _, call := range everyCall(r, "", anna, "crm_storage", nil) {
				wantOneInfo(t, call(background(t)))
			}
		}
	}
}

// TestEveryCallPassesTheDoor writes under one spelling and finds the subject under another, wherever an id is taken.
func TestEveryCallPassesTheDoor(t *testing.T) {
	r := newRig(t)
	const written, asked = " ANNA@Example.org", "anna@EXAMPLE.org\t"
	for name, call := range everyCall(r, "", written, "recommendations/web", nil) {
		if err := call(background(t)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.memory.mu.Lock()
	for key := range r.memory.subjects {
		if key.subject != anna {
			t.Errorf("a subject is kept as %q", key.subject)
		}
	}
	r.memory.mu.Unlock()
	if got := reasonOf(t, r.check(t, asked, "recommendations/web")); got != consentv1.Reason_REASON_CONSENT {
		t.Errorf("reason %v", got)
	}
}
