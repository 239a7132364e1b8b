package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

func newPolicyShowCommand(c *cli) *cobra.Command {
	var version int64
	cmd := &cobra.Command{
		Use:     "show",
		Short:   "Print a policy as it was put",
		Example: "  consentd policy show --version 2",
		Args:    noArguments,
		RunE: c.does(func(cmd *cobra.Command, _ []string) error {
			if version < 0 {
				return usageErrorf("--version %d: versions are counted from 1", version)
			}
			return c.showPolicy(cmd.Context(), version)
		}),
	}
	cmd.Flags().Int64Var(&version, "version", 0, "the `VERSION` to print; the newest if left out")
	return cmd
}

func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageErrorf("unexpected argument %q", args[0])
	}
	return nil
}

func (c *cli) showPolicy(ctx context.Context, version int64) error {
	var policy *consentv1.Policy
	err := c.call(ctx, func(ctx context.Context, server *connection) error {
		reply, err := server.policies.GetPolicy(ctx, &consentv1.GetPolicyRequest{Tenant: c.tenant, Version: version})
		policy = reply.GetPolicy()
		return err
	})
	if err != nil {
		return err
	}
	if c.format == formatTable { // the document as it was put can be put again
		c.messagef("version %d of tenant %s, put at %s, etag %s", policy.GetVersion(), policy.GetTenant(), cell(policy.GetPutAt()),
			policy.GetEtag())
		return c.write([]byte(policy.GetDocument()), nil)
	}
	return c.print(messageOutput(policy), nil)
}

type listOutput struct {
	Policies []object `json:"policies"`
}

func newPolicyListCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the tenant's versions, newest first",
		Example: "  consentd policy list",
		Args:    noArguments,
		RunE: c.does(func(cmd *cobra.Command, _ []string) error {
			return c.listPolicies(cmd.Context())
		}),
	}
}

func (c *cli) listPolicies(ctx context.Context) error {
	var policies []*consentv1.Policy
	request := &consentv1.ListPoliciesRequest{Tenant: c.tenant, PageSize: 1000}
	for more := true; more; more = request.GetPageToken() != "" {
		err := c.call(ctx, func(ctx context.Context, server *connection) error {
			reply, err := server.policies.ListPolicies(ctx, request)
			policies = append(policies, reply.GetPolicies()...)
			request.PageToken = reply.GetNextPageToken()
			return err
		})
		if err != nil {
			return err
		}
	}
	out := listOutput{Policies: []object{}}
	for _, policy := range policies {
		out.Policies = append(out.Policies, messageOutput(policy))
	}
	return c.print(out, func(w io.Writer) {
		fmt.Fprintln(w, "VERSION\tPUT AT\tETAG\tREVISION")
		for _, policy := range policies {
			fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", policy.GetVersion(), cell(policy.GetPutAt()), policy.GetEtag(), policy.GetRevision())
		}
	})
}
