package server

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestWriteEvents(t *testing.T) {
	r := newRig(t)
	id := must[uuid.UUID](t)(uuid.NewV7()).String()
	request := &consentv1.WriteEventsRequest{RequestId: id, Events: []*consentv1.Event{
		grant(anna, "recommendations/web"), event("bob", consentv1.EventKind_EVENT_KIND_WITHDRAWN),
	}}
	first := must[*consentv1.WriteEventsResponse](t)(r.records.WriteEvents(background(t), request))
	applied := consentv1.Effect_EFFECT_APPLIED
	if !slices.Equal(first.GetEffects(), []consentv1.Effect{applied, applied}) || first.GetRequestId() != id ||
		first.GetRevision() == "" || first.GetStamp() == nil {
		t.Errorf("reply %v", first)
	}
	again := must[*consentv1.WriteEventsResponse](t)(r.records.WriteEvents(background(t), request))
	if again.GetRevision() != first.GetRevision() {
		t.Errorf("a repeat is another write: %s, then %s", first.GetRevision(), again.GetRevision())
	}
	chosen := must[uuid.UUID](t)(uuid.Parse(r.write(t, event("bob", consentv1.EventKind_EVENT_KIND_ERASED)).GetRequestId()))
	if chosen.Version() != 7 {
		t.Errorf("the server chose %v, which is no UUIDv7", chosen)
	}
}

func TestValidateOnlyWritesNothing(t *testing.T) {
	r := newRig(t)
	reply := must[*consentv1.WriteEventsResponse](t)(r.records.WriteEvents(background(t), &consentv1.WriteEventsRequest{
		ValidateOnly: true, Events: []*consentv1.Event{grant(anna, "recommendations/web")},
	}))
	if !slices.Equal(reply.GetEffects(), []consentv1.Effect{consentv1.Effect_EFFECT_APPLIED}) {
		t.Errorf("effects %v", reply.GetEffects())
	}
	if len(r.memory.sizes()) != 0 {
		t.Error("something was written")
	}
}

