package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

type joinOutput struct {
	ClusterID string `json:"cluster_id"`
}

func newClusterJoinCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "join ADDR ...",
		Short: "Tell a new replica that waits which cluster to join",
		Long: `Tell a new replica that waits which cluster to join. --addr is the new replica's; the arguments are
--listen addresses of members, of which one that answers is enough. A replica that was started with --join needs no telling.`,
		Example: "  consentd cluster join 10.0.0.1:7433 10.0.0.2:7433 --addr 10.0.0.4:7433",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageErrorf("name the --listen address of a member of the cluster, best of several")
			}
			return nil
		},
		RunE: c.does(func(cmd *cobra.Command, args []string) error {
			return c.joinCluster(cmd.Context(), strings.Split(strings.Join(args, ","), ","))
		}),
	}
}

func (c *cli) joinCluster(ctx context.Context, peers []string) error {
	if err := checkAddresses("a member", peers); err != nil {
		return err
	}
	reply, err := askCluster(ctx, c, consentv1.ClusterServiceClient.JoinCluster, &consentv1.JoinClusterRequest{Peers: peers})
	if err != nil {
		return err
	}
	out := joinOutput{ClusterID: reply.GetClusterId()}
	return c.print(out, func(w io.Writer) {
		fmt.Fprintf(w, "belongs to cluster %s\n", out.ClusterID)
	})
}

// checkAddresses finds what can't be dialled before anybody else is asked to.
func checkAddresses(whose string, addresses []string) error {
	for _, addr := range addresses {
		if _, err := dialTarget(addr); err != nil {
			return usageErrorf("%q can't be the address of %s: write host:port or unix:///path", addr, whose)
		}
	}
	return nil
}

type changedOutput struct {
	ID string `json:"id"`
}

// printChange says what became of a member.
func (c *cli) printChange(id, became string) error {
	return c.print(changedOutput{ID: id}, func(w io.Writer) { fmt.Fprintf(w, "%s %s\n", id, became) })
}

func newClusterRemoveCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "remove ID",
		Short: "Take a replica out of the cluster",
		Long: `Take a replica out of the cluster. It ends, and can't come back with the data it has: start it with an
empty directory, and it comes in as a new replica.`,
		Example: "  consentd cluster remove n3",
		Args:    oneMember,
		RunE: c.does(func(cmd *cobra.Command, args []string) error {
			_, err := askCluster(cmd.Context(), c, consentv1.ClusterServiceClient.RemoveMember, &consentv1.RemoveMemberRequest{Id: args[0]})
			if err != nil {
				return err
			}
			return c.printChange(args[0], "is no member any more")
		}),
	}
}

func newClusterPromoteCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "promote ID",
		Short: "Make a learner that has caught up a voter",
		Long: `Make a learner that has caught up a voter. Learners are promoted by themselves, unless they were started
with --learner or demoted by hand.`,
		Example: "  consentd cluster promote n4",
		Args:    oneMember,
		RunE: c.does(func(cmd *cobra.Command, args []string) error {
			_, err := askCluster(cmd.Context(), c, consentv1.ClusterServiceClient.PromoteMember, &consentv1.PromoteMemberRequest{Id: args[0]})
			if err != nil {
				return err
			}
			return c.printChange(args[0], "votes")
		}),
	}
}

func newClusterDemoteCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "demote ID",
		Short:   "Make a voter a learner, until it is promoted",
		Example: "  consentd cluster demote n3",
		Args:    oneMember,
		RunE: c.does(func(cmd *cobra.Command, args []string) error {
			_, err := askCluster(cmd.Context(), c, consentv1.ClusterServiceClient.DemoteMember, &consentv1.DemoteMemberRequest{Id: args[0]})
			if err != nil {
				return err
			}
			return c.printChange(args[0], "is a learner until it is promoted")
		}),
	}
}

type leaderOutput struct {
	Leader string `json:"leader"`
}

func newClusterTransferCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "transfer-leader [ID]",
		Short: "Make another voter the leader",
		Example: `  consentd cluster transfer-leader
  consentd cluster transfer-leader n2`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return oneMember(cmd, args)
		},
		RunE: c.does(func(cmd *cobra.Command, args []string) error {
			return c.transferLeadership(cmd.Context(), strings.Join(args, ""))
		}),
	}
}

// transferLeadership lets the leader choose for an empty id.
func (c *cli) transferLeadership(ctx context.Context, id string) error {
	reply, err := askCluster(ctx, c, consentv1.ClusterServiceClient.TransferLeadership, &consentv1.TransferLeadershipRequest{Id: id})
	if err != nil {
		return err
	}
	out := leaderOutput{Leader: reply.GetLeader()}
	return c.print(out, func(w io.Writer) { fmt.Fprintf(w, "%s leads\n", out.Leader) })
}

type snapshotOutput struct {
	Index uint64 `json:"index"`
}

func newClusterSnapshotCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "snapshot",
		Short: "Have the replica asked take a snapshot now",
		Long: `Have the replica asked take a snapshot now, and cut its log. Replicas do so by themselves; a backup is
'consentd cluster backup'.`,
		Example: "  consentd cluster snapshot --addr 10.0.0.2:7433",
		Args:    noArguments,
		RunE: c.does(func(cmd *cobra.Command, _ []string) error {
			reply, err := askCluster(cmd.Context(), c, consentv1.ClusterServiceClient.TakeSnapshot, &consentv1.TakeSnapshotRequest{})
			if err != nil {
				return err
			}
			out := snapshotOutput{Index: reply.GetIndex()}
			return c.print(out, func(w io.Writer) { fmt.Fprintf(w, "a snapshot covers the log up to %d\n", out.Index) })
		}),
	}
}
