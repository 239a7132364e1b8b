package client

import (
	"context"
	"fmt"
	"sync"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// Client asks consentd. It is safe for use by any number of goroutines, and best shared by all of a process. Close it when no more is asked.
type Client struct {
	*shared
	tenant string
}

// shared is what clients for several tenants have in common.
type shared struct {
	o           options
	conn        *grpc.ClientConn
	permissions consentv1.PermissionServiceClient
	records     consentv1.RecordServiceClient
	lanes       lanes
	near        *nearDoor // nil: checks aren't answered here
	written     written
	closing     sync.Once
}

// Dial connects to consentd at a target as Connect takes it, and returns once a replica can be asked, or with what kept it from that when the
// context ends. Who doesn't want to wait says WithoutWaiting.
func Dial(ctx context.Context, target string, opts ...Option) (*Client, error) {
	o := newOptions(opts)
	conn, err := Connect(target, o.conn)
	if err != nil {
		return nil, err
	}
	c := &Client{tenant: o.tenant, shared: &shared{
		o: o, conn: conn, permissions: consentv1.NewPermissionServiceClient(conn), records: consentv1.NewRecordServiceClient(conn),
	}}
	c.lanes.start(c.permissions)
	if err := c.openNear(); err != nil {
		c.Close()
		return nil, err
	}
	if o.lazy {
		return c, nil
	}
	if err := c.Ready(ctx); err != nil {
		c.Close()
		return nil, fmt.Errorf("dialing %s: %w", target, err)
	}
	return c, nil
}

// Ready returns nil once a replica can be asked, and the near cache, if there is one, can answer; or the error that keeps it from that when
// the context ends.
func (c *Client) Ready(ctx context.Context) error {
	ctx, cancel := c.limit(ctx)
	defer cancel()
	var tries pauses
	var failed error
	for {
		err := c.ready(ctx)
		if err == nil {
			return nil
		}
		if failed == nil || ctx.Err() == nil { // a try that the end of the context cut off tells less than the one before
			failed = err
		}
		if wait(ctx, tries.next(err)) != nil {
			return failed
		}
	}
}

func (c *Client) ready(ctx context.Context) error {
	_, err := healthpb.NewHealthClient(c.conn).Check(ctx, &healthpb.HealthCheckRequest{})
	err = errorOf(err)
	if err != nil && !isAny(err, ErrUnimplemented) { // whoever doesn't say how it is may be asked
		return err
	}
	return c.near.ready()
}

// ForTenant returns a client for another tenant, which shares connection, stream and near cache with this one.
func (c *Client) ForTenant(name string) *Client {
	return &Client{shared: c.shared, tenant: tenantOr(name)}
}

// Conn returns the connection, for calls that the Client has no method for.
func (c *Client) Conn() grpc.ClientConnInterface { return c.conn }

// Close ends the connection, and the near cache, of this client and of those that share them. Calls that run end with ErrClosed, and so do later
// ones. It may be called again.
func (c *Client) Close() {
	c.closing.Do(func() {
		c.lanes.close()
		c.near.close()
		c.conn.Close() //nolint:errcheck // it tells only of a second closing
	})
}

// limit gives a context without a deadline that of WithTimeout.
func (c *Client) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return limit(ctx, c.until(ctx))
}
