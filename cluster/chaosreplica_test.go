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
	result, err := n.Write(ctx, chaosWrite(w))
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
	return chaos.Reply{Revision: result.Revision, Stamp: result.Stamp}, nil
}

func chaosWrite(w chaos.Write) consent.Write {
	event := consent.Event{
		Kind: consent.Granted, Scope: consent.Scope{Permissions: []string{"newsletter/email"}},
		Evidence: consent.Evidence{NoticeVersion: 1, Method: consent.MethodWebForm, Source: "chaos", Reference: w.Reference},
	}
	if w.Kind == chaos.Withdraw {
		event.Kind = consent.Withdrawn
	}
	return consent.Write{Tenant: "shop", RequestID: w.RequestID, Events: []consent.SubjectEvent{{Subject: w.Subject, Event: event}}}
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
	tenant := view.Tenants["shop"]
	if tenant == nil || tenant.Policy == nil {
		return chaos.Reply{}, errors.New("the policy isn't here yet")
	}
	var buf consent.Buffer
	record, err := n.Record(ctx, tenant, q.Subject, &buf)
	if err != nil {
		return chaos.Reply{}, err
	}
	now := n.options.Now()
	decision := consent.Decide(tenant.Policy.Permission("newsletter/email"), record, consent.Question{}, consent.TimeOf(now))
	age, fresh := view.Age(now)
	if !fresh {
		return chaos.Reply{}, consent.ErrStale
	}
	if r.node() != n {
		return chaos.Reply{}, errCrashed
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

// skewed returns a clock that is wrong.
func skewed(ahead *atomic.Int64) func() time.Time {
	return func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
}
