package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	peerv1 "github.com/consentd/consentd/proto/peer/v1"
	"github.com/consentd/consentd/proto/wire"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
)

// readyInterval is how often health follows Ready.
const readyInterval = 100 * time.Millisecond

// Options say what a server answers from. State is required; the services of what else is missing aren't there.
type Options struct {
	State     State
	Records   Records
	Policies  Policies
	Cluster   Cluster
	Discovery Discovery
	Watching  Watching // needs Policies

	// Upstream makes a sidecar of the server: connections to replicas, which answer what State can't. State has to be a Near then, and
	// Records, Policies and Cluster are the replicas'.
	Upstream grpc.ClientConnInterface

	Ready       func() error          // nil while calls can be answered; health follows it. None: always ready
	Logger      *slog.Logger          // none: nothing is logged
	Registerer  prometheus.Registerer // where metrics are registered. None: nowhere
	Now         func() time.Time      // with a monotonic reading. None: time.Now
	MaxInFlight int64                 // calls that run at once before more are shed; large ones get half. 0: 8192
}

func (o *Options) validate() error {
	_, near := o.State.(Near)
	switch {
	case o.State == nil:
		return errors.New("server: Options.State is missing: give what checks are answered from")
	case o.Watching != nil && o.Policies == nil:
		return errors.New("server: Options.Policies is missing: near caches are told of policies")
	case o.Upstream == nil:
		return nil
	case !near:
		return errors.New("server: Options.State isn't a Near, which Options.Upstream needs: give the state of a sidecar")
	case o.Records != nil || o.Policies != nil || o.Cluster != nil:
		return errors.New("server: Options.Upstream takes the place of Records, Policies and Cluster: leave them out")
	}
	return nil
}

func (o *Options) setDefaults() {
	if o.Ready == nil {
		o.Ready = func() error { return nil }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = DefaultInFlight
	}
}

// workers are goroutines that are kept for calls: their stacks have grown to what a call needs, which one made for a call would have to do
// while it answers. gRPC starts another if all are busy; each open stream keeps one busy.
const workers = 32

// Server answers the contract's calls.
type Server struct {
	core    *core
	grpc    *grpc.Server
	health  *health.Server
	metrics *callMetrics
	ready   func() error

	stop     chan struct{} // closed when health no longer follows Ready
	stopOnce sync.Once

	following sync.Mutex
}

// New returns a server that doesn't listen yet, and runs until Drain all the same. It returns an error if the options can't be, or metrics can't
// be registered.
func New(o Options) (*Server, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	o.setDefaults()
	c := newCore(o)
	metrics := newCallMetrics(c.logSlow)
	options := append(wireLimits(),
		grpc.UnaryInterceptor(c.unaryInterceptor(metrics)),
		grpc.StreamInterceptor(c.streamInterceptor(metrics)),
		grpc.ForceServerCodecV2(wire.NewCodec()),
		grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error { return errUnimplemented }),
		grpc.NumStreamWorkers(workers),
		grpc.WaitForHandlers(true),
	)
	s := &Server{
		core: c, grpc: grpc.NewServer(options...), health: health.NewServer(), metrics: metrics, ready: o.Ready, stop: make(chan struct{}),
	}
	if err := errors.Join(s.registerServices(o), s.registerMetrics(o)); err != nil {
		s.grpc.Stop()
		return nil, err
	}
	return s, nil
}

func (s *Server) registerMetrics(o Options) error {
	s.metrics.resolve(s.grpc.GetServiceInfo())
	if o.Registerer == nil {
		return nil
	}
	collectors := append(s.metrics.collectors(), &s.core.decisions)
	if o.Watching != nil {
		collectors = append(collectors, s.core.watches.collectors()...)
	}
	for _, collector := range collectors {
		if err := o.Registerer.Register(collector); err != nil {
			return fmt.Errorf("server: registering metrics: %w", err)
		}
	}
	return nil
}

func (s *Server) registerServices(o Options) error {
	permissions := &permissionService{core: s.core}
	s.grpc.RegisterService(permissionDesc(permissions), permissions)
	if o.Records != nil {
		consentv1.RegisterRecordServiceServer(s.grpc, &recordService{core: s.core})
	}
	if o.Policies != nil {
		consentv1.RegisterPolicyServiceServer(s.grpc, &policyService{core: s.core})
	}
	if o.Cluster != nil {
		consentv1.RegisterClusterServiceServer(s.grpc, &clusterService{core: s.core})
	}
	if o.Upstream != nil {
		if err := s.core.registerPassed(s.grpc, s.metrics.untimed); err != nil {
			return err
		}
	}
	if o.Watching != nil {
		consentv1.RegisterWatchServiceServer(s.grpc, &watchService{core: s.core})
	}
	if o.Discovery != nil {
		peerv1.RegisterDiscoveryServiceServer(s.grpc, &discoveryService{discovery: o.Discovery})
	}
	healthpb.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	s.followReady()
	return nil
}

// Serve answers calls on all the listeners until Drain, and then returns nil; or until one of them fails, and returns its error after
// closing the others. It closes the listeners. It may be called once.
func (s *Server) Serve(listeners ...net.Listener) error {
	if len(listeners) == 0 {
		return errors.New("server: nothing to listen on: give at least one listener")
	}
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		s.keepFollowing()
	}()
	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { failed <- s.grpc.Serve(l) }()
	}
	var first error
	for range listeners {
		if err := <-failed; err != nil && first == nil && !errors.Is(err, grpc.ErrServerStopped) {
			first = err
			s.grpc.Stop()
		}
	}
	s.stopFollowing()
	<-followed
	return first
}

// Drain stops the server gracefully: health says that it doesn't serve, no new connections or calls are taken, open streams are told to
// end, and what runs finishes. It returns once nothing runs any more. When the context ends before that, connections are closed at once
// and its error is returned.
func (s *Server) Drain(ctx context.Context) error {
	s.stopFollowing()
	s.health.Shutdown()
	s.core.endStreams()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.grpc.GracefulStop()
		s.core.streams.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.grpc.Stop()
		<-done
		return fmt.Errorf("server: not all calls finished in time: %w", ctx.Err())
	}
}
