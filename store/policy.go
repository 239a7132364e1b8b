package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/consentd/consentd/consent"

	"github.com/cockroachdb/pebble/v2"
)

// etag names a version and its document.
func etag(version int64, document []byte) string {
	sum := sha256.Sum256(document)
	return fmt.Sprintf("%d-%x", version, sum[:8])
}

// applyPolicy makes a document the tenant's newest policy, unless it is already.
func (e *entry) applyPolicy(c *PolicyCommand, payload payloadHash) Result {
	first, found, err := e.repeated(c.RequestID, payload)
	if err != nil {
		return e.refuse(err)
	}
	tenant := e.tenant(c.Tenant)
	if found {
		return e.policyResult(tenant, first)
	}
	newest, err := e.newestPolicy(tenant)
	if err == nil {
		err = checkETag(c.ETag, newest)
	}
	if err != nil {
		return e.refuse(err)
	}
	o := outcome{payload: payload}
	if newest != nil && bytes.Equal(newest.Document, c.Document) {
		o.version = newest.Version
	} else if o.version, err = e.putPolicy(tenant, c.Document); err != nil {
		return e.refuse(err)
	} else {
		o.changed = true
	}
	return e.policyResult(tenant, e.remember(c.RequestID, o))
}

// checkETag returns ErrETag if the newest policy isn't the one that the new one is to follow.
func checkETag(wanted string, newest *consent.PolicyVersion) error {
	found := consent.ETagNone
	if newest != nil {
		found = newest.ETag
	}
	if wanted != "" && wanted != found {
		return fmt.Errorf("%w (the newest is %s)", consent.ErrETag, found)
	}
	return nil
}

// putPolicy adds a version.
func (e *entry) putPolicy(t consent.Tenant, document []byte) (int64, error) {
	if t.Number > consent.MaxTenant {
		return 0, ErrTooManyTenants
	}
	policy, err := consent.ParsePolicy(document)
	if err != nil {
		return 0, err
	}
	version := int64(1)
	if t.Policy != nil {
		version = t.Policy.Version + 1
	}
	if t.Policy, t.Names, err = policy.Bind(version, t.Names); err != nil {
		return 0, err
	}
	e.keepTenant(t)
	e.policies[policyRef{t.Number, version}] = consent.PolicyVersion{
		Version: version, ETag: etag(version, document), Document: document,
		PutAt: e.stamp, Revision: e.revision(),
	}
	return version, nil
}

// policyRef names a version of a tenant's policy.
type policyRef struct {
	tenant  uint32
	version int64
}

func (e *entry) newestPolicy(t consent.Tenant) (*consent.PolicyVersion, error) {
	if t.Policy == nil {
		return nil, nil
	}
	p, err := e.policy(policyRef{t.Number, t.Policy.Version})
	return &p, err
}

// policy returns a version that there is, be it of this entry.
func (e *entry) policy(ref policyRef) (consent.PolicyVersion, error) {
	if p, found := e.policies[ref]; found {
		return p, nil
	}
	p, err := readPolicy(e.from, ref, e.meta.epoch)
	e.fail(err)
	return p, err
}

// policyResult returns the result of the command that came to an outcome.
func (e *entry) policyResult(t consent.Tenant, o outcome) Result {
	p, err := e.policy(policyRef{t.Number, o.version})
	return Result{
		Err: err, Revision: consent.Revision{Epoch: e.meta.epoch, Index: o.index}, Stamp: o.stamp,
		Policy: &p, PolicyChanged: o.changed,
	}
}

// writePolicies writes the versions that the entry added to the batch.
func (e *entry) writePolicies() {
	for ref, p := range e.policies {
		e.set(policyKey(ref.tenant, ref.version), appendPolicy(nil, &p))
	}
}

func appendPolicy(dst []byte, p *consent.PolicyVersion) []byte {
	dst = binary.AppendUvarint(append(dst, valueFormat), uint64(p.PutAt))
	return append(binary.AppendUvarint(dst, p.Revision.Index), p.Document...)
}

