package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/consentd/consentd/proto/wire"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestCheck(t *testing.T) {
	r := newRig(t)
	if got := reasonOf(t, r.check(t, anna, "recommendations/web")); got != consentv1.Reason_REASON_NO_CONSENT {
		t.Errorf("reason %v before any event", got)
	}
	written := r.write(t, grant("  Anna@Example.ORG ", "recommendations/web"))
	reply := r.check(t, "ANNA@example.org", "recommendations/web", "no/such", "newsletter/email", "crm_storage")
	if reply.GetPolicyVersion() != 1 || reply.GetRevision() != written.GetRevision() || reply.GetAge() == nil || len(reply.GetResults()) != 4 {
		t.Fatalf("reply %v", reply)
	}
	first := reply.GetResults()[0]
	if a := first.GetAnswer(); a.GetDecision() != consentv1.Decision_DECISION_ALLOW || a.GetReason() != consentv1.Reason_REASON_CONSENT ||
		a.GetBasis() != consentv1.Basis_BASIS_CONSENT || first.GetPermission() != "recommendations/web" {
		t.Errorf("answer %v", a)
	}
	if days := time.Until(first.GetAnswer().GetNextChange().AsTime()).Hours() / 24; days < 29 || days > 30 {
		t.Errorf("next change in %.1f days, want just under 30", days)
	}
	if keep := first.GetAnswer().GetCacheFor().AsDuration(); keep <= 0 || keep > time.Hour {
		t.Errorf("cache_for %v, want what is left of the bound", keep)
	}
	wantStatus(t, status.FromProto(reply.GetResults()[1].GetStatus()), codes.NotFound, "UNKNOWN_PERMISSION")
	for i, want := range []consentv1.Reason{consentv1.Reason_REASON_NO_CONSENT, consentv1.Reason_REASON_NO_CONTRACT} {
		if got := reply.GetResults()[i+2].GetAnswer().GetReason(); got != want {
			t.Errorf("result %d: %v, want %v", i+2, got, want)
		}
	}
	r.write(t, event(anna, consentv1.EventKind_EVENT_KIND_WITHDRAWN))
	if got := reasonOf(t, r.check(t, anna, "recommendations/web")); got != consentv1.Reason_REASON_WITHDRAWN {
		t.Errorf("reason %v after withdrawing everything", got)
	}
}

// TestCacheForEndsWithTheAnswer has a consent that expires sooner than the bound.
func TestCacheForEndsWithTheAnswer(t *testing.T) {
	r := newRig(t)
	r.write(t, grant(anna, "recommendations/web", func(e *consentv1.Event) {
		e.Terms = &consentv1.GrantTerms{ExpiresAt: ago(-time.Minute)}
	}))
	answer := r.check(t, anna, "recommendations/web").GetResults()[0].GetAnswer()
	if keep := answer.GetCacheFor().AsDuration(); keep <= 0 || keep > time.Minute {
		t.Errorf("cache_for %v of an answer that changes within a minute", keep)
	}
}

func TestCacheFor(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	tests := []struct {
		name     string
		changeAt consent.Time
		left     time.Duration
		want     time.Duration
	}{
		{"the bound", 0, time.Second, time.Second},
		{"the change", 1_000_400, time.Second, 400 * time.Millisecond},
		{"the bound before the change", 1_002_000, time.Second, time.Second},
		{"the change has come", 999_999, time.Second, 0},
		{"nothing left", 0, -1, 0},
	}
	for _, tt := range tests {
		if got := cacheFor(tt.changeAt.Std(), now, tt.left); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestNotKnowingIsAnError asks while the backend can't tell.
func TestNotKnowingIsAnError(t *testing.T) {
	tests := []struct {
		name, call string
		err        error
		code       codes.Code
		reason     string
	}{
		{"stale view", "View", consent.ErrStale, codes.Unavailable, "STALE"},
		{"not ready", "View", consent.ErrNotReady, codes.Unavailable, "NOT_READY"},
		{"another epoch", "View", consent.ErrEpoch, codes.FailedPrecondition, "EPOCH_CHANGED"},
		{"unreadable record", "Record", errors.New("bits of anna@example.org have rotted"), codes.Internal, "INTERNAL"},
		{"slow", "View", context.DeadlineExceeded, codes.DeadlineExceeded, "DEADLINE_EXCEEDED"},
	}
	r := newRig(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r.memory.failWith(func(call string) error {
				if call == tt.call {
					return tt.err
				}
				return nil
			})
			_, err := r.permissions.Check(background(t), &consentv1.CheckRequest{Subject: anna, Permissions: []string{"crm_storage"}})
			wantError(t, err, tt.code, tt.reason)
		})
	}
}