func TestWriteEventsRefuses(t *testing.T) {
	r := newRig(t)
	withdrawn := event(anna, consentv1.EventKind_EVENT_KIND_WITHDRAWN)
	tests := []struct {
		name    string
		request *consentv1.WriteEventsRequest
		field   string
	}{
		{"no events", &consentv1.WriteEventsRequest{}, "events"},
		{"too many", &consentv1.WriteEventsRequest{Events: slices.Repeat([]*consentv1.Event{withdrawn}, 1001)}, "events"},
		{"no UUID", &consentv1.WriteEventsRequest{RequestId: "7", Events: []*consentv1.Event{withdrawn}}, "request_id"},
		{"UUIDv4", &consentv1.WriteEventsRequest{RequestId: uuid.NewString(), Events: []*consentv1.Event{withdrawn}}, "request_id"},
		{"tenant", &consentv1.WriteEventsRequest{Tenant: "Not A Name", Events: []*consentv1.Event{withdrawn}}, "tenant"},
		{"second event", events(withdrawn, event("", consentv1.EventKind_EVENT_KIND_WITHDRAWN)), "events[1].subject"},
		{"long subject", events(event(strings.Repeat("x", 257), consentv1.EventKind_EVENT_KIND_WITHDRAWN)), "events[0].subject"},
		{"no kind", events(&consentv1.Event{Subject: anna}), "events[0].kind"},
		{"a kind that would be cut to another", events(&consentv1.Event{Subject: anna, Kind: 256 + 5}), "events[0].kind"},
		{"a negative kind", events(&consentv1.Event{Subject: anna, Kind: -251}), "events[0].kind"},
		{"method", events(grant(anna, "crm_storage", func(e *consentv1.Event) { e.Evidence.Method = 257 })), "events[0].evidence.method"},
		{"hash", events(grant(anna, "crm_storage", func(e *consentv1.Event) { e.Evidence.NoticeHash = []byte{1} })), "events[0].evidence.notice_hash"},
		{"objection", events(&consentv1.Event{Subject: anna, Kind: consentv1.EventKind_EVENT_KIND_OBJECTED, Objection: 257}), "events[0].objection"},
		{"relationship", events(attributes(&consentv1.Attributes{Relationship: 258})), "events[0].attributes.relationship"},
		{"birth date", events(attributes(&consentv1.Attributes{BirthDate: text("2011-13-01")})), "events[0].attributes.birth_date"},
		{"country", events(attributes(&consentv1.Attributes{Country: text("")})), "events[0].attributes.country"},
		{"no attributes", events(attributes(nil)), "events[0].attributes"},
		{"grant without permission", events(event(anna, consentv1.EventKind_EVENT_KIND_GRANTED)), "events[0].scope.permissions"},
		{"time of a yes", events(grant(anna, "crm_storage", func(e *consentv1.Event) {
			e.OccurredAt = &timestamppb.Timestamp{Seconds: 1 << 50}
		})), "events[0].occurred_at"},
		{"born after now", events(attributes(&consentv1.Attributes{BirthDate: text("2990-01-01")})), "events[0].attributes.birth_date"},
		{"over before now", events(grant(anna, "crm_storage", func(e *consentv1.Event) {
			e.OccurredAt, e.Terms = nil, &consentv1.GrantTerms{ExpiresAt: ago(time.Hour)}
		})), "events[0].terms.expires_at"},
		{"over before now, dated later", events(grant(anna, "crm_storage", func(e *consentv1.Event) {
			e.OccurredAt, e.Terms = ago(-time.Hour), &consentv1.GrantTerms{ExpiresAt: ago(0)}
		})), "events[0].terms.expires_at"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := r.records.WriteEvents(background(t), tt.request)
			wantViolation(t, err, tt.field)
		})
	}
	if len(r.memory.sizes()) != 0 {
		t.Error("something was written")
	}
}

func events(list ...*consentv1.Event) *consentv1.WriteEventsRequest {
	return &consentv1.WriteEventsRequest{Events: list}
}

func attributes(a *consentv1.Attributes) *consentv1.Event {
	return &consentv1.Event{Subject: anna, Kind: consentv1.EventKind_EVENT_KIND_ATTRIBUTES_SET, Attributes: a}
}

func text(s string) *string { return &s }

func TestYesNeedsADeclaredPermission(t *testing.T) {
	r := newRig(t)
	for _, kind := range []consentv1.EventKind{
		consentv1.EventKind_EVENT_KIND_GRANTED, consentv1.EventKind_EVENT_KIND_REQUESTED, consentv1.EventKind_EVENT_KIND_CONFIRMED,
		consentv1.EventKind_EVENT_KIND_EVIDENCE_ADDED, consentv1.EventKind_EVENT_KIND_USED,
	} {
		e := grant(anna, "crm_storage", func(e *consentv1.Event) { e.Kind = kind })
		e.Scope.Permissions = append(e.Scope.Permissions, "no/such")
		_, err := r.records.WriteEvents(background(t), events(e))
		s := wantError(t, err, codes.NotFound, "UNKNOWN_PERMISSION")
		if !strings.Contains(s.Message(), `"no/such"`) {
			t.Errorf("%v: %s", kind, s.Message())
		}
	}
	_, err := r.records.WriteEvents(background(t), &consentv1.WriteEventsRequest{
		Tenant: "nobody", Events: []*consentv1.Event{grant(anna, "crm_storage")},
	})
	wantError(t, err, codes.NotFound, "UNKNOWN_TENANT")
}

