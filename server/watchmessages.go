package server

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// enoughBytes is how many bytes of policies fill a message of a reset. The last may go beyond.
const enoughBytes = 256 << 10

// newest returns where the state is, with all tenants.
func (r *reader) newest() (consent.Changes, error) {
	now, err := r.service.watching.Changes(consent.Revision{}, 0, nil)
	if err == nil && now.To.Epoch == 0 {
		err = consent.ErrNotReady
	}
	return now, err
}

// reset makes the reader begin anew with what is now.
func (r *reader) reset(reason consentv1.WatchResetReason) error {
	now, err := r.newest()
	if err != nil {
		return err
	}
	r.service.watches.reset(reason)
	clear(r.numbers)
	r.at = now.To
	part := &consentv1.WatchReset{Epoch: r.at.Epoch, Position: r.at.Index, Reason: reason}
	bytes := 0
	for _, t := range r.wanted(&now) {
		if bytes >= enoughBytes {
			part.More = true
			if err := r.sendReset(part); err != nil {
				return err
			}
			part, bytes = &consentv1.WatchReset{Epoch: r.at.Epoch, Position: r.at.Index, Reason: reason}, 0
		}
		tenant, err := r.tenant(t)
		if err != nil {
			return err
		}
		part.Tenants = append(part.Tenants, tenant)
		bytes += len(tenant.GetPolicyDocument())
	}
	return r.sendReset(part)
}

func (r *reader) sendReset(part *consentv1.WatchReset) error {
	return r.send(&consentv1.WatchResponse{Message: &consentv1.WatchResponse_Reset_{Reset_: part}})
}

// wanted returns those of the tenants whose changes are wanted, and takes down their numbers.
func (r *reader) wanted(changes *consent.Changes) []*consent.Tenant {
	r.numbered = changes.To.Index
	if r.names == nil {
		return changes.Tenants
	}
	wanted := slices.DeleteFunc(changes.Tenants, func(t *consent.Tenant) bool { return !r.names[t.Name] })
	for _, t := range wanted {
		r.numbers[t.Number] = true
	}
	return wanted
}

// sendChanges sends what changed, also if nothing of it is wanted: the position is.
func (r *reader) sendChanges(changes *consent.Changes) error {
	message := &consentv1.WatchChanges{Position: changes.To.Index}
	if r.numbered < r.at.Index { // the reader came from a replica that was ahead, where tenants may have been new
		now, err := r.newest()
		switch {
		case err != nil:
			return err
		case now.To.Epoch != changes.To.Epoch: // a backup was restored just now, and numbers stand for other tenants
			return r.reset(consentv1.WatchResetReason_WATCH_RESET_REASON_EPOCH)
		}
		r.wanted(&now)
	}
	for _, t := range r.wanted(changes) {
		tenant, err := r.tenant(t)
		if err != nil {
			return err
		}
		message.Tenants = append(message.Tenants, tenant)
	}
	message.Buckets = r.packed(changes.Subjects)
	r.at = changes.To
	return r.send(&consentv1.WatchResponse{Message: &consentv1.WatchResponse_Changes{Changes: message}})
}

// packed returns the buckets of those subjects whose changes are wanted, as the contract has them.
func (r *reader) packed(subjects []consent.Touched) []byte {
	r.buckets = r.buckets[:0]
	for _, s := range subjects {
		if r.names == nil || r.numbers[s.Tenant] {
			r.buckets = append(r.buckets, s.Bucket)
		}
	}
	slices.Sort(r.buckets)
	r.buckets = slices.Compact(r.buckets)
	r.service.watches.changes.Add(float64(len(r.buckets)))
	packed := packBuckets(r.buckets)
	if cap(r.buckets) > maxBatch {
		r.buckets = nil // of one huge entry
	}
	return packed
}

// packBuckets returns ascending buckets as the contract has them. The message keeps them, so that they aren't in space used again.
func packBuckets(buckets []uint32) []byte {
	if len(buckets) == 0 {
		return nil
	}
	const usual = 3 // bytes of a bucket
	packed, before := make([]byte, 0, usual*len(buckets)), uint32(0)
	for _, bucket := range buckets {
		packed = binary.AppendUvarint(packed, uint64(bucket-before))
		before = bucket
	}
	return packed
}

// tenant returns what deciding needs of a tenant. Its policy is that of the version which the tenant has, never a newer one.
func (r *reader) tenant(t *consent.Tenant) (*consentv1.WatchTenant, error) {
	message := &consentv1.WatchTenant{Name: t.Name, Number: t.Number}
	if t.Policy == nil {
		return message, nil
	}
	policy, err := r.service.policies.Policy(r.ctx, t.Name, t.Policy.Version)
	switch {
	case errors.Is(err, consent.ErrUnknownTenant), errors.Is(err, consent.ErrUnknownVersion), err == nil && policy.Revision.Epoch != r.at.Epoch:
		return nil, errRestoredMeanwhile // a version stays for as long as its epoch
	case err != nil:
		return nil, err
	}
	message.PolicyVersion, message.PolicyDocument = policy.Version, policy.Document
	for i := range t.Policy.Permissions {
		p := &t.Policy.Permissions[i]
		message.Permissions = append(message.Permissions, &consentv1.WatchPermission{
			Name: p.Name, Id: uint32(p.ID), PurposeId: uint32(p.PurposeID), ChannelId: uint32(p.ChannelID),
		})
	}
	return message, nil
}
