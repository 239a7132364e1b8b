package server

import (
	"context"
	"maps"
	"testing"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/grpc/codes"
)

// lagging is a state that lacks what was written last: of a tenant its policy, or all of it. Only who asks for the newest gets it.
type lagging struct {
	*memoryBackend
	known map[string]*consent.Tenant
}

func (l lagging) View(ctx context.Context, c consent.Consistency) (consent.View, error) {
	view, err := l.memoryBackend.View(ctx, c)
	if err == nil && !c.Full {
		head := *view.Head
		head.Tenants = maps.Clone(l.known)
		view.Head = &head
	}
	return view, err
}

func newLaggingRig(t *testing.T, known ...*consent.Tenant) *rig {
	t.Helper()
	return newRig(t, func(o *Options) {
		l := lagging{o.Records.(*memoryBackend), map[string]*consent.Tenant{}}
		for _, tenant := range known {
			l.known[tenant.Name] = tenant
		}
		o.State = l
	})
}

// earlier is the default tenant as it was before its policy declared anything of what is written in these tests.
func earlier(t *testing.T) *consent.Tenant {
	t.Helper()
	policy := must[*consent.Policy](t)(consent.ParsePolicy([]byte("purposes: {old: {bases: [consent]}}")))
	bound, names, err := policy.Bind(1, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &consent.Tenant{Name: defaultTenant, Number: 1, Policy: bound, Names: names}
}

// TestWritesLookAgain: what a policy declares that was put elsewhere a moment ago isn't refused.
func TestWritesLookAgain(t *testing.T) {
	for name, r := range map[string]*rig{"an older policy": newLaggingRig(t, earlier(t)), "no tenant": newLaggingRig(t)} {
		t.Run(name, func(t *testing.T) {
			r.write(t, grant(anna, "recommendations/web"))
			uses := must[*consentv1.RecordUsesResponse](t)(r.records.RecordUses(background(t), &consentv1.RecordUsesRequest{
				Permission: "recommendations/web", Subjects: &consentv1.SubjectList{Ids: []string{anna}},
			}))
			if uses.GetApplied() != 1 {
				t.Errorf("uses %v", uses)
			}
			replies, err := importAll(t, r, importStart(&consentv1.Import{}), importRows(1, 3, subjectGrant))
			if err != nil {
				t.Fatal(err)
			}
			for _, result := range replies[0].GetResults() {
				if result.GetStatus() != nil {
					t.Errorf("row %v", result)
				}
			}
			_, err = r.records.WriteEvents(background(t), events(grant(anna, "no/such")))
			wantError(t, err, codes.NotFound, "UNKNOWN_PERMISSION")
		})
	}
}

// TestWritesLookOnce: a message of rows that name what nobody declares costs one look at the newest state.
func TestWritesLookOnce(t *testing.T) {
	r := newLaggingRig(t, earlier(t))
	if _, err := importAll(t, r, importStart(&consentv1.Import{}), importRows(1, 100, func(int) *consentv1.Event {
		return grant(anna, "no/such", func(e *consentv1.Event) { e.OccurredAt = ago(time.Hour) })
	})); err != nil {
		t.Fatal(err)
	}
	r.memory.mu.Lock()
	defer r.memory.mu.Unlock()
	newest := 0
	for _, c := range r.memory.viewed {
		if c.Full {
			newest++
		}
	}
	if newest != 1 {
		t.Errorf("%d looks at the newest state, want 1", newest)
	}
}

// TestTheFormOfIDsIsTheNewestPolicys: a "no" for a tenant whose first policy isn't here yet is recorded under the form that the policy wants.
func TestTheFormOfIDsIsTheNewestPolicys(t *testing.T) {
	r := newLaggingRig(t)
	r.memory.put(t, "shop", "keep_case: true\n"+testPolicy)
	const id = "Anna@Example.org"
	if _, err := r.records.WriteEvents(background(t), &consentv1.WriteEventsRequest{
		Tenant: "shop", Events: []*consentv1.Event{event(id, consentv1.EventKind_EVENT_KIND_WITHDRAWN)},
	}); err != nil {
		t.Fatal(err)
	}
	r.memory.mu.Lock()
	defer r.memory.mu.Unlock()
	if r.memory.subjects[memoryKey{"shop", id}] == nil {
		t.Errorf("recorded under %v", r.memory.subjects)
	}
}