// TestStaleAtTheEnd has a view that was fresh when it was loaded, and isn't when the record is read.
func TestStaleAtTheEnd(t *testing.T) {
	r := newRig(t)
	r.memory.mu.Lock()
	r.memory.freshAsOf = func() time.Time { return time.Now().Add(-2 * time.Hour) }
	r.memory.mu.Unlock()
	ctx := background(t)
	_, err := r.permissions.Check(ctx, &consentv1.CheckRequest{Subject: anna, Permissions: []string{"crm_storage"}})
	wantError(t, err, codes.Unavailable, "STALE")
	_, err = r.permissions.Check(ctx, &consentv1.CheckRequest{Tenant: "new", Subject: anna, Permissions: []string{"crm_storage"}})
	wantError(t, err, codes.Unavailable, "STALE") // for all that is known here, the tenant may be there
	_, err = r.permissions.BatchCheck(ctx, &consentv1.BatchCheckRequest{
		Questions: []*consentv1.CheckQuestion{{Subject: anna, Permissions: []string{"crm_storage"}}},
	})
	wantError(t, err, codes.Unavailable, "STALE")
	_, err = r.permissions.Explain(ctx, &consentv1.ExplainRequest{Subject: anna})
	wantError(t, err, codes.Unavailable, "STALE")
	_, err = r.records.GetRecord(ctx, &consentv1.GetRecordRequest{Subject: anna})
	wantError(t, err, codes.Unavailable, "STALE")
	_, err = r.records.ListEvents(ctx, &consentv1.ListEventsRequest{Subject: anna})
	wantError(t, err, codes.Unavailable, "STALE")
	_, err = segmentOnce(t, r, &consentv1.Segment{Permission: "crm_storage"}, &consentv1.SubjectList{Ids: []string{anna}})
	wantError(t, err, codes.Unavailable, "STALE")
}

// TestTheClockIsReadLast lets the bound pass while the record is read: the view was fresh before, and the answer must not be given.
func TestTheClockIsReadLast(t *testing.T) {
	start := time.Now()
	var passed atomic.Int64
	r := newRig(t, func(o *Options) { o.Now = func() time.Time { return start.Add(time.Duration(passed.Load())) } })
	r.memory.mu.Lock()
	r.memory.freshAsOf = func() time.Time { return start }
	r.memory.mu.Unlock()
	r.memory.failWith(func(call string) error {
		if call == "Record" {
			passed.Store(int64(r.memory.bound))
		}
		return nil
	})
	for name, call := range everyCall(r, "", anna, "recommendations/web", nil) {
		switch name {
		case "Check", "BatchCheck", "CheckSegment", "Explain", "GetRecord":
			passed.Store(0)
			wantError(t, call(background(t)), codes.Unavailable, "STALE")
		}
	}
}