// TestNoIsNeverRefused: not for a permission that isn't declared, nor for its date, nor before there is a policy.
func TestNoIsNeverRefused(t *testing.T) {
	r := newRig(t)
	for kind := range consentv1.EventKind_name {
		if e := (consent.Event{Kind: consent.EventKind(kind)}); !e.IsNo() {
			continue
		}
		e := event(anna, consentv1.EventKind(kind))
		switch e.GetKind() {
		case consentv1.EventKind_EVENT_KIND_SUPPRESSED, consentv1.EventKind_EVENT_KIND_RESTRICTED, consentv1.EventKind_EVENT_KIND_ERASED:
			e.Scope = nil
		default:
			e.Scope = &consentv1.Scope{Permissions: []string{"old/permission"}}
		}
		for _, seconds := range []int64{-1 << 62, -1, 0, 1 << 40, 1 << 62} {
			e.OccurredAt = &timestamppb.Timestamp{Seconds: seconds}
			for _, tenant := range []string{"default", "new"} {
				_, err := r.records.WriteEvents(background(t), &consentv1.WriteEventsRequest{Tenant: tenant, Events: []*consentv1.Event{e}})
				if err != nil {
					t.Errorf("%v at %d in %s: %v", e.GetKind(), seconds, tenant, err)
				}
			}
		}
	}
	preTicked := grant(anna, "old/permission", func(e *consentv1.Event) { e.Evidence.Method = consentv1.Method_METHOD_PRE_TICKED })
	preTicked.Terms = &consentv1.GrantTerms{ExpiresAt: ago(time.Hour)}
	preTicked.OccurredAt = nil
	if _, err := r.records.WriteEvents(background(t), events(preTicked)); err != nil {
		t.Errorf("a pre-ticked grant, which invalidates: %v", err)
	}
}

func TestWriteErrors(t *testing.T) {
	r := newRig(t)
	for _, o := range outcomes {
		r.memory.failWith(func(call string) error {
			if call == "Write" {
				return fmt.Errorf("writing: %w", o.err)
			}
			return nil
		})
		_, err := r.records.WriteEvents(background(t), events(event(anna, consentv1.EventKind_EVENT_KIND_ERASED)))
		wantError(t, err, o.code, o.reason)
	}
}

func TestRecordUses(t *testing.T) {
	r := newRig(t)
	r.write(t, grant(anna, "recommendations/web"))
	use := func(list *consentv1.SubjectList, change ...func(*consentv1.RecordUsesRequest)) (*consentv1.RecordUsesResponse, error) {
		request := &consentv1.RecordUsesRequest{Permission: "recommendations/web", Subjects: list, UsedAt: ago(time.Minute), Source: "campaign-1"}
		for _, f := range change {
			f(request)
		}
		return r.records.RecordUses(background(t), request)
	}
	reply := must[*consentv1.RecordUsesResponse](t)(use(packed("ANNA@example.org", "", "bob")))
	if reply.GetApplied() != 2 || !slices.Equal(reply.GetUnusable(), []uint32{1}) || reply.GetRevision() == "" || reply.GetRequestId() == "" {
		t.Errorf("reply %v", reply)
	}
	again := must[*consentv1.RecordUsesResponse](t)(use(packed(anna), func(q *consentv1.RecordUsesRequest) { q.UsedAt = ago(time.Hour) }))
	if again.GetApplied() != 0 {
		t.Errorf("an older use: %v", again)
	}
	_, err := use(packed(""))
	wantViolation(t, err, "subjects")
	_, err = use(nil)
	wantViolation(t, err, "subjects")
	_, err = use(packed(anna), func(q *consentv1.RecordUsesRequest) { q.Permission = "no/such" })
	wantError(t, err, codes.NotFound, "UNKNOWN_PERMISSION")
	_, err = use(packed(anna), func(q *consentv1.RecordUsesRequest) { q.Tenant = "nobody" })
	wantError(t, err, codes.NotFound, "UNKNOWN_TENANT")
	_, err = use(packed(anna), func(q *consentv1.RecordUsesRequest) { q.UsedAt = &timestamppb.Timestamp{Seconds: 1 << 50} })
	wantViolation(t, err, "used_at")
	_, err = use(packed(anna), func(q *consentv1.RecordUsesRequest) { q.Source = strings.Repeat("x", 257) })
	wantViolation(t, err, "source")
	_, err = use(packed(anna), func(q *consentv1.RecordUsesRequest) { q.RequestId = "x" })
	wantViolation(t, err, "request_id")
}

