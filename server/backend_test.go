package server

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/consentd/consentd/consent"
)

// memoryBackend fulfils State, Records and Policies in memory, with the law's own folding. It has one mutex and no mercy.
type memoryBackend struct {
	mu       sync.Mutex
	epoch    uint64
	index    uint64
	stamp    consent.Time
	tenants  map[string]*consent.Tenant
	subjects map[memoryKey]*memorySubject
	policies map[string][]consent.PolicyVersion
	results  map[consent.RequestID]consent.WriteResult

	touched []memoryTouched // in the order of the changes
	named   []memoryNamed
	gone    uint64          // up to here the changes are forgotten
	behind  uint64          // up to here a reader who follows has fallen behind
	moved   []chan struct{} // closed at the next change

	bound     time.Duration
	freshAsOf func() time.Time
	viewed    []consent.Consistency
	writes    []int // events of each
	fail      func(call string) error
}

type memoryKey struct{ tenant, subject string }

type memorySubject struct {
	record  consent.Record
	history []consent.RecordedEvent
}

const memoryEpoch = 7

func newMemory() *memoryBackend {
	return &memoryBackend{
		tenants: map[string]*consent.Tenant{}, subjects: map[memoryKey]*memorySubject{},
		policies: map[string][]consent.PolicyVersion{}, results: map[consent.RequestID]consent.WriteResult{},
		epoch: memoryEpoch, bound: time.Hour, freshAsOf: time.Now, fail: func(string) error { return nil },
	}
}

func (m *memoryBackend) failing(call string) error {
	m.mu.Lock()
	fail := m.fail
	m.mu.Unlock()
	return fail(call)
}

