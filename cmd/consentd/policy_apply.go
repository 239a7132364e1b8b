package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// policyFlags are what policy apply takes beside the file.
type policyFlags struct {
	question
	dryRun bool
	etag   string
}

func newPolicyApplyCommand(c *cli) *cobra.Command {
	var f policyFlags
	cmd := &cobra.Command{
		Use:   "apply FILE",
		Short: "Make a policy the tenant's newest",
		Long: `Make a policy the tenant's newest. It decides from then on. A policy that is the newest already
changes nothing.

--dry-run writes nothing, and counts the subjects held whose decision would be another.`,
		Example: `  consentd policy apply policy.yaml --dry-run
  consentd policy apply policy.yaml`,
		Args: oneFile,
		RunE: c.does(func(cmd *cobra.Command, args []string) error {
			return c.applyPolicy(cmd.Context(), &f, args[0])
		}),
	}
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "write nothing, and count the decisions that would be others")
	cmd.Flags().StringVar(&f.etag, "etag", "", "fail unless this is the `ETAG` of the newest version; none if there must be no version yet")
	f.addSubject(cmd)
	return cmd
}

type applyOutput struct {
	Tenant   string       `json:"tenant"`
	Version  int64        `json:"version"`
	ETag     string       `json:"etag"`
	Revision string       `json:"revision"`
	Changed  bool         `json:"changed"`
	DryRun   bool         `json:"dry_run"`
	Subjects int64        `json:"subjects"` // looked at by a dry run
	Flips    []flipOutput `json:"flips"`
	Added    []string     `json:"added"`   // permissions that a dry run would bring
	Removed  []string     `json:"removed"` // and those that it would take away
}

// flipOutput counts subjects whose decision would be another. A decision is null where the permission doesn't exist.
type flipOutput struct {
	Permission string  `json:"permission"`
	From       *string `json:"from_decision"`
	FromReason *string `json:"from_reason"`
	To         *string `json:"to_decision"`
	ToReason   *string `json:"to_reason"`
	Subjects   int64   `json:"subjects"`
}

func (c *cli) applyPolicy(ctx context.Context, f *policyFlags, path string) error {
	if !f.dryRun && (f.business || f.similarGoods) {
		return usageErrorf("--business and --similar-goods say what --dry-run supposes, and change no policy")
	}
	document, err := c.readPolicy(path)
	if err != nil {
		return err
	}
	if err := checkPolicy(path, document); err != nil {
		return err
	}
	id, err := newRequestID()
	if err != nil {
		return err
	}
	var reply *consentv1.PutPolicyResponse
	err = c.call(ctx, func(ctx context.Context, server *connection) (err error) {
		reply, err = server.policies.PutPolicy(ctx, &consentv1.PutPolicyRequest{
			Tenant: c.tenant, Document: string(document), Etag: f.etag, RequestId: id, ValidateOnly: f.dryRun,
			SubjectType: f.subjectType(), SimilarGoods: f.similarGoods,
		})
		return err
	})
	if err != nil {
		return err
	}
	out := newApplyOutput(reply, f.dryRun)
	if f.dryRun && out.Changed {
		if err := c.comparePermissions(ctx, &out, reply.GetPolicy().GetPermissions()); err != nil {
			return err
		}
	}
	return c.print(out, out.table)
}

// comparePermissions says which permissions the policy would add and remove. That matters also before anybody is recorded.
func (c *cli) comparePermissions(ctx context.Context, out *applyOutput, next []string) error {
	before, err := c.permissions(ctx)
	if s, ok := status.FromError(err); ok && s.Code() == codes.NotFound { // there is no policy yet
		err = nil
	}
	out.Added, out.Removed = without(next, before), without(before, next)
	return err
}

// without returns the names that aren't among others.
func without(names, others []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(others, name) })
}

// checkPolicy names every fault with its line before a server is asked, which may not know the file's name.
func checkPolicy(path string, document []byte) error {
	_, err := consent.ParsePolicy(document)
	faults, err := faultsOf(err)
	if err != nil || len(faults) == 0 {
		return err
	}
	lines := make([]string, 0, len(faults))
	for _, fault := range faults {
		lines = append(lines, "  "+fault.at(path))
	}
	return fmt.Errorf("the policy isn't valid, and wasn't applied:\n%s", strings.Join(lines, "\n"))
}

func newApplyOutput(reply *consentv1.PutPolicyResponse, dryRun bool) applyOutput {
	policy := reply.GetPolicy()
	out := applyOutput{
		Tenant: policy.GetTenant(), Version: policy.GetVersion(), ETag: policy.GetEtag(), Revision: policy.GetRevision(),
		Changed: reply.GetChanged(), DryRun: dryRun, Subjects: reply.GetSubjects(), Flips: []flipOutput{}, Added: []string{}, Removed: []string{},
	}
	for _, flip := range reply.GetFlips() {
		shown := flipOutput{Permission: flip.GetPermission(), Subjects: flip.GetSubjects()}
		shown.From, shown.FromReason = flipSide(flip.GetFromDecision(), flip.GetFromReason())
		shown.To, shown.ToReason = flipSide(flip.GetToDecision(), flip.GetToReason())
		out.Flips = append(out.Flips, shown)
	}
	return out
}

func flipSide(decision consentv1.Decision, reason consentv1.Reason) (decided, why *string) {
	if decision == consentv1.Decision_DECISION_UNSPECIFIED {
		return nil, nil
	}
	name, because := decisionName(decision), nameOf(reason)
	return &name, &because
}

func (out *applyOutput) table(w io.Writer) {
	switch {
	case !out.Changed:
		fmt.Fprintf(w, "nothing changes: this is version %d of tenant %s already (etag %s)\n", out.Version, out.Tenant, out.ETag)
		return
	case !out.DryRun:
		fmt.Fprintf(w, "version %d of tenant %s holds from now on (etag %s, revision %s)\n", out.Version, out.Tenant, out.ETag, out.Revision)
		return
	}
	fmt.Fprintf(w, "would be version %d of tenant %s; nothing was written\n", out.Version, out.Tenant)
	if len(out.Added) > 0 {
		fmt.Fprintf(w, "new permissions: %s\n", strings.Join(out.Added, ", "))
	}
	if len(out.Removed) > 0 {
		fmt.Fprintf(w, "permissions that could no longer be asked: %s\n", strings.Join(out.Removed, ", "))
	}
	if len(out.Flips) == 0 {
		fmt.Fprintf(w, "no decision about the %d subjects held would be another\n", out.Subjects)
		return
	}
	fmt.Fprintf(w, "of %d subjects held, so many would be decided otherwise:\n\nPERMISSION\tFROM\tTO\tSUBJECTS\n", out.Subjects)
	for _, flip := range out.Flips {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\n", flip.Permission, sideText(flip.From, flip.FromReason), sideText(flip.To, flip.ToReason), flip.Subjects)
	}
}

func sideText(decision, reason *string) string {
	if decision == nil {
		return "(no such permission)"
	}
	return *decision + " " + *reason
}