func TestGetRecord(t *testing.T) {
	r := newRig(t)
	get := func() *consentv1.GetRecordResponse {
		return must[*consentv1.GetRecordResponse](t)(r.records.GetRecord(background(t), &consentv1.GetRecordRequest{Subject: " Anna@example.org"}))
	}
	if reply := get(); reply.GetRecord() != nil || reply.GetRevision() == "" || reply.GetAge() == nil {
		t.Errorf("nothing is known, but %v", reply)
	}
	born := attributes(&consentv1.Attributes{BirthDate: text("1990-02-03"), Country: text("DE"), Relationship: consentv1.Relationship_RELATIONSHIP_CUSTOMER})
	objected := event(anna, consentv1.EventKind_EVENT_KIND_OBJECTED)
	objected.Scope, objected.Objection = &consentv1.Scope{Purposes: []string{"newsletter"}}, consentv1.ObjectionKind_OBJECTION_KIND_PROCESSING
	r.write(t, grant(anna, "recommendations/web"), born, objected)
	record := get().GetRecord()
	if len(record.GetPermissions()) != 1 || record.GetPermissions()[0].GetState() != consentv1.PermissionState_PERMISSION_STATE_GIVEN ||
		!record.GetPermissions()[0].GetProven() || record.GetPermissions()[0].GetPermission() != "recommendations/web" {
		t.Errorf("permissions %v", record.GetPermissions())
	}
	if a := record.GetAttributes(); a.GetBirthDate() != "1990-02-03" || a.GetCountry() != "DE" || record.GetNewestEventAt() == nil {
		t.Errorf("record %v", record)
	}
	if len(record.GetMarks()) != 1 || record.GetMarks()[0].GetKind() != consentv1.EventKind_EVENT_KIND_OBJECTED ||
		!slices.Equal(record.GetMarks()[0].GetScope().GetPurposes(), []string{"newsletter"}) {
		t.Errorf("marks %v", record.GetMarks())
	}
}

func TestListEvents(t *testing.T) {
	r := newRig(t)
	for i := range 5 {
		e := event(anna, consentv1.EventKind_EVENT_KIND_REQUESTED, "recommendations/web")
		e.OccurredAt = ago(time.Duration(10-i) * time.Minute)
		e.Evidence = &consentv1.Evidence{Source: fmt.Sprint(i)}
		r.write(t, e)
	}
	var sources []string
	request := &consentv1.ListEventsRequest{Subject: anna, PageSize: 2}
	for {
		reply := must[*consentv1.ListEventsResponse](t)(r.records.ListEvents(background(t), request))
		for _, e := range reply.GetEvents() {
			sources = append(sources, e.GetEvent().GetEvidence().GetSource())
			if e.GetEvent().GetSubject() != "" || e.GetRevision() == "" || e.GetStamp() == nil {
				t.Errorf("event %v", e)
			}
		}
		if request.PageToken = reply.GetNextPageToken(); request.PageToken == "" {
			break
		}
	}
	if want := []string{"0", "1", "2", "3", "4"}; !slices.Equal(sources, want) {
		t.Errorf("events %v, want %v", sources, want)
	}
	for field, q := range map[string]*consentv1.ListEventsRequest{
		"page_size":  {Subject: anna, PageSize: 1001},
		"page_token": {Subject: anna, PageToken: "nonsense"},
		"subject":    {},
	} {
		_, err := r.records.ListEvents(background(t), q)
		wantViolation(t, err, field)
	}
	_, err := r.records.ListEvents(background(t), &consentv1.ListEventsRequest{Subject: anna, PageToken: policyToken(3)})
	wantViolation(t, err, "page_token")
}
