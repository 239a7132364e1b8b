package server

import (
	"context"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/consentd/consentd/consent"
)

// memoryTouched is a subject that a write touched, and memoryNamed a tenant that is new or has another policy.
type memoryTouched struct {
	index   uint64
	subject consent.Touched
}

type memoryNamed struct {
	index  uint64
	tenant *consent.Tenant
}

func bucketOf(key memoryKey) uint32 {
	h := fnv.New64a()
	h.Write([]byte(key.tenant + "\x00" + key.subject))
	return consent.Pseudonym{h.Sum64(), 0}.Bucket()
}

func (m *memoryBackend) touch(tenant uint32, key memoryKey) {
	m.touched = append(m.touched, memoryTouched{m.index, consent.Touched{Tenant: tenant, Bucket: bucketOf(key)}})
}

func (m *memoryBackend) Changes(after consent.Revision, most int, space []consent.Touched) (consent.Changes, error) {
	if err := m.failing("Changes"); err != nil {
		return consent.Changes{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := consent.Changes{To: consent.Revision{Epoch: m.epoch, Index: m.index}, Subjects: space[:0]}
	switch {
	case after == consent.Revision{}:
		for _, t := range m.tenants {
			now.Tenants = append(now.Tenants, t)
		}
		slices.SortFunc(now.Tenants, func(a, b *consent.Tenant) int { return strings.Compare(a.Name, b.Name) })
		return now, nil
	case after.Epoch != m.epoch:
		return consent.Changes{}, consent.ErrEpoch
	case after.Index < m.gone:
		return consent.Changes{}, consent.ErrPositionGone
	case after.Index < m.behind:
		return consent.Changes{}, consent.ErrOverrun
	case after.Index >= m.index:
		return consent.Changes{To: after}, nil
	}
	for _, t := range m.touched {
		if t.index <= after.Index {
			continue
		}
		if len(now.Subjects) >= most && t.index != now.To.Index {
			break
		}
		now.Subjects = append(now.Subjects, t.subject)
		if len(now.Subjects) >= most {
			now.To.Index = t.index
		}
	}
	for _, n := range m.named {
		if n.index > after.Index && n.index <= now.To.Index {
			now.Tenants = slices.DeleteFunc(now.Tenants, func(t *consent.Tenant) bool { return t.Name == n.tenant.Name })
			now.Tenants = append(now.Tenants, n.tenant)
		}
	}
	return now, nil
}

func (m *memoryBackend) Beyond(index uint64) (reached <-chan struct{}, leave func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	moved := make(chan struct{})
	if m.index > index {
		close(moved)
	} else {
		m.moved = append(m.moved, moved)
	}
	return moved, func() {}
}

func (m *memoryBackend) Fill(ctx context.Context, tenant, subject string, atLeast consent.Revision) (consent.Filled, error) {
	if err := m.failing("Fill"); err != nil {
		return consent.Filled{}, err
	}
	if _, err := m.View(ctx, consent.Consistency{AtLeast: atLeast}); err != nil {
		return consent.Filled{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tenants[tenant] == nil {
		return consent.Filled{}, consent.ErrUnknownTenant
	}
	key := memoryKey{tenant, subject}
	filled := consent.Filled{Revision: consent.Revision{Epoch: m.epoch, Index: m.index}, Bucket: bucketOf(key)}
	if s := m.subjects[key]; s != nil {
		filled.Record = s.record.ForDecisions(nil)
	}
	return filled, nil
}
