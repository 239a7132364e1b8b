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
	i, err := newInspection()
	if err != nil {
		return c, err
	}
	defer i.close()
	if err := readSnapshot(r, func(key, value []byte) error { return unreadable(i.take(key, value)) }); err != nil {
		return c, err
	}
	return i.found, unreadable(i.finish())
}

// inspection looks at the pairs of a stream. It has no other errors than those of the pairs.
type inspection struct {
	found      Contents
	small      *ledger             // in memory
	references *pebble.DB          // its tenants, names, policies
	tenants    map[uint32]struct{} // that records are of
	words      []uint64
}

// newInspection returns one that has seen nothing. It has to be closed.
func newInspection() (*inspection, error) {
	// What records refer to is read as a start does.
	l, err := openLedger(vfs.NewMem(), "inspected", slog.New(slog.DiscardHandler), func(error) {})
	if err != nil {
		return nil, err
	}
	return &inspection{small: l, references: l.db, tenants: map[uint32]struct{}{}}, nil
}

func (i *inspection) close() { i.small.release() }

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
		if err = hasLength(key, 1+len(consent.RequestID{})); err == nil {
			_, err = decodeOutcome(key, value)
		}
	case prefixDue:
		_, _, err = splitDue(key)
	case prefixPolicy:
		i.found.Policies++
		if err = hasLength(key, len(policyKey(0, 0))); err == nil {
			err = i.references.Set(key, value, pebble.NoSync)
		}
	case prefixName, prefixTenant, prefixMeta, prefixLearner:
		err = i.references.Set(key, value, pebble.NoSync)
	default:
		err = fmt.Errorf("%w: the key %q", ErrFormat, key)
	}
	return err
}

func hasLength(key []byte, want int) error {
	if len(key) != want {
		return fmt.Errorf("%w: the key %x has %d bytes, not %d", ErrLedger, key, len(key), want)
	}
	return nil
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
	if m.stamp >= consent.MaxTime || m.horizon > uint64(max(m.stamp, 0)+requestWindow)/second {
		return fmt.Errorf("%w: nothing could follow its stamp %d and horizon %d", ErrLedger, m.stamp, m.horizon)
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
	if len(i.tenants) > 0 {
		return fmt.Errorf("it has records of tenant %d, and no such tenant", slices.Min(slices.Collect(maps.Keys(i.tenants))))
	}
	_, err = readLearners(i.references)
	return err
}

func byName(a, b *consent.Tenant) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) }