func TestConsistencyReachesTheBackend(t *testing.T) {
	r := newRig(t)
	revision := r.write(t, grant(anna, "recommendations/web")).GetRevision()
	ask := func(c *consentv1.Consistency) error {
		_, err := r.permissions.Check(background(t), &consentv1.CheckRequest{Subject: anna, Permissions: []string{"crm_storage"}, Consistency: c})
		return err
	}
	if err := ask(&consentv1.Consistency{Requirement: &consentv1.Consistency_AtLeast{AtLeast: revision}}); err != nil {
		t.Error(err)
	}
	if err := ask(&consentv1.Consistency{Requirement: &consentv1.Consistency_FullyConsistent{FullyConsistent: true}}); err != nil {
		t.Error(err)
	}
	r.memory.mu.Lock()
	last := r.memory.viewed[len(r.memory.viewed)-2:]
	r.memory.mu.Unlock()
	if last[0].AtLeast.String() != revision || !last[1].Full {
		t.Errorf("the backend was asked for %v", last)
	}
	other := consent.Revision{Epoch: 8, Index: 1}.String()
	wantError(t, ask(&consentv1.Consistency{Requirement: &consentv1.Consistency_AtLeast{AtLeast: other}}), codes.FailedPrecondition, "EPOCH_CHANGED")
	wantViolation(t, ask(&consentv1.Consistency{Requirement: &consentv1.Consistency_AtLeast{AtLeast: "nonsense"}}), "consistency.at_least")
}

func TestBatchCheck(t *testing.T) {
	r := newRig(t)
	r.write(t, grant(anna, "recommendations/web"))
	reply := must[*consentv1.BatchCheckResponse](t)(r.permissions.BatchCheck(background(t), &consentv1.BatchCheckRequest{
		Permissions: []string{"recommendations/web", "crm_storage"},
		Questions: []*consentv1.CheckQuestion{
			{Subject: anna}, {Subject: ""}, {Subject: "b"}, {Subject: anna, Permissions: []string{"no/such"}},
			{Subject: anna, SubjectType: 99}, {Subject: anna, Permissions: make([]string, 65)}, {Subject: " ANNA@example.org"},
		},
	}))
	if len(reply.GetItems()) != 7 || reply.GetRevision() == "" || reply.GetPolicyVersion() != 1 {
		t.Fatalf("reply %v", reply)
	}
	reason := func(item, result int) consentv1.Reason {
		return reply.GetItems()[item].GetResults()[result].GetAnswer().GetReason()
	}
	if reason(0, 0) != consentv1.Reason_REASON_CONSENT || reason(0, 1) != consentv1.Reason_REASON_NO_CONTRACT ||
		reason(2, 0) != consentv1.Reason_REASON_NO_CONSENT || reason(6, 0) != consentv1.Reason_REASON_CONSENT {
		t.Errorf("items %v", reply.GetItems())
	}
	if reply.GetItems()[6].GetResults()[0].GetAnswer().GetCacheFor() == nil {
		t.Error("an answer of a batch without cache_for")
	}
	for _, i := range []int{1, 4, 5} {
		wantStatus(t, status.FromProto(reply.GetItems()[i].GetStatus()), codes.InvalidArgument, "INVALID_ARGUMENT")
	}
	wantStatus(t, status.FromProto(reply.GetItems()[3].GetResults()[0].GetStatus()), codes.NotFound, "UNKNOWN_PERMISSION")
}

// TestBatchSimilarGoods asserts it for one question, for all, and for none.
func TestBatchSimilarGoods(t *testing.T) {
	r := newRig(t)
	yes := true
	customer := event("c", consentv1.EventKind_EVENT_KIND_ATTRIBUTES_SET)
	customer.Attributes = &consentv1.Attributes{
		Relationship: consentv1.Relationship_RELATIONSHIP_CUSTOMER, AddressFromSale: &yes, OptOutNoticeGiven: &yes,
	}
	r.write(t, customer)
	for _, asserted := range []struct{ one, all bool }{{}, {one: true}, {all: true}} {
		reply := must[*consentv1.BatchCheckResponse](t)(r.permissions.BatchCheck(background(t), &consentv1.BatchCheckRequest{
			Permissions: []string{"newsletter/email"}, SimilarGoods: asserted.all,
			Questions: []*consentv1.CheckQuestion{{Subject: "c", SimilarGoods: asserted.one}},
		}))
		got := reply.GetItems()[0].GetResults()[0].GetAnswer().GetDecision() == consentv1.Decision_DECISION_ALLOW
		if got != (asserted.one || asserted.all) {
			t.Errorf("%+v: %v", asserted, reply.GetItems())
		}
	}
}

