package client

import (
	"errors"
	"fmt"
	"math"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// errTenant is returned for a tenant that can't be read, as when its policy has keys that this version doesn't know. Nothing is decided by
// half a policy.
var errTenant = errors.New("a tenant of the change stream can't be read")

// tenantOf returns what a message says of a tenant of an epoch.
func tenantOf(m *consentv1.WatchTenant, epoch uint64) (*consent.Tenant, error) {
	t := &consent.Tenant{Name: m.GetName(), Number: m.GetNumber(), Epoch: epoch}
	switch version := m.GetPolicyVersion(); {
	case t.Name == "" || t.Number > consent.MaxTenant:
		return nil, fmt.Errorf("%w: it has no name, or the number %d", errTenant, t.Number)
	case version < 0 || (version == 0) != (len(m.GetPolicyDocument()) == 0):
		return nil, fmt.Errorf("%w: version %d of its policy has %d bytes", errTenant, version, len(m.GetPolicyDocument()))
	case version == 0:
		return t, nil
	}
	parsed, err := consent.ParsePolicy(m.GetPolicyDocument())
	if err != nil {
		return nil, fmt.Errorf("%w: version %d of its policy: %w", errTenant, m.GetPolicyVersion(), err)
	}
	bindings, err := bindingsOf(m.GetPermissions())
	if err != nil {
		return nil, err
	}
	if t.Policy, err = parsed.BindTo(m.GetPolicyVersion(), bindings); err != nil {
		return nil, fmt.Errorf("%w: version %d of its policy: %w", errTenant, m.GetPolicyVersion(), err)
	}
	return t, nil
}

// bindingsOf returns the numbers of permissions. Cut down to 16 bits, one that is too large would be another name's.
func bindingsOf(permissions []*consentv1.WatchPermission) (map[string]consent.Binding, error) {
	bindings := make(map[string]consent.Binding, len(permissions))
	for _, p := range permissions {
		if max(p.GetId(), p.GetPurposeId(), p.GetChannelId()) > math.MaxUint16 {
			return nil, fmt.Errorf("%w: names have numbers up to %d", errTenant, math.MaxUint16)
		}
		bindings[p.GetName()] = consent.Binding{
			ID: consent.NameID(p.GetId()), PurposeID: consent.NameID(p.GetPurposeId()), ChannelID: consent.NameID(p.GetChannelId()),
		}
	}
	return bindings, nil
}
