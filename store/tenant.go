package store

import (
	"encoding/binary"
	"fmt"

	"github.com/consentd/consentd/consent"

	"github.com/cockroachdb/pebble/v2"
)

// tenant returns a tenant as the entry has made it so far. One that nothing is known of gets the next number, which counts only once the
// tenant is kept.
func (e *entry) tenant(name string) consent.Tenant {
	if t, found := e.tenants[name]; found {
		return *t
	}
	if t, found := e.known[name]; found {
		return *t
	}
	return consent.Tenant{Name: name, Number: e.nextTenant}
}

// keepTenant makes what became of a tenant part of the entry.
func (e *entry) keepTenant(t consent.Tenant) {
	if t.Number == e.nextTenant {
		e.nextTenant++
	}
	e.tenants[t.Name] = &t
}

// writeTenants writes the tenants and names that the entry added to the batch.
func (e *entry) writeTenants() {
	known := e.known
	for name, t := range e.tenants {
		from := 0
		if old, found := known[name]; found {
			from = old.Names.Len()
		} else {
			e.set(tenantKey(nil, t.Number), []byte(name))
		}
		for id := from + 1; id <= t.Names.Len(); id++ {
			kind, text := t.Names.Name(consent.NameID(id))
			e.set(nameKey(nil, t.Number, consent.NameID(id)), append([]byte{byte(kind)}, text...))
		}
	}
}

// tenantsAfter returns the tenants as the entry leaves them.
func (e *entry) tenantsAfter() map[string]*consent.Tenant {
	known := e.known
	before := e.state.head.Load().Revision.Epoch
	if len(e.tenants) == 0 && before == e.meta.epoch {
		return known
	}
	after := make(map[string]*consent.Tenant, len(known)+len(e.tenants))
	for name, t := range known {
		if before != e.meta.epoch {
			of := *t
			of.Epoch = e.meta.epoch
			t = &of
		}
		after[name] = t
	}
	for name, t := range e.tenants {
		t.Epoch = e.meta.epoch // which a term start may have set behind them
		after[name] = t
	}
	return after
}

// readTenants returns the tenants of a ledger with their names and newest policies.
func readTenants(from pebble.Reader, epoch uint64) (map[string]*consent.Tenant, error) {
	tenants := map[string]*consent.Tenant{}
	err := eachWith(from, []byte{prefixTenant}, func(key, value []byte) error {
		if len(key) != 1+4 {
			return fmt.Errorf("%w: the tenant %x", ErrLedger, key)
		}
		t := &consent.Tenant{Name: string(value), Number: binary.BigEndian.Uint32(key[1:]), Epoch: epoch}
		tenants[t.Name] = t
		var err error
		if t.Names, err = readNames(from, t.Number); err != nil {
			return err
		}
		t.Policy, err = readNewestPolicy(from, t)
		return err
	})
	return tenants, err
}

// readNames gives the names out again in the order of their numbers, and makes sure that each gets its own.
func readNames(from pebble.Reader, tenant uint32) (names *consent.Names, err error) {
	prefix := nameKey(nil, tenant, 0)
	prefix = prefix[:len(prefix)-2]
	err = eachWith(from, prefix, func(key, value []byte) error {
		if len(key) != len(prefix)+2 || len(value) < 1 {
			return fmt.Errorf("%w: the name %x", ErrLedger, key)
		}
		id := consent.NameID(binary.BigEndian.Uint16(key[len(prefix):]))
		kind, text := consent.NameKind(value[0]), string(value[1:])
		added, err := names.Add(kind, text)
		if err != nil {
			return fmt.Errorf("%w: the name %x: %w", ErrLedger, key, err)
		}
		if names = added; names.ID(kind, text) != id {
			return fmt.Errorf("%w: the name %x has number %d", ErrLedger, key, names.ID(kind, text))
		}
		return nil
	})
	return names, err
}