func TestBatchLimits(t *testing.T) {
	r := newRig(t)
	questions := func(n int) []*consentv1.CheckQuestion {
		list := make([]*consentv1.CheckQuestion, n)
		for i := range list {
			list[i] = &consentv1.CheckQuestion{Subject: "s"}
		}
		return list
	}
	ask := func(q *consentv1.BatchCheckRequest) error {
		_, err := r.permissions.BatchCheck(background(t), q)
		return err
	}
	if err := ask(&consentv1.BatchCheckRequest{Questions: questions(10_000), Permissions: []string{"crm_storage"}}); err != nil {
		t.Error(err)
	}
	wantViolation(t, ask(&consentv1.BatchCheckRequest{Questions: questions(10_001), Permissions: []string{"crm_storage"}}), "questions")
	wantViolation(t, ask(&consentv1.BatchCheckRequest{}), "questions")
	wantViolation(t, ask(&consentv1.BatchCheckRequest{Questions: questions(10_000), Permissions: make([]string, 11)}), "questions")
	wantViolation(t, ask(&consentv1.BatchCheckRequest{Questions: questions(1), Permissions: make([]string, 65)}), "permissions")
}

func TestExplain(t *testing.T) {
	r := newRig(t)
	r.write(t, grant(anna, "newsletter/email"))
	ask := func(q *consentv1.ExplainRequest) (*consentv1.ExplainResponse, error) {
		q.Subject = anna
		return r.permissions.Explain(background(t), q)
	}
	all := must[*consentv1.ExplainResponse](t)(ask(&consentv1.ExplainRequest{}))
	if len(all.GetExplanations()) != 4 {
		t.Fatalf("%d explanations, want one for each permission of the policy", len(all.GetExplanations()))
	}
	one := must[*consentv1.ExplainResponse](t)(ask(&consentv1.ExplainRequest{Permissions: []string{"newsletter/email", "no/such"}}))
	email := one.GetExplanations()[0]
	if email.GetAnswer().GetReason() != consentv1.Reason_REASON_UNCONFIRMED || len(email.GetSteps()) == 0 || len(email.GetFailed()) == 0 {
		t.Errorf("explanation %v", email)
	}
	wantStatus(t, status.FromProto(one.GetExplanations()[1].GetStatus()), codes.NotFound, "UNKNOWN_PERMISSION")

	confirmed := event(" Anna@example.org", consentv1.EventKind_EVENT_KIND_CONFIRMED, "newsletter/email")
	confirmed.OccurredAt = ago(30 * time.Minute)
	supposed := must[*consentv1.ExplainResponse](t)(ask(&consentv1.ExplainRequest{
		Permissions: []string{"newsletter/email"}, Suppose: []*consentv1.Event{confirmed},
	}))
	answer := supposed.GetExplanations()[0].GetAnswer()
	if answer.GetReason() != consentv1.Reason_REASON_CONSENT || answer.GetCacheFor() != nil {
		t.Errorf("supposed answer %v, want ALLOW that mustn't be kept", answer)
	}
	if got := reasonOf(t, r.check(t, anna, "newsletter/email")); got != consentv1.Reason_REASON_UNCONFIRMED {
		t.Errorf("what was supposed was written: %v", got)
	}

	_, err := ask(&consentv1.ExplainRequest{Suppose: []*consentv1.Event{event(anna, consentv1.EventKind_EVENT_KIND_ERASED)}})
	wantViolation(t, err, "suppose[0].occurred_at")
	for kind, refused := range map[consentv1.EventKind]bool{
		consentv1.EventKind_EVENT_KIND_CONFIRMED: true, consentv1.EventKind_EVENT_KIND_WITHDRAWN: false,
	} {
		soon := event(anna, kind, "newsletter/email")
		soon.OccurredAt = ago(-time.Hour)
		reply, err := ask(&consentv1.ExplainRequest{Permissions: []string{"newsletter/email"}, Suppose: []*consentv1.Event{soon}})
		switch {
		case refused:
			wantViolation(t, err, "suppose[0].occurred_at")
		case err != nil || reply.GetExplanations()[0].GetAnswer().GetReason() != consentv1.Reason_REASON_WITHDRAWN:
			t.Errorf("%v in the future: %v, error %v", kind, reply, err)
		}
	}
	_, err = ask(&consentv1.ExplainRequest{Suppose: []*consentv1.Event{grant("bob", "crm_storage")}})
	wantViolation(t, err, "suppose[0].subject")
	_, err = ask(&consentv1.ExplainRequest{Suppose: []*consentv1.Event{grant(anna, "no/such")}})
	wantError(t, err, codes.NotFound, "UNKNOWN_PERMISSION")
	_, err = ask(&consentv1.ExplainRequest{Suppose: make([]*consentv1.Event, 101)})
	wantViolation(t, err, "suppose")
	_, err = ask(&consentv1.ExplainRequest{Permissions: make([]string, 65)})
	wantViolation(t, err, "permissions")
}

