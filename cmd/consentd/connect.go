package main

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// maxReply is how long a reply may be. The longest are pages of a history and explanations of a whole policy.
const maxReply = 32 << 20

// connection is a server to talk to.
type connection struct {
	conn        *grpc.ClientConn
	permissions consentv1.PermissionServiceClient
	records     consentv1.RecordServiceClient
	policies    consentv1.PolicyServiceClient
	cluster     consentv1.ClusterServiceClient
}

// connect prepares the connection; the first call makes it.
func (c *cli) connect() (*connection, error) {
	target, err := dialTarget(c.addr)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUserAgent("consentd-cli/"+version),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReply)),
	)
	if err != nil {
		return nil, usageErrorf("--addr %q: %w", c.addr, err)
	}
	return &connection{
		conn:        conn,
		permissions: consentv1.NewPermissionServiceClient(conn),
		records:     consentv1.NewRecordServiceClient(conn),
		policies:    consentv1.NewPolicyServiceClient(conn),
		cluster:     consentv1.NewClusterServiceClient(conn),
	}, nil
}

// close ends the connection. Nothing is lost when that fails.
func (c *connection) close() { _ = c.conn.Close() }

// call runs one question to the server within the timeout.
func (c *cli) call(ctx context.Context, f func(context.Context, *connection) error) error {
	return c.callWithin(ctx, c.timeout, f)
}

func (c *cli) callWithin(ctx context.Context, timeout time.Duration, f func(context.Context, *connection) error) error {
	server, err := c.connect()
	if err != nil {
		return err
	}
	defer server.close()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return f(ctx, server)
}

// dialTarget is what gRPC calls an address. A relative path of a socket is made absolute, because only those are names everywhere.
func dialTarget(addr string) (string, error) {
	if path, isUnix := unixPath(addr); isUnix {
		absolute, err := filepath.Abs(path)
		if path == "" || err != nil {
			return "", usageErrorf("--addr %q names no socket: write unix:///path", addr)
		}
		return "unix://" + absolute, nil
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", usageErrorf("--addr %q is neither host:port nor unix:///path", addr)
	}
	if _, err := net.LookupPort("tcp", port); err != nil { //nolint:noctx // ports have names in a file
		return "", usageErrorf("--addr %q has no port: one is a number up to 65535", addr)
	}
	return "dns:///" + addr, nil
}

// unixPath returns the path of a unix socket's address.
func unixPath(addr string) (string, bool) {
	path, isUnix := strings.CutPrefix(addr, "unix:")
	return strings.TrimPrefix(path, "//"), isUnix
}
