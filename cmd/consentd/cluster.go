package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

func newClusterCommand(c *cli) *cobra.Command {
	group := newGroup("cluster", "Look after a cluster: its members, and copies of what it holds",
		newClusterStatusCommand(c),
		newClusterJoinCommand(c),
		newClusterRemoveCommand(c),
		newClusterPromoteCommand(c),
		newClusterDemoteCommand(c),
		newClusterTransferCommand(c),
		newClusterSnapshotCommand(c),
		newClusterBackupCommand(c),
		newClusterRestoreCommand(c),
		newClusterInspectCommand(c),
	)
	group.Long = `Look after a cluster: its members, and copies of what it holds. Any replica can be asked (--addr): it passes
on what only the leader can do. A snapshot is taken by the replica asked, join is for one that waits, and
inspect asks none.`
	return group
}

// askCluster asks one question about the cluster.
func askCluster[Request, Reply any](
	ctx context.Context, c *cli,
	ask func(consentv1.ClusterServiceClient, context.Context, *Request, ...grpc.CallOption) (*Reply, error), request *Request,
) (reply *Reply, err error) {
	err = c.call(ctx, func(ctx context.Context, server *connection) (err error) {
		reply, err = ask(server.cluster, ctx, request)
		return err
	})
	return reply, err
}

// oneMember takes the id of a member.
func oneMember(_ *cobra.Command, args []string) error {
	if len(args) != 1 || strings.TrimSpace(args[0]) == "" {
		return usageErrorf("name one member by its id: 'consentd cluster status' prints them")
	}
	return nil
}
