package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// maxPermissions is how many permissions one question may name.
const maxPermissions = 64

// checkOutput is what check prints.
type checkOutput struct {
	Subject       string           `json:"subject"`
	Revision      string           `json:"revision"`
	PolicyVersion int64            `json:"policy_version"`
	Decisions     []decisionOutput `json:"decisions"`

	age *durationpb.Duration
}

// decisionOutput is the answer for one permission. Without an answer, decision is null and error says why.
type decisionOutput struct {
	Permission  string         `json:"permission"`
	Decision    *string        `json:"decision"`
	Reason      string         `json:"reason"`
	Basis       string         `json:"basis"`
	Obligations []string       `json:"obligations"`
	NextChange  *string        `json:"next_change"`
	CacheFor    string         `json:"cache_for"`
	Error       *errorOutput   `json:"error,omitempty"`
	Steps       []object       `json:"steps,omitempty"`
	Failed      []object       `json:"failed,omitempty"`
	explained   *explainedStep // for the table
}

type explainedStep struct {
	steps  []*consentv1.Step
	failed []*consentv1.FailedCondition
}

type errorOutput struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

func newCheckCommand(c *cli) *cobra.Command {
	var q question
	var explain bool
	cmd := &cobra.Command{
		Use:   "check SUBJECT [PERMISSION ...]",
		Short: "Ask whether purposes may be pursued for a subject, and why",
		Long: `Ask whether purposes may be pursued for a subject, now, and why. Without permissions, all of the
policy are asked.

The exit code is 0 if every answer is ALLOW, 3 if any is DENY, 1 if an answer couldn't be had, and
2 if the command was called wrongly. Treat all but 0 as a no.`,
		Example: `  consentd check anna@example.com newsletter/email
  consentd check anna@example.com --explain
  consentd check anna@example.com newsletter/email newsletter/post -o json`,
		Args: subjectAndMore,
		RunE: c.does(func(cmd *cobra.Command, args []string) error {
			return c.check(cmd.Context(), &q, args[0], args[1:], explain)
		}),
	}
	cmd.Flags().BoolVar(&explain, "explain", false, "show the walk through the decision table, and what would mend a denial")
	q.addConsistency(cmd)
	q.addSubject(cmd)
	return cmd
}

// subjectAndMore wants a subject first.
func subjectAndMore(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usageErrorf("name a subject")
	}
	if strings.TrimSpace(args[0]) == "" {
		return usageErrorf("the subject is empty")
	}
	return nil
}

