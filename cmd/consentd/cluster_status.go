package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

func newClusterStatusCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Print the members and how they are",
		Long: `Print the members and how they are, as far as the replica asked can find out. A member that can't be
asked has no last contact and isn't healthy.`,
		Example: `  consentd cluster status
  consentd cluster status -o json | jq .failures_tolerated`,
		Args: noArguments,
		RunE: c.does(func(cmd *cobra.Command, _ []string) error {
			return c.clusterStatus(cmd.Context())
		}),
	}
}

type clusterOutput struct {
	ClusterID         string         `json:"cluster_id"`
	Leader            string         `json:"leader"` // empty while there is none
	Term              uint64         `json:"term"`
	Members           []memberOutput `json:"members"`
	FailuresTolerated uint32         `json:"failures_tolerated"`
	NodeID            string         `json:"node_id"` // of the replica that answered
	MaxStaleness      *string        `json:"max_staleness"`
}

type memberOutput struct {
	ID             string   `json:"id"`
	Address        string   `json:"address"`
	Role           string   `json:"role"`
	Applied        *uint64  `json:"applied"`          // null if it can't be asked
	TrailsLeaderBy *uint64  `json:"trails_leader_by"` // null if it or the leader can't be asked
	LastContactMS  *int64   `json:"last_contact_ms"`  // null if it can't be asked, or never heard of the leader
	Version        string   `json:"version"`
	Healthy        bool     `json:"healthy"`
	Because        string   `json:"unhealthy_because"`
	Listen         []string `json:"listen"`
}

func (c *cli) clusterStatus(ctx context.Context) error {
	reply, err := askCluster(ctx, c, consentv1.ClusterServiceClient.GetClusterStatus, &consentv1.GetClusterStatusRequest{})
	if err != nil {
		return err
	}
	out := newClusterOutput(reply)
	return c.print(out, out.table)
}

func newClusterOutput(reply *consentv1.GetClusterStatusResponse) clusterOutput {
	out := clusterOutput{
		ClusterID: reply.GetClusterId(), Leader: reply.GetLeader(), Term: reply.GetTerm(), Members: []memberOutput{},
		FailuresTolerated: reply.GetFailuresTolerated(), NodeID: reply.GetNodeId(),
	}
	if bound := reply.GetMaxStaleness(); bound != nil {
		text := durationText(bound)
		out.MaxStaleness = &text
	}
	leads := slices.ContainsFunc(reply.GetMembers(), func(m *consentv1.Member) bool { return m.GetId() == out.Leader && m.GetAnswered() })
	for _, m := range reply.GetMembers() {
		out.Members = append(out.Members, newMemberOutput(m, leads))
	}
	return out
}

// newMemberOutput returns what is known of a member. Unless the leader could be asked, it can't be told who trails it.
func newMemberOutput(m *consentv1.Member, leaderAnswered bool) memberOutput {
	out := memberOutput{
		ID: m.GetId(), Address: m.GetAddress(), Role: nameOf(m.GetRole()), Version: m.GetVersion(), Healthy: m.GetHealthy(),
		Because: m.GetUnhealthyBecause(), Listen: append([]string{}, m.GetListen()...),
	}
	if m.GetAnswered() {
		applied := m.GetApplied()
		out.Applied = &applied
	}
	if m.GetAnswered() && leaderAnswered {
		trails := m.GetTrailsLeaderBy()
		out.TrailsLeaderBy = &trails
	}
	if contact := m.GetLastContact(); contact != nil {
		ms := contact.AsDuration().Milliseconds()
		out.LastContactMS = &ms
	}
	return out
}

func (out *clusterOutput) table(w io.Writer) {
	fmt.Fprintln(w, "ID\tROLE\tHEALTHY\tAPPLIED\tTRAILS BY\tLAST CONTACT\tVERSION\tADDRESS")
	for _, m := range out.Members {
		healthy, contact := "no", "-"
		if m.Healthy {
			healthy = "yes"
		}
		if m.LastContactMS != nil {
			contact = (time.Duration(*m.LastContactMS) * time.Millisecond).String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.ID, m.Role, healthy, figure(m.Applied), figure(m.TrailsLeaderBy), contact,
			orDash(m.Version), m.Address)
	}
	leads := "nobody leads: nothing can be written"
	if out.Leader != "" {
		leads = fmt.Sprintf("%s leads in term %d; %s", out.Leader, out.Term, toleranceText(out.FailuresTolerated))
	}
	fmt.Fprintf(w, "\ncluster %s: %s\n", out.ClusterID, leads)
	for _, m := range out.Members {
		if m.Because != "" {
			fmt.Fprintf(w, "%s %s\n", m.ID, m.Because)
		}
	}
	if out.MaxStaleness != nil {
		fmt.Fprintf(w, "%s answers no check from data that are more than %s old\n", out.NodeID, *out.MaxStaleness)
	}
}

// figure returns a number in words, and a dash for one that isn't known.
func figure(n *uint64) string {
	if n == nil {
		return "-"
	}
	return strconv.FormatUint(*n, 10)
}

// toleranceText says how many voters may fail.
func toleranceText(failures uint32) string {
	switch failures {
	case 0:
		return "no voter may fail"
	case 1:
		return "1 voter may fail"
	}
	return fmt.Sprintf("%d voters may fail", failures)
}
