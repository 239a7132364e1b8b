package client

import (
	"crypto/tls"
	"log/slog"
	"time"

	"google.golang.org/grpc"
)

const (
	defaultTenant  = "default"
	defaultTimeout = 5 * time.Second
)

// Option changes what a Client does.
type Option func(*options)

type options struct {
	conn         ConnOptions
	tenant       string
	timeout      time.Duration
	maxStaleness time.Duration
	nearBytes    int64
	nearTenants  []string
	unary        bool
	lazy         bool
	logger       *slog.Logger
	now          func() time.Time
}

func newOptions(opts []Option) options {
	o := options{tenant: defaultTenant, timeout: defaultTimeout, logger: slog.New(slog.DiscardHandler), now: time.Now}
	o.conn.UserAgent = "consentd-go"
	for _, change := range opts {
		change(&o)
	}
	return o
}

// WithTenant says whose subjects are asked about: those of the tenant "default", if it is left out. See also Client.ForTenant.
func WithTenant(name string) Option {
	return func(o *options) { o.tenant = tenantOr(name) }
}

func tenantOr(name string) string {
	if name == "" {
		return defaultTenant
	}
	return name
}

// WithTimeout says how long a call whose context has no deadline may take, with all that is tried again. It is 5 s, if it is left out.
func WithTimeout(d time.Duration) Option { return func(o *options) { o.timeout = d } }

// WithMaxStaleness takes no answer from data that may be as old as d or older. It can only lower the cluster's bound.
func WithMaxStaleness(d time.Duration) Option { return func(o *options) { o.maxStaleness = d } }

// WithNearCache answers checks from the process's own memory, of which it uses so many bytes: at least 16 MiB are of use. What isn't there is
// fetched once. The cache follows what changes at the replicas: it never answers from data older than the staleness bound, and a check that it
// can't answer is sent to a replica. It holds subjects of the tenants named, or of the one of WithTenant.
func WithNearCache(bytes int64, tenants ...string) Option {
	return func(o *options) { o.nearBytes, o.nearTenants = bytes, tenants }
}

// WithTLS encrypts what is sent, and verifies who answers, as the configuration says.
func WithTLS(c *tls.Config) Option { return func(o *options) { o.conn.TLS = c } }

// WithPlaintext allows targets on other machines without TLS: for networks that encrypt by themselves, as a service mesh does.
func WithPlaintext() Option { return func(o *options) { o.conn.Plaintext = true } }

// WithLogger says where the near cache tells what becomes of its stream. Nothing is told, if it is left out.
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.logger = l } }

// WithDialOptions changes the connection by options of the library, as for tracing.
func WithDialOptions(more ...grpc.DialOption) Option {
	return func(o *options) { o.conn.More = append(o.conn.More, more...) }
}

// WithUnaryCalls asks by a call of its own for each check, instead of by the stream that all share: slower, but a proxy on the way can spread
// such calls over replicas.
func WithUnaryCalls() Option { return func(o *options) { o.unary = true } }

// WithoutWaiting lets Dial return at once. Calls made before a replica can be reached are errors.
func WithoutWaiting() Option { return func(o *options) { o.lazy = true } }
