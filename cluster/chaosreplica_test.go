package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/consentd/consentd/cluster/chaos"
	"github.com/consentd/consentd/consent"
)

// chaosPolicy allows a newsletter to whom it was granted.
const chaosPolicy = "purposes: {newsletter: {channels: {email: {bases: [consent]}}}}\n"

// chaosReplica is how the load of a chaos run calls a replica, running or not. A replica that crashes takes its answers with it.
type chaosReplica struct {
	net *testNet
	id  string
	odd *oddErrors
}

// oddErrors are errors that no fault explains.
type oddErrors struct {
	mu  sync.Mutex
	all []error
}

func (o *oddErrors) add(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, err)
}

func (r *chaosReplica) node() *Node {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	return r.net.nodes[r.id]
}

var errCrashed = errors.New("it crashed meanwhile")

// Write implements chaos.Replica.
func (r *chaosReplica) Write(ctx context.Context, w chaos.Write) (chaos.Reply, error) {
	n := r.node()
	if n == nil {
		return chaos.Reply{}, chaos.ErrNotDone
	}
	reply, err := chaosWrite(ctx, n, w)
	switch {
	case r.node() != n:
		return chaos.Reply{}, errCrashed
	case errors.Is(err, consent.ErrOutcomeUnknown):
		return chaos.Reply{}, err
	case errors.Is(err, consent.ErrNotWritten), errors.Is(err, consent.ErrOverloaded), errors.Is(err, consent.ErrStorageFull):
		return chaos.Reply{}, fmt.Errorf("%w: %w", chaos.ErrNotDone, err)
	case err != nil:
		r.odd.add(fmt.Errorf("%s answered a write with: %w", r.id, err))
		return chaos.Reply{}, err
	}
	return reply, nil
}

// chaosWrite writes an event, or puts a policy.
func chaosWrite(ctx context.Context, n *Node, w chaos.Write) (chaos.Reply, error) {
	if w.Subject == chaos.PolicySubject {
		v, _, err := n.PutPolicy(ctx, consent.PolicyPut{Tenant: chaos.PolicyTenant, RequestID: w.RequestID, Document: chaos.PolicyOf(w)})
		return chaos.Reply{Revision: v.Revision, Stamp: v.PutAt}, err
	}
	result, err := n.Write(ctx, chaosEvent("shop", w))
	return chaos.Reply{Revision: result.Revision, Stamp: result.Stamp}, err
}

func chaosEvent(tenant string, w chaos.Write) consent.Write {
	event := consent.Event{
		Kind: consent.Granted, Scope: consent.Scope{Permissions: []string{"newsletter/email"}},
		Evidence: consent.Evidence{NoticeVersion: 1, Method: consent.MethodWebForm, Source: "chaos", Reference: w.Reference},
	}
	if w.Kind == chaos.Withdraw {
		event.Kind = consent.Withdrawn
	}
	return consent.Write{Tenant: tenant, RequestID: w.RequestID, Events: []consent.SubjectEvent{{Subject: w.Subject, Event: event}}}
}

// Check implements chaos.Replica. It decides as the server does: the clock is read last.
func (r *chaosReplica) Check(ctx context.Context, q chaos.Question) (chaos.Reply, error) {
	n := r.node()
	if n == nil {
		return chaos.Reply{}, errCrashed
	}
	view, err := n.View(ctx, consent.Consistency{AtLeast: q.Asked, Full: q.Level == chaos.Full})
	if err != nil {
		return chaos.Reply{}, err
	}
	name, subject := chaosPlace(q)
	tenant := view.Tenants[name]
	if tenant == nil || tenant.Policy == nil {
		return chaos.Reply{}, errors.New("the policy isn't here yet")
	}
	var buf consent.Buffer
	record, err := n.Record(ctx, tenant, subject, &buf)
	if err != nil {
		return chaos.Reply{}, err
	}
	reply, err := chaosDecide(view, tenant, record, n.options.Now())
	if r.node() != n {
		return chaos.Reply{}, errCrashed
	}
	return reply, err
}

// chaosPlace returns the tenant and the subject that a question is about.
func chaosPlace(q chaos.Question) (tenant, subject string) {
	if q.Subject == chaos.PolicySubject {
		return chaos.PolicyTenant, chaos.PolicyHolder
	}
	return "shop", q.Subject
}

func chaosDecide(view consent.View, t *consent.Tenant, record consent.Record, now time.Time) (chaos.Reply, error) {
	decision := consent.Decide(t.Policy.Permission("newsletter/email"), record, consent.Question{}, consent.TimeOf(now))
	age, fresh := view.Age(now)
	if !fresh {
		return chaos.Reply{}, consent.ErrStale
	}
	return chaos.Reply{Revision: view.Revision, Allowed: decision.Allowed, Age: age}, nil
}

// recorded returns the events of subjects, as a replica has them.
func recorded(n *Node, subjects []string) (map[string][]chaos.Event, error) {
	head := n.store.Head()
	tenant := head.Tenants["shop"]
	if tenant == nil {
		return nil, nil
	}
	all := map[string][]chaos.Event{}
	for _, subject := range subjects {
		if subject == chaos.PolicySubject {
			var err error
			if all[subject], err = recordedPolicies(n, head.Revision.Epoch); err != nil {
				return nil, err
			}
			continue
		}
		events, more, err := n.History(context.Background(), tenant, subject, consent.HistoryPage{Limit: 1000})
		if err != nil || more {
			return nil, errors.Join(err, fmt.Errorf("more than 1000 events of a subject: %t", more))
		}
		for _, e := range events {
			all[subject] = append(all[subject], chaos.Event{
				Reference: e.Event.Evidence.Reference, Stamp: e.Stamp, Revision: consent.Revision{Epoch: head.Revision.Epoch, Index: e.Index},
			})
		}
	}
	return all, nil
}

// recordedPolicies returns the versions of the policy that changes.
func recordedPolicies(n *Node, epoch uint64) (all []chaos.Event, err error) {
	for version := int64(chaos.PolicyVersions + 1); ; version++ {
		v, err := n.Policy(context.Background(), chaos.PolicyTenant, version)
		if errors.Is(err, consent.ErrUnknownVersion) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, chaos.PolicyEvent(string(v.Document), consent.Revision{Epoch: epoch, Index: v.Revision.Index}, v.PutAt))
	}
}

// skewed returns a clock that is wrong.
func skewed(ahead *atomic.Int64) func() time.Time {
	return func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
}