// TestSupposedEventsFoldLikeWrittenOnes supposes out of order, over more history than a page.
func TestSupposedEventsFoldLikeWrittenOnes(t *testing.T) {
	r := newRig(t)
	r.memory.use(t, anna, "recommendations/web", 2*maxPage+1)
	late := grant("", "recommendations/web")
	reply := must[*consentv1.ExplainResponse](t)(r.permissions.Explain(background(t), &consentv1.ExplainRequest{
		Subject: anna, Permissions: []string{"recommendations/web"}, Suppose: []*consentv1.Event{late},
	}))
	if got := reply.GetExplanations()[0].GetAnswer().GetReason(); got != consentv1.Reason_REASON_CONSENT {
		t.Errorf("reason %v", got)
	}
}

func TestUnknownPermissionNamesOnlyNames(t *testing.T) {
	for _, tt := range []struct{ name, want string }{{"no/such", `"no/such"`}, {anna, "no such permission"}, {"", "no such permission"}} {
		text := (&unknownPermissionError{tt.name}).Error()
		if !strings.Contains(text, tt.want) || strings.Contains(text, "anna") {
			t.Errorf("%q: %s", tt.name, text)
		}
	}
}

// checkOnce is a call of the handler without gRPC, as the guard and the benchmark make it.
func checkOnce(tb testing.TB, permissions int) func() {
	tb.Helper()
	memory := newMemory()
	memory.put(tb, defaultTenant, testPolicy)
	view, err := memory.View(context.Background(), consent.Consistency{})
	if err != nil {
		tb.Fatal(err)
	}
	o := Options{State: fixedState{view}}
	o.setDefaults()
	service := &permissionService{core: newCore(o)}
	request := &wire.Question{Subject: anna}
	names := permissionNames(view.Tenants[defaultTenant].Policy)
	for i := range permissions {
		request.Permissions = append(request.Permissions, names[i%len(names)])
	}
	return func() {
		if _, err := service.check(context.Background(), request); err != nil {
			tb.Fatal(err)
		}
	}
}

// fixedState allocates nothing, so that what is counted is the server's.
type fixedState struct{ view consent.View }

func (s fixedState) View(context.Context, consent.Consistency) (consent.View, error) {
	return s.view, nil
}

func (s fixedState) Record(context.Context, *consent.Tenant, string, *consent.Buffer) (consent.Record, error) {
	return nil, nil
}

// TestCheckAllocations guards the hot path: one piece for the reply, and one for the results if there are several.
func TestCheckAllocations(t *testing.T) {
	for _, permissions := range []int{1, 4, 64} {
		if got := testing.AllocsPerRun(1000, checkOnce(t, permissions)); got > 2 {
			t.Errorf("a check of %d permissions allocates %v times, want 2 at most", permissions, got)
		}
	}
}

func BenchmarkCheckHandler(b *testing.B) {
	for _, permissions := range []int{1, 8} {
		b.Run(fmt.Sprint(permissions), func(b *testing.B) {
			f := checkOnce(b, permissions)
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
}
