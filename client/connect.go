package client

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/consentd/consentd/proto/wire"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // lets the library ask replicas whether they are ready
	"google.golang.org/grpc/keepalive"
)

// ErrPlaintext is returned for a target on another machine without TLS, because whoever listens on the way could read who is asked about,
// and answer.
var ErrPlaintext = errors.New("the target is on another machine, and what is sent there isn't encrypted: give TLS, or allow plaintext explicitly")

const (
	// maxReply is how long a reply may be. The longest are large batches and explanations of a whole policy.
	maxReply = 32 << 20
	// Servers send away whoever pings oftener than every ten seconds.
	pingInterval = 15 * time.Second
	pingTimeout  = 5 * time.Second
	// A replica that was restarted is looked for so often: until it is found, nothing gets through. On this machine it costs next to nothing.
	firstBackoff     = 50 * time.Millisecond
	lastBackoff      = time.Second
	lastLocalBackoff = 250 * time.Millisecond
	connectTimeout   = 2 * time.Second
)

// balancing spreads calls over all replicas that say of themselves that they are ready. One that is stale or shutting down says that it
// isn't, long before its connection ends.
const balancing = `{"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}`

// ConnOptions say how a connection is made. The zero value is for targets on this machine.
type ConnOptions struct {
	TLS       *tls.Config       // nil: none
	Plaintext bool              // allow other machines without TLS
	UserAgent string            // empty: the library's own
	More      []grpc.DialOption // the last word, as for interceptors or a dialer
}

// Connect returns a connection to one or several replicas: "host:port" and "dns:///host:port" for all addresses of a name,
// "unix:///path" for a socket, or several of them with commas between. Calls are spread over the replicas that say that they are ready,
// and what none has looked at yet is sent to another. Connect returns at once, with ErrTarget or ErrPlaintext if the target can't be used;
// connections are made by the first call, and again whenever they break.
func Connect(to string, o ConnOptions) (*grpc.ClientConn, error) {
	t, err := parseTarget(to)
	if err != nil {
		return nil, err
	}
	if p, found := t.remote(); found && o.TLS == nil && !o.Plaintext {
		return nil, fmt.Errorf("%s: %w", p, ErrPlaintext)
	}
	conn, err := grpc.NewClient(t.name(), append(o.dialOptions(t), o.More...)...)
	if err != nil {
		return nil, fmt.Errorf("target %q: %w", to, err)
	}
	return conn, nil
}

func (o ConnOptions) dialOptions(t target) []grpc.DialOption {
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(o.credentials()),
		grpc.WithDefaultServiceConfig(balancing),
		grpc.WithDisableServiceConfig(), // DNS doesn't say how to balance
		grpc.WithResolvers(list{t}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReply), grpc.ForceCodecV2(wire.NewCodec())),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingInterval, Timeout: pingTimeout, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstBackoff, Multiplier: 1.6, Jitter: 0.2, MaxDelay: t.lastBackoff()},
			MinConnectTimeout: connectTimeout,
		}),
	}
	if o.UserAgent != "" {
		options = append(options, grpc.WithUserAgent(o.UserAgent))
	}
	return options
}

// lastBackoff is how long is waited at most before the target is looked for again.
func (t target) lastBackoff() time.Duration {
	if _, found := t.remote(); found {
		return lastBackoff
	}
	return lastLocalBackoff
}

func (o ConnOptions) credentials() credentials.TransportCredentials {
	if o.TLS == nil {
		return insecure.NewCredentials()
	}
	return credentials.NewTLS(o.TLS)
}
