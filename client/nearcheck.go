package client

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/consentd/consentd/consent"
)

// nearDoor answers a Client's questions from its near cache. A nil one holds nothing.
type nearDoor struct {
	*NearCache
	tenants []string
	now     func() time.Time
}

// openNear starts the near cache, if one is wanted.
func (c *Client) openNear() error {
	if c.o.nearBytes == 0 {
		return nil
	}
	tenants := c.o.nearTenants
	if len(tenants) == 0 {
		tenants = []string{c.tenant}
	}
	near, err := NewNearCache(NearOptions{
		Conn: c.conn, MaxBytes: c.o.nearBytes, MaxStaleness: c.o.maxStaleness, Tenants: tenants, Logger: c.o.logger, Now: c.o.now,
	})
	if err == nil {
		c.near = &nearDoor{near, tenants, c.o.now}
	}
	return err
}

// ready returns nil once the near cache can answer, and if there is none.
func (n *nearDoor) ready() error {
	if n == nil {
		return nil
	}
	return n.Ready()
}

func (n *nearDoor) close() {
	if n != nil {
		n.Close()
	}
}

// holds reports whether subjects of a tenant may be here.
func (n *nearDoor) holds(tenant string) bool { return n != nil && slices.Contains(n.tenants, tenant) }

// sight is all that an answer is made from. The view is loaded first and the clock is read last, against that view, so that a goroutine or a
// machine that slept in between finds its view too old.
type sight struct {
	view   consent.View
	tenant *consent.Tenant
	record consent.Record
	now    time.Time
	age    time.Duration
}

// check answers as a replica would, from here. What isn't here is fetched.
func (n *nearDoor) check(ctx context.Context, c *Client, q *Question) (Answer, error) {
	s, err := n.look(ctx, c, q)
	if err != nil {
		return Answer{}, err
	}
	return s.answer(q, q.Permission)
}

// checkAll is the same for several permissions.
func (n *nearDoor) checkAll(ctx context.Context, c *Client, q *Question, permissions []string) ([]Result, error) {
	s, err := n.look(ctx, c, q)
	if err != nil {
		return nil, err
	}
	results := make([]Result, len(permissions))
	for i, name := range permissions {
		results[i].Answer, results[i].Err = s.answer(q, name)
	}
	return results, nil
}

// batch answers a batch whose records are all here, from one view that meets the consistency. Records may be newer than that, but not than the
// tenant's policy in it: policy and record together would be a state that there never was.
func (n *nearDoor) batch(c *Client, questions []Question, strictest consent.Consistency) (results []Result, here bool) {
	demand, _ := c.written.demand(strictest)
	s := sight{view: n.cache.View()}
	if s.view.Head == nil || demand.Full || !includes(s.view.Revision, demand.AtLeast) {
		return nil, false
	}
	if s.tenant = s.view.Tenants[c.tenant]; s.tenant == nil {
		return nil, false
	}
	results = make([]Result, len(questions))
	began := n.now()
	for i := range questions {
		q := &questions[i]
		subject, usable := consent.Door(q.Subject, s.tenant.KeepsCase())
		if !usable {
			results[i].Err = errSubject
			continue
		}
		var exact consent.View
		if exact, s.record, here = n.Held(s.tenant, subject); !here || exact.Tenants[c.tenant] != s.tenant {
			return nil, false
		}
		s.now = n.now()
		s.age, _ = s.view.Age(s.now)
		results[i].Answer, results[i].Err = s.answer(q, q.Permission)
	}
	ended := n.now()
	age, fresh := s.view.Age(ended)
	for i := range results { // what took time has aged
		results[i].CacheFor = max(min(results[i].CacheFor-ended.Sub(began), s.view.Bound-age), 0)
	}
	return results, fresh
}

// look returns what is known of a question's subject, exactly at one revision.
func (n *nearDoor) look(ctx context.Context, c *Client, q *Question) (s sight, err error) {
	demand, _ := c.written.demand(q.Consistency)
	if s.view, err = n.viewAt(ctx, demand); err != nil {
		return s, err
	}
	for s.tenant != s.view.Tenants[c.tenant] { // another policy took effect meanwhile: it may say another form of ids
		s.tenant = s.view.Tenants[c.tenant]
		if s.tenant == nil {
			break
		}
		subject, usable := consent.Door(q.Subject, s.tenant.KeepsCase())
		if !usable {
			return s, errSubject
		}
		if s.view, s.record, err = n.cache.Look(ctx, s.tenant, subject); err != nil {
			return s, err
		}
	}
	s.now = n.now()
	age, fresh := s.view.Age(s.now)
	switch s.age = age; {
	case !fresh:
		return s, consent.ErrStale
	case s.tenant == nil:
		return s, consent.ErrUnknownTenant
	}
	return s, nil
}

// viewAt waits only for what isn't here yet.
func (n *nearDoor) viewAt(ctx context.Context, demand consent.Consistency) (consent.View, error) {
	view, err := n.View(ctx, consent.Consistency{})
	if err == nil && !demand.Full && includes(view.Revision, demand.AtLeast) {
		return view, nil
	}
	return n.View(ctx, demand)
}

func (s *sight) answer(q *Question, name string) (Answer, error) {
	policy := s.tenant.Policy
	if policy == nil {
		return Answer{}, unknownPermission(name)
	}
	permission := policy.Permission(name)
	if permission == nil {
		return Answer{}, unknownPermission(name)
	}
	d := consent.Decide(permission, s.record, q.law(), consent.TimeOf(s.now))
	keep := s.view.Bound - s.age
	if d.NextChange != 0 {
		keep = min(keep, d.NextChange.Std().Sub(s.now))
	}
	return Answer{Decision: d, Revision: s.view.Revision, PolicyVersion: policy.Version, Age: s.age, CacheFor: max(keep, 0)}, nil
}

// unknownPermission names the permission, unless it is nothing that a policy could declare: then it may be anything, even a subject's id.
func unknownPermission(name string) error {
	if consent.ValidPermission(name) != nil {
		return ErrUnknownPermission
	}
	return fmt.Errorf("%q: %w", name, ErrUnknownPermission)
}