func (c *cli) check(ctx context.Context, q *question, subject string, permissions []string, explain bool) error {
	out := checkOutput{Subject: subject, Decisions: []decisionOutput{}}
	err := c.call(ctx, func(ctx context.Context, server *connection) error {
		if len(permissions) == 0 {
			policy, err := server.policies.GetPolicy(ctx, &consentv1.GetPolicyRequest{Tenant: c.tenant})
			if err != nil {
				return err
			}
			permissions = policy.GetPolicy().GetPermissions()
		}
		ask := c.ask
		if explain {
			ask = c.explain
		}
		for chunk := range slices.Chunk(permissions, maxPermissions) {
			if err := ask(ctx, server, q, chunk, &out); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.nameUnknown(ctx, &out)
	if err := c.print(out, out.table(explain)); err != nil {
		return err
	}
	if c.format == formatTable {
		c.messagef("policy version %d, revision %s, data %s old", out.PolicyVersion, out.Revision, out.age.AsDuration().Round(time.Millisecond))
	}
	return out.verdict(c)
}

// nameUnknown says with each permission that the policy doesn't have which there are.
func (c *cli) nameUnknown(ctx context.Context, out *checkOutput) {
	var permissions []string
	for _, decision := range out.Decisions {
		if decision.Error == nil || decision.Error.Reason != "UNKNOWN_PERMISSION" {
			continue
		}
		if permissions == nil {
			var err error
			if permissions, err = c.permissions(ctx); err != nil || len(permissions) == 0 {
				return
			}
		}
		if !slices.Contains(permissions, decision.Permission) {
			decision.Error.Message = c.noPermission(decision.Permission, permissions).Error()
		}
	}
}

// ask adds the answers for some permissions.
func (c *cli) ask(ctx context.Context, server *connection, q *question, permissions []string, out *checkOutput) error {
	reply, err := server.permissions.Check(ctx, &consentv1.CheckRequest{
		Tenant: c.tenant, Subject: out.Subject, Permissions: permissions,
		SubjectType: q.subjectType(), SimilarGoods: q.similarGoods, Consistency: q.consistency(),
	})
	if err != nil {
		return err
	}
	out.add(reply.GetRevision(), reply.GetPolicyVersion(), reply.GetAge())
	for _, result := range reply.GetResults() {
		out.Decisions = append(out.Decisions, newDecision(result.GetPermission(), result.GetAnswer(), result.GetStatus()))
	}
	return nil
}

// explain adds the answers for some permissions, with the way that led there.
func (c *cli) explain(ctx context.Context, server *connection, q *question, permissions []string, out *checkOutput) error {
	reply, err := server.permissions.Explain(ctx, &consentv1.ExplainRequest{
		Tenant: c.tenant, Subject: out.Subject, Permissions: permissions,
		SubjectType: q.subjectType(), SimilarGoods: q.similarGoods, Consistency: q.consistency(),
	})
	if err != nil {
		return err
	}
	out.add(reply.GetRevision(), reply.GetPolicyVersion(), reply.GetAge())
	for _, explanation := range reply.GetExplanations() {
		decision := newDecision(explanation.GetPermission(), explanation.GetAnswer(), explanation.GetStatus())
		for _, step := range explanation.GetSteps() {
			decision.Steps = append(decision.Steps, messageOutput(step))
		}
		for _, failed := range explanation.GetFailed() {
			decision.Failed = append(decision.Failed, messageOutput(failed))
		}
		decision.explained = &explainedStep{steps: explanation.GetSteps(), failed: explanation.GetFailed()}
		out.Decisions = append(out.Decisions, decision)
	}
	return nil
}

// add takes what a reply says of all its answers. Of several replies the first one's revision holds: later ones are at least as new.
func (out *checkOutput) add(revision string, policy int64, age *durationpb.Duration) {
	if out.Revision == "" {
		out.Revision = revision
	}
	out.PolicyVersion, out.age = policy, age
}

// newDecision shows an answer. One without answer and status, or with a decision that this version doesn't know, isn't an ALLOW.
func newDecision(permission string, answer *consentv1.Answer, failure *statuspb.Status) decisionOutput {
	out := decisionOutput{
		Permission: permission, Reason: nameOf(answer.GetReason()), Basis: nameOf(answer.GetBasis()),
		Obligations: obligationNames(answer.GetObligations()),
		NextChange:  outputTime(answer.GetNextChange()), CacheFor: answer.GetCacheFor().AsDuration().Truncate(time.Millisecond).String(),
	}
	switch {
	case failure != nil:
		out.Error = &errorOutput{Reason: reasonOf(failure), Message: statusInWords(failure)}
	case answer == nil:
		out.Error = &errorOutput{Reason: "UNANSWERED", Message: "the server gave no answer"}
	default:
		decision := decisionName(answer.GetDecision())
		out.Decision = &decision
	}
	return out
}

// decisionName takes everything but ALLOW as the denial that it is.
func decisionName(decision consentv1.Decision) string {
	if decision == consentv1.Decision_DECISION_ALLOW {
		return nameOf(decision)
	}
	return nameOf(consentv1.Decision_DECISION_DENY)
}

// verdict is the exit code. A missing answer counts more than a denial, so that it is never taken for one.
func (out *checkOutput) verdict(c *cli) error {
	var missing []string
	denied := false
	for _, decision := range out.Decisions {
		switch {
		case decision.Error != nil:
			missing = append(missing, fmt.Sprintf("%s: %s", decision.Permission, decision.Error.Message))
		case *decision.Decision != nameOf(consentv1.Decision_DECISION_ALLOW):
			denied = true
		}
	}
	switch {
	case len(missing) > 0:
		for _, line := range missing {
			c.messagef("consentd: no answer for %s", line)
		}
		return quietly(exitFailed)
	case len(out.Decisions) == 0:
		return fmt.Errorf("the policy of tenant %s declares no permission to ask about", c.tenant)
	case denied:
		return quietly(exitDenied)
	}
	return nil
}

func (out *checkOutput) table(explain bool) func(io.Writer) {
	return func(w io.Writer) {
		if explain {
			for _, decision := range out.Decisions {
				decision.printWalk(w)
			}
			return
		}
		fmt.Fprintln(w, "PERMISSION\tDECISION\tREASON\tBASIS\tOBLIGATIONS\tNEXT CHANGE\tCACHE FOR")
		for _, d := range out.Decisions {
			if d.Error != nil {
				fmt.Fprintf(w, "%s\t-\t%s\t-\t-\t-\t-\n", d.Permission, d.Error.Reason)
				continue
			}
			next := "-"
			if d.NextChange != nil {
				next = *d.NextChange
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", d.Permission, *d.Decision, d.Reason, orDash(d.Basis),
				orDash(strings.Join(d.Obligations, ", ")), next, d.CacheFor)
		}
	}
}
