package main

import (
	"context"
	"strings"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// misses returns the names of a scope that cover none of the permissions. A purpose's name among the permissions covers all of its own.
func misses(scope *consentv1.Scope, permissions []string) []string {
	purposes, channels := map[string]bool{}, map[string]bool{}
	covered := map[string]bool{}
	for _, permission := range permissions {
		purpose, channel, _ := strings.Cut(permission, "/")
		purposes[purpose], channels[channel] = true, true
		covered[permission], covered[purpose] = true, true
	}
	var missed []string
	for _, of := range []struct {
		names []string
		known map[string]bool
	}{{scope.GetPermissions(), covered}, {scope.GetPurposes(), purposes}, {scope.GetChannels(), channels}} {
		for _, name := range of.names {
			if !of.known[name] {
				missed = append(missed, name)
			}
		}
	}
	return missed
}

// warnOfMisses says which names of a scope changed no decision, because the newest policy has no permission that they cover. A "no" isn't
// refused for that: it counts once a policy has one. Without the policy nothing can be said.
func (c *cli) warnOfMisses(ctx context.Context, scope *consentv1.Scope) {
	if scope == nil {
		return
	}
	permissions, err := c.permissions(ctx)
	if err != nil {
		return
	}
	for _, name := range misses(scope, permissions) {
		c.messagef("consentd: the policy has no permission that %q covers, so that this changes no decision; there are %s", name,
			strings.Join(permissions, ", "))
	}
}