// readPolicy returns a version, or ErrUnknownVersion.
func readPolicy(from pebble.Reader, ref policyRef, epoch uint64) (consent.PolicyVersion, error) {
	value, err := get(from, policyKey(ref.tenant, ref.version))
	if err != nil {
		return consent.PolicyVersion{}, err
	}
	if value == nil {
		return consent.PolicyVersion{}, consent.ErrUnknownVersion
	}
	return decodePolicy(ref, value, epoch)
}

func decodePolicy(ref policyRef, value []byte, epoch uint64) (consent.PolicyVersion, error) {
	in := input{rest: value}
	in.format()
	p := consent.PolicyVersion{
		Version: ref.version, PutAt: consent.Time(in.uvarint()),
		Revision: consent.Revision{Epoch: epoch, Index: in.uvarint()},
	}
	if in.err != nil {
		return p, fmt.Errorf("%w: version %d of the policy of tenant %d: %w", ErrLedger, ref.version, ref.tenant, in.err)
	}
	p.Document = in.rest
	p.ETag = etag(ref.version, p.Document)
	return p, nil
}

// readNewestPolicy returns the newest policy of a tenant, bound to its names, or nil if there is none.
func readNewestPolicy(from pebble.Reader, t *consent.Tenant) (*consent.Policy, error) {
	versions, err := policyVersions(from, t.Number, 0, 1, 0)
	if err != nil || len(versions) == 0 {
		return nil, err
	}
	policy, err := consent.ParsePolicy(versions[0].Document)
	if err != nil {
		return nil, fmt.Errorf("%w: %w: the policy of tenant %q: %w", ErrLedger, ErrFormat, t.Name, err)
	}
	bound, names, err := policy.Bind(versions[0].Version, t.Names)
	if err == nil && names.Len() != t.Names.Len() {
		err = errors.New("it has names without numbers")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the policy of tenant %q: %w", ErrLedger, t.Name, err)
	}
	return bound, nil
}

// policyVersions returns up to limit versions below before, or below none if that is 0, newest first.
func policyVersions(from pebble.Reader, tenant uint32, before int64, limit int, epoch uint64) (versions []consent.PolicyVersion, err error) {
	lower, upper := policyKey(tenant, 0), policyKey(tenant, before)
	if before <= 0 {
		upper = afterPrefix(lower[:1+4])
	}
	iter, err := from.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLedger, InFile(err))
	}
	for ok := iter.Last(); ok && len(versions) < limit && err == nil; ok = iter.Prev() {
		var value []byte
		var p consent.PolicyVersion
		if value, err = iter.ValueAndErr(); err == nil {
			ref := policyRef{tenant, int64(binary.BigEndian.Uint64(iter.Key()[1+4:]))}
			p, err = decodePolicy(ref, bytes.Clone(value), epoch)
			versions = append(versions, p)
		}
	}
	if closing := iter.Close(); err == nil && closing != nil {
		err = fmt.Errorf("%w: %w", ErrLedger, InFile(closing))
	}
	return versions, err
}

// Policy returns a version of a tenant's policy, the newest for 0; ErrUnknownTenant or ErrUnknownVersion if there is none.
func (s *Store) Policy(tenant string, version int64) (p consent.PolicyVersion, err error) {
	err = s.reading(func(st *state) error {
		t, found := st.tenants()[tenant]
		switch {
		case !found:
			return consent.ErrUnknownTenant
		case version == 0 && t.Policy == nil:
			return consent.ErrUnknownVersion
		case version == 0:
			version = t.Policy.Version
		}
		p, err = readPolicy(st.ledger.db, policyRef{t.Number, version}, st.head.Load().Revision.Epoch)
		return err
	})
	return p, err
}

// PolicyVersions returns up to limit versions of a tenant's policy below before (0: from the newest), newest first, without documents.
func (s *Store) PolicyVersions(tenant string, before int64, limit int) (versions []consent.PolicyVersion, err error) {
	err = s.reading(func(st *state) error {
		t, found := st.tenants()[tenant]
		if !found {
			return consent.ErrUnknownTenant
		}
		versions, err = policyVersions(st.ledger.db, t.Number, before, limit, st.head.Load().Revision.Epoch)
		return err
	})
	for i := range versions {
		versions[i].Document = nil
	}
	return versions, err
}
