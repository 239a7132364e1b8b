package server

import (
	"context"
	"errors"

	"github.com/consentd/consentd/consent"
)

// target is the tenant of a write, as far as it is known here. That may be a little behind, which is enough to know most permissions by,
// and the state machine decides. What isn't known here may be known elsewhere by now: then the newest state is looked at, once.
type target struct {
	core   *core
	name   string
	tenant *consent.Tenant // nil: nothing is known
	newest bool
}

// targetOf returns a write's tenant. A tenant without a policy isn't taken for one before the newest state says so too, because the form
// of subjects' ids is the policy's: a "no" under another form would be another subject's.
func (c *core) targetOf(ctx context.Context, tenant string) (*target, error) {
	name, err := tenantName(tenant)
	if err != nil {
		return nil, err
	}
	t := &target{core: c, name: name}
	err = t.look(ctx, consent.Consistency{})
	if err == nil && (t.tenant == nil || t.tenant.Policy == nil) {
		err = t.look(ctx, consent.Consistency{Full: true})
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (t *target) look(ctx context.Context, c consent.Consistency) error {
	view, err := t.core.viewAt(ctx, c)
	if err == nil {
		t.tenant, t.newest = view.Tenants[t.name], c.Full
	}
	return err
}

// validate returns what validating by the tenant does: by the newest state, if it is about what isn't known here.
func (t *target) validate(ctx context.Context, by func(*consent.Tenant) error) error {
	err := by(t.tenant)
	var unknown *unknownPermissionError
	if t.newest || !errors.As(err, &unknown) {
		return err
	}
	if err := t.look(ctx, consent.Consistency{Full: true}); err != nil {
		return err
	}
	return by(t.tenant)
}