func (m *memoryBackend) failWith(f func(call string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = f
}

func (m *memoryBackend) View(ctx context.Context, c consent.Consistency) (consent.View, error) {
	if err := m.failing("View"); err != nil {
		return consent.View{}, err
	}
	if err := ctx.Err(); err != nil {
		return consent.View{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.viewed = append(m.viewed, c)
	if c.AtLeast.Epoch != 0 && c.AtLeast.Epoch != m.epoch {
		return consent.View{}, consent.ErrEpoch
	}
	if c.AtLeast.Index > m.index {
		return consent.View{}, consent.ErrStale
	}
	tenants := make(map[string]*consent.Tenant, len(m.tenants))
	for name, t := range m.tenants {
		tenants[name] = t
	}
	head := &consent.Head{Revision: consent.Revision{Epoch: m.epoch, Index: m.index}, Stamp: m.stamp, Tenants: tenants}
	return consent.View{Head: head, FreshAsOf: m.freshAsOf(), Bound: m.bound}, nil
}

func (m *memoryBackend) Record(_ context.Context, t *consent.Tenant, subject string, _ *consent.Buffer) (consent.Record, error) {
	if err := m.failing("Record"); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.subjects[memoryKey{t.Name, subject}]; s != nil {
		return s.record, nil
	}
	return nil, nil
}

func (m *memoryBackend) tenant(name string) *consent.Tenant {
	if t := m.tenants[name]; t != nil {
		return t
	}
	return &consent.Tenant{Name: name, Number: uint32(len(m.tenants) + 1)}
}

func (m *memoryBackend) next() {
	m.index++
	for _, moved := range m.moved {
		close(moved)
	}
	m.moved = nil
	m.stamp = max(m.stamp+1, consent.TimeOf(time.Now()))
}

func (m *memoryBackend) Write(ctx context.Context, w consent.Write) (consent.WriteResult, error) {
	if err := m.failing("Write"); err != nil {
		return consent.WriteResult{}, err
	}
	if err := ctx.Err(); err != nil {
		return consent.WriteResult{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if result, ok := m.results[w.RequestID]; ok {
		return result, nil
	}
	m.next()
	m.writes = append(m.writes, len(w.Events))
	t := *m.tenant(w.Tenant)
	result := consent.WriteResult{Revision: consent.Revision{Epoch: m.epoch, Index: m.index}, Stamp: m.stamp}
	for i, e := range w.Events {
		key := memoryKey{w.Tenant, e.Subject}
		next, effect := m.fold(&t, m.subjects[key], e.Event, uint32(i))
		m.subjects[key] = next
		m.touch(t.Number, key)
		result.Effects = append(result.Effects, effect)
	}
	if m.tenants[w.Tenant] == nil {
		m.named = append(m.named, memoryNamed{m.index, &t})
	}
	m.tenants[w.Tenant] = &t
	m.results[w.RequestID] = result
	return result, nil
}

func (m *memoryBackend) fold(t *consent.Tenant, s *memorySubject, e consent.Event, ordinal uint32) (*memorySubject, consent.Effect) {
	if s == nil {
		s = &memorySubject{}
	}
	e = e.Clamped(m.stamp)
	names, err := t.Names.AddScope(e.Scope)
	if err != nil {
		panic(err)
	}
	t.Names = names
	c := consent.FoldContext{Tenant: t.Number, Names: names, Index: m.index}
	var history []consent.Event
	for _, h := range s.history {
		history = append(history, h.Event)
	}
	record, effect, keep := consent.FoldLate(s.record, history, e, c)
	next := &memorySubject{record: record, history: slices.Clone(s.history)}
	if keep {
		next.history = append(next.history, consent.RecordedEvent{Event: e, Stamp: m.stamp, Index: m.index, Ordinal: ordinal})
		slices.SortStableFunc(next.history, func(a, b consent.RecordedEvent) int {
			return cmp.Or(cmp.Compare(a.Event.OccurredAt, b.Event.OccurredAt), cmp.Compare(a.Index, b.Index), cmp.Compare(a.Ordinal, b.Ordinal))
		})
	}
	return next, effect
}

func (m *memoryBackend) Preview(_ context.Context, w consent.Write) (consent.WriteResult, error) {
	if err := m.failing("Preview"); err != nil {
		return consent.WriteResult{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t := *m.tenant(w.Tenant)
	m.stamp = max(m.stamp, consent.TimeOf(time.Now()))
	result := consent.WriteResult{Revision: consent.Revision{Epoch: m.epoch, Index: m.index}, Stamp: m.stamp}
	for i, e := range w.Events {
		_, effect := m.fold(&t, m.subjects[memoryKey{w.Tenant, e.Subject}], e.Event, uint32(i))
		result.Effects = append(result.Effects, effect)
	}
	return result, nil
}

func (m *memoryBackend) History(_ context.Context, t *consent.Tenant, subject string, page consent.HistoryPage) (
	events []consent.RecordedEvent, more bool, err error,
) {
	if err := m.failing("History"); err != nil {
		return nil, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.subjects[memoryKey{t.Name, subject}]
	if s == nil {
		return nil, false, nil
	}
	for _, e := range s.history {
		after := cmp.Or(cmp.Compare(e.Event.OccurredAt, page.AfterTime), cmp.Compare(e.Index, page.AfterIndex), cmp.Compare(e.Ordinal, page.AfterOrdinal))
		if page.AfterTime != 0 && after <= 0 {
			continue
		}
		if len(events) == page.Limit {
			return events, true, nil
		}
		events = append(events, e)
	}
	return events, false, nil
}

func (m *memoryBackend) EachRecord(ctx context.Context, t *consent.Tenant, f func(consent.Record) error) error {
	if err := m.failing("EachRecord"); err != nil {
		return err
	}
	m.mu.Lock()
	var records []consent.Record
	for key, s := range m.subjects {
		if key.tenant == t.Name {
			records = append(records, s.record)
		}
	}
	m.mu.Unlock()
	for _, r := range records {
		if err := f(r); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (m *memoryBackend) ClusterBound() time.Duration { return m.bound }

func (m *memoryBackend) PutPolicy(_ context.Context, p consent.PolicyPut) (consent.PolicyVersion, bool, error) {
	if err := m.failing("PutPolicy"); err != nil {
		return consent.PolicyVersion{}, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	versions := m.policies[p.Tenant]
	var newest consent.PolicyVersion
	if n := len(versions); n > 0 {
		newest = versions[n-1]
	}
	if p.ETag != "" && p.ETag != etagOf(&newest) {
		return consent.PolicyVersion{}, false, consent.ErrETag
	}
	if newest.Version > 0 && bytes.Equal(newest.Document, p.Document) {
		return newest, false, nil
	}
	m.next()
	version := newest.Version + 1
	t := *m.tenant(p.Tenant)
	parsed, err := consent.ParsePolicy(p.Document)
	if err != nil {
		return consent.PolicyVersion{}, false, err
	}
	if t.Policy, t.Names, err = parsed.Bind(version, t.Names); err != nil {
		return consent.PolicyVersion{}, false, err
	}
	m.tenants[p.Tenant] = &t
	m.named = append(m.named, memoryNamed{m.index, &t})
	v := consent.PolicyVersion{
		Version: version, ETag: fmt.Sprintf("etag-%d", version), Document: p.Document, PutAt: m.stamp,
		Revision: consent.Revision{Epoch: m.epoch, Index: m.index},
	}
	m.policies[p.Tenant] = append(versions, v)
	return v, true, nil
}

func (m *memoryBackend) Policy(_ context.Context, tenant string, version int64) (consent.PolicyVersion, error) {
	if err := m.failing("Policy"); err != nil {
		return consent.PolicyVersion{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	versions := m.policies[tenant]
	switch {
	case len(versions) == 0:
		return consent.PolicyVersion{}, consent.ErrUnknownTenant
	case version == 0:
		return versions[len(versions)-1], nil
	case version > int64(len(versions)):
		return consent.PolicyVersion{}, consent.ErrUnknownVersion
	}
	return versions[version-1], nil
}

func (m *memoryBackend) PolicyVersions(_ context.Context, tenant string, before int64, limit int) ([]consent.PolicyVersion, error) {
	if err := m.failing("PolicyVersions"); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []consent.PolicyVersion
	for _, v := range slices.Backward(m.policies[tenant]) {
		if (before == 0 || v.Version < before) && len(list) < limit {
			v.Document = nil
			list = append(list, v)
		}
	}
	return list, nil
}

func (m *memoryBackend) sizes() []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.writes)
}

// put gives a tenant a policy without going through a server.
func (m *memoryBackend) put(tb testing.TB, tenant, document string) {
	tb.Helper()
	if _, _, err := m.PutPolicy(context.Background(), consent.PolicyPut{Tenant: tenant, Document: []byte(document)}); err != nil {
		tb.Fatal(err)
	}
}

// use gives a subject of the default tenant a history of uses.
func (m *memoryBackend) use(t *testing.T, subject, permission string, times int) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next()
	s := &memorySubject{}
	var events []consent.Event
	for i := range times {
		e := consent.Event{
			Kind: consent.Used, OccurredAt: m.stamp - consent.Time(times-i)*1000, Scope: consent.Scope{Permissions: []string{permission}},
		}
		events = append(events, e)
		s.history = append(s.history, consent.RecordedEvent{Event: e, Stamp: m.stamp, Index: m.index, Ordinal: uint32(i)})
	}
	tenant := m.tenants[defaultTenant]
	s.record = consent.FoldHistory(events, consent.FoldContext{Tenant: tenant.Number, Names: tenant.Names, Index: m.index})
	m.subjects[memoryKey{defaultTenant, subject}] = s
}
