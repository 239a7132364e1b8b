package client

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"github.com/consentd/consentd/proto/wire"
	"github.com/google/uuid"
)

const nearBytes = 16 << 20

// TestNearAnswersAlike: a client can't tell the near cache from a replica, but for what is fetched once.
func TestNearAnswersAlike(t *testing.T) {
	r := newRig(t, 2)
	far, near := r.dial(t), r.dial(t, WithNearCache(nearBytes))
	for _, q := range []Question{
		{Subject: anna, Permission: newsletter}, {Subject: nobody, Permission: newsletter}, {Subject: strings.ToUpper(anna), Permission: newsletter},
		{Subject: anna, Permission: "newsletter/phone", SubjectType: consent.Business}, {Subject: anna, Permission: "no/such"},
		{Subject: "", Permission: newsletter}, {Subject: strings.Repeat("a", 257), Permission: newsletter}, {Subject: "\xff", Permission: newsletter},
		{Subject: anna, Permission: "crm_storage", SubjectType: 7},
		{Subject: anna, Permission: newsletter, Consistency: consent.Consistency{Full: true}},
	} {
		want, wantErr := far.Check(t.Context(), q)
		for range 2 { // once fetched, and once held
			got, err := near.Check(t.Context(), q)
			if got.Decision != want.Decision || got.PolicyVersion != want.PolicyVersion || (err == nil) != (wantErr == nil) {
				t.Errorf("%+v: %+v, %v; a replica says %+v, %v", q, got, err, want, wantErr)
			}
			for _, kind := range []error{ErrInvalid, ErrUnknownPermission} {
				if errors.Is(err, kind) != errors.Is(wantErr, kind) {
					t.Errorf("%+v: %v; a replica says %v", q, err, wantErr)
				}
			}
			if err == nil && (got.CacheFor <= 0 || got.CacheFor > 2*time.Second || got.Revision.Epoch != want.Revision.Epoch) {
				t.Errorf("%+v: %+v", q, got)
			}
		}
	}
	if s := near.near.Stats(); s.Hits == 0 || s.Fills == 0 {
		t.Errorf("nothing was answered from memory: %+v", s)
	}
	if near.ForTenant("other").Allowed(t.Context(), anna, newsletter) || !near.Allowed(t.Context(), anna, newsletter) {
		t.Error("tenants are mixed up")
	}
	results, err := near.BatchCheck(t.Context(), []Question{{Subject: anna, Permission: newsletter}, {Subject: nobody, Permission: newsletter}})
	if err != nil || len(results) != 2 || !results[0].Allowed || results[1].Allowed || results[1].Err != nil {
		t.Errorf("%+v, %v", results, err)
	}
	results, err = near.CheckAll(t.Context(), Question{Subject: anna}, newsletter, "no/such")
	if err != nil || !results[0].Allowed || !errors.Is(results[1].Err, ErrUnknownPermission) {
		t.Errorf("%+v, %v", results, err)
	}
	if _, err := near.CheckAll(t.Context(), Question{Subject: anna}, make([]string, 65)...); !errors.Is(err, ErrInvalid) {
		t.Errorf("65 permissions: %v", err)
	}
}

// TestNearReadsItsWrites: a withdrawal takes effect in the writer's own memory at once.
func TestNearReadsItsWrites(t *testing.T) {
	r := newRig(t, 2)
	c := r.dial(t, WithNearCache(nearBytes))
	if !c.Allowed(t.Context(), anna, newsletter) {
		t.Fatal("denied")
	}
	written, err := c.Write(t.Context(), withdrawal(anna))
	if err != nil {
		t.Fatal(err)
	}
	at, err := consent.ParseRevision(written.GetRevision())
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.Check(t.Context(), Question{Subject: anna, Permission: newsletter})
	if err != nil || answer.Allowed || answer.Reason != consent.ReasonWithdrawn || !includes(answer.Revision, at) {
		t.Errorf("%+v, %v", answer, err)
	}
	// What only a replica can answer is as new.
	for _, asked := range []consent.Consistency{{}, {AtLeast: consent.Revision{Epoch: at.Epoch, Index: 1}}} {
		if demand, _ := c.demand(asked); !includes(demand.AtLeast, answer.Revision) {
			t.Errorf("a replica is asked for %+v, after an answer from %v", demand, answer.Revision)
		}
	}
}

