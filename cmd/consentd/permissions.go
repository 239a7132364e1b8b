package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/status"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// permissions are those of the tenant's newest policy.
func (c *cli) permissions(ctx context.Context) ([]string, error) {
	var permissions []string
	err := c.call(ctx, func(ctx context.Context, server *connection) error {
		reply, err := server.policies.GetPolicy(ctx, &consentv1.GetPolicyRequest{Tenant: c.tenant})
		permissions = reply.GetPolicy().GetPermissions()
		return err
	})
	return permissions, err
}

// namePermissions says of a refusal because of an unknown permission which of those named it is, and which there are. Other errors stay as
// they are, and so does this one if the policy can't be read or has all of them by now.
func (c *cli) namePermissions(ctx context.Context, err error, named ...string) error {
	if s, ok := status.FromError(err); !ok || reasonOf(s.Proto()) != "UNKNOWN_PERMISSION" {
		return err
	}
	permissions, failed := c.permissions(ctx)
	if failed != nil {
		return err
	}
	for _, name := range named {
		if !slices.Contains(permissions, name) {
			return c.noPermission(name, permissions)
		}
	}
	return err
}

// noPermission is the error of a permission that the policy doesn't have.
func (c *cli) noPermission(name string, permissions []string) error {
	meant := "; there are"
	if nearest := consent.Nearest(name, permissions); nearest != "" {
		meant = fmt.Sprintf(": did you mean %s? There are", nearest)
	}
	return fmt.Errorf("the policy of tenant %s has no permission %q (UNKNOWN_PERMISSION)%s %s", c.tenant, name, meant,
		strings.Join(permissions, ", "))
}
