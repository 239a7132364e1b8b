package store

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"

	"github.com/consentd/consentd/consent"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Contents are what a snapshot's stream holds.
type Contents struct {
	Index    uint64
	Epoch    uint64
	KeyCheck [16]byte // of the pseudonym key, if Keyed
	Keyed    bool
	Stamp    consent.Time // of the newest entry

	Tenants  []TenantContents // sorted by name
	Subjects int
	Events   int // with the evidence that erasures left
	Policies int // versions of all tenants
}

// TenantContents are what a stream holds of a tenant.
type TenantContents struct {
	Name   string
	Policy int64 // its newest version; 0 for none
}

// Inspect reads a whole stream, and returns what it holds if this version can restore all of it: every checksum fits, and every record,
// event, policy and name is read as it would be. ErrSnapshot says that the stream is to blame. It takes little memory, and no disk.
func Inspect(r io.Reader) (c Contents, err error) {
	// What records refer to is read as a start does, from a small ledger.
	l, err := openLedger(vfs.NewMem(), "inspected", slog.New(slog.DiscardHandler), func(error) {})
	if err != nil {
		return c, err
	}
	defer l.release()
	i := &inspection{references: l.db, tenants: map[uint32]struct{}{}}
	if err := readSnapshot(r, i.take); err != nil {
		return c, err
	}
	if err := i.finish(); err != nil {
		return c, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	return i.found, nil
}

type inspection struct {
	found      Contents
	references *pebble.DB          // tenants, names, policies
	tenants    map[uint32]struct{} // that records are of
	words      []uint64
}

// take looks at a pair.
func (i *inspection) take(key, value []byte) (err error) {
	switch key[0] {
	case prefixEvent:
		i.found.Events++
		_, err = decodeEventValue(key, value)
	case prefixRecord:
		i.found.Subjects++
		if i.words, err = decodeRecordValue(i.words, key, value); err == nil {
			i.tenants[consent.Record(i.words).Tenant()] = struct{}{}
		}
	case prefixRequest:
		_, err = decodeOutcome(key, value)
	case prefixDue:
		_, _, err = splitDue(key)
	case prefixPolicy:
		i.found.Policies++
		err = i.references.Set(key, value, pebble.NoSync)
	case prefixName, prefixTenant, prefixMeta, prefixLearner:
		err = i.references.Set(key, value, pebble.NoSync)
	default:
		err = fmt.Errorf("%w: the key %q", ErrFormat, key)
	}
	return err
}

// finish reads what the records refer to, and makes sure that it is all there.
func (i *inspection) finish() error {
	value, err := get(i.references, []byte{prefixMeta})
	if err != nil {
		return err
	}
	m, err := decodeMeta(value)
	if err != nil {
		return err
	}
	i.found.Index, i.found.Epoch, i.found.Stamp = m.applied, m.epoch, m.stamp
	i.found.KeyCheck, i.found.Keyed = m.keyCheck, m.keyed
	tenants, err := readTenants(i.references, m.epoch)
	if err != nil {
		return err
	}
	for _, t := range slices.SortedFunc(maps.Values(tenants), byName) {
		delete(i.tenants, t.Number)
		held := TenantContents{Name: t.Name}
		if t.Policy != nil {
			held.Policy = t.Policy.Version
		}
		i.found.Tenants = append(i.found.Tenants, held)
	}
	for number := range i.tenants {
		return fmt.Errorf("it has records of tenant %d, and no such tenant", number)
	}
	_, err = readLearners(i.references)
	return err
}

func byName(a, b *consent.Tenant) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) }