// TestNearTakesPolicies: a policy takes effect in memory as everywhere.
func TestNearTakesPolicies(t *testing.T) {
	r := newRig(t, 1)
	c := r.dial(t, WithNearCache(nearBytes))
	if !c.Allowed(t.Context(), anna, newsletter) {
		t.Fatal("denied")
	}
	put := consent.PolicyPut{
		Tenant: defaultTenant, RequestID: consent.RequestID(uuid.Must(uuid.NewV7())),
		Document: []byte("purposes:\n  other:\n    bases: [consent]\n"),
	}
	version, _, err := r.node.PutPolicy(t.Context(), put)
	if err != nil {
		t.Fatal(err)
	}
	q := Question{Subject: anna, Permission: newsletter, Consistency: consent.Consistency{AtLeast: version.Revision}}
	if _, err := c.Check(t.Context(), q); !errors.Is(err, ErrUnknownPermission) {
		t.Errorf("error %v", err)
	}
}

// TestNearOutlivesReplicas: while the bound lasts, memory answers though nobody is there; then nothing does.
func TestNearOutlivesReplicas(t *testing.T) {
	r := newRig(t, 1)
	c := r.dial(t, WithNearCache(nearBytes))
	if !c.Allowed(t.Context(), anna, newsletter) {
		t.Fatal("denied")
	}
	r.servers[0].kill()
	killed := time.Now()
	if answer, err := c.Check(t.Context(), Question{Subject: anna, Permission: newsletter}); time.Since(killed) < time.Second && err != nil {
		t.Errorf("within the bound: %+v, %v", answer, err)
	}
	awaitNil(t, func() error {
		if c.Allowed(t.Context(), anna, newsletter) {
			return errors.New("still allowed")
		}
		return nil
	})
	if _, err := c.Check(t.Context(), Question{Subject: anna, Permission: newsletter}); !errors.Is(err, consent.ErrNotReady) {
		t.Errorf("past the bound: %v", err)
	}
	again := r.serve(t, r.servers[0].address)
	defer again.stop(t)
	awaitNil(t, func() error {
		_, err := c.Check(t.Context(), Question{Subject: anna, Permission: newsletter})
		return err
	})
}

// TestMaxStaleness: data older than the caller takes is no data, wherever it comes from.
func TestMaxStaleness(t *testing.T) {
	r := newRig(t, 1)
	for name, opts := range map[string][]Option{"stream": nil, "unary": {WithUnaryCalls()}} {
		c := r.dial(t, append(opts, WithMaxStaleness(time.Nanosecond))...)
		q := Question{Subject: anna, Permission: newsletter}
		if answer, err := c.Check(t.Context(), q); !errors.Is(err, consent.ErrStale) || answer.Allowed {
			t.Errorf("%s: %+v, %v", name, answer, err)
		}
		if _, err := c.BatchCheck(t.Context(), []Question{q}); !errors.Is(err, consent.ErrStale) {
			t.Errorf("%s, a batch: %v", name, err)
		}
	}
	c := r.dial(t, WithNearCache(nearBytes), WithMaxStaleness(time.Minute))
	answer, err := c.Check(t.Context(), Question{Subject: anna, Permission: newsletter})
	if err != nil || answer.CacheFor > 2*time.Second {
		t.Errorf("the cluster's bound was raised: %+v, %v", answer, err)
	}
}

// A policy takes effect while a record is on its way: the answer is made from the two as they were together.
func TestNearLooksAgainAfterAPolicy(t *testing.T) {
	inBubble(t, nil, func(r *nearRig) {
		t := r.t
		r.begin(10)
		r.replica.fill = func(context.Context, *consentv1.FillRequest) (*consentv1.FillResponse, error) {
			r.stream.send(changeMessage(11, nil, watchedTenant("shop", 1, 2)))
			return &consentv1.FillResponse{Epoch: 7, Position: 11, Bucket: 3, Format: consent.RecordFormat}, nil
		}
		door, c := r.door(time.Now)
		answer, err := door.check(t.Context(), c, &Question{Subject: "anna", Permission: "newsletter"})
		if want := (consent.Revision{Epoch: 7, Index: 11}); err != nil || answer.Revision != want || answer.PolicyVersion != 2 {
			t.Errorf("%+v, %v; want version 2 at %+v", answer, err, want)
		}
	})
}

// Such a policy may say another form of ids. Then the record at hand is another subject's, and that of the new form is looked up.
func TestNearLooksAgainInTheNewForm(t *testing.T) {
	inBubble(t, nil, func(r *nearRig) {
		t := r.t
		r.begin(10)
		keeps := watchedTenant("shop", 1, 2)
		keeps.PolicyDocument = append([]byte("keep_case: true\n"), keeps.GetPolicyDocument()...)
		var asked []string
		r.replica.fill = func(_ context.Context, q *consentv1.FillRequest) (*consentv1.FillResponse, error) {
			if asked = append(asked, q.GetSubject()); len(asked) == 1 {
				r.stream.send(changeMessage(11, nil, keeps))
			}
			return &consentv1.FillResponse{Epoch: 7, Position: 11, Bucket: 3, Format: consent.RecordFormat}, nil
		}
		door, c := r.door(time.Now)
		answer, err := door.check(t.Context(), c, &Question{Subject: "Anna@Example.org", Permission: "newsletter"})
		if err != nil || answer.PolicyVersion != 2 {
			t.Errorf("%+v, %v; want version 2", answer, err)
		}
		if want := []string{"anna@example.org", "Anna@Example.org"}; !slices.Equal(asked, want) {
			t.Errorf("asked for the records of %q, want %q", asked, want)
		}
	})
}

// The same in a batch, whose answers are of one policy: it is a replica's to answer then.
func TestNearBatchesAreOfOnePolicy(t *testing.T) {
	inBubble(t, nil, func(r *nearRig) {
		t := r.t
		r.begin(10)
		r.replica.fill = func(context.Context, *consentv1.FillRequest) (*consentv1.FillResponse, error) {
			return &consentv1.FillResponse{Epoch: 7, Position: 10, Bucket: 3, Format: consent.RecordFormat}, nil
		}
		changes := false
		door, c := r.door(func() time.Time { // it is read behind the view, and before the records
			if changes {
				changes = false
				r.stream.send(changeMessage(11, nil, watchedTenant("shop", 1, 2)))
				synctest.Wait()
			}
			return time.Now()
		})
		questions := []Question{{Subject: "anna", Permission: "newsletter"}}
		if _, err := door.check(t.Context(), c, &questions[0]); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if results, here := door.batch(c, questions, consent.Consistency{}); !here || results[0].PolicyVersion != 1 {
			t.Fatalf("%+v, here %t", results, here)
		}
		changes = true
		if results, here := door.batch(c, questions, consent.Consistency{}); here {
			t.Errorf("%+v, while another policy took effect", results)
		}
		if results, here := door.batch(c, questions, consent.Consistency{}); !here || results[0].PolicyVersion != 2 {
			t.Errorf("%+v, here %t", results, here)
		}
	})
}

// door returns what a client for the tenant shop has before its near cache.
func (r *nearRig) door(now func() time.Time) (*nearDoor, *Client) {
	return &nearDoor{NearCache: r.NearCache, tenants: []string{"shop"}, now: now}, &Client{shared: new(shared), tenant: "shop"}
}

// An ALLOW under an obligation of a later version permits nothing to who can't know it.
func TestUnknownObligationsPermitNothing(t *testing.T) {
	allow := &wire.Result{
		Answered: true, Decision: consentv1.Decision_DECISION_ALLOW, Reason: consentv1.Reason_REASON_CONSENT, Obligations: 1<<1 | 1<<3,
	}
	g := ground{most: time.Hour}
	got := g.result(allow)
	if got.Allowed || !errors.Is(got.Err, ErrInternal) {
		t.Errorf("%+v", got)
	}
	allow.Obligations = 1 << 1
	got = g.result(allow)
	if !got.Allowed || got.Err != nil || got.Obligations != consent.LogUse {
		t.Errorf("%+v", got)
	}
}
