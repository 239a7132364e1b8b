package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"time"

	peerv1 "github.com/consentd/consentd/proto/peer/v1"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// maxPeerCalls run at once on a connection. What a leader can't take it refuses itself; the rest waits with the replica that passes it on.
const maxPeerCalls = 8192

// peerMetrics begins the names of metrics about the calls of other replicas, which are the API's otherwise. An error between replicas is no
// caller's, and mustn't look like one.
const peerMetrics = "consentd_peers_"

// PeerBackend is what other replicas ask of this one, once they have proven to belong to its cluster.
type PeerBackend interface {
	// Term returns the current Raft term, read from the stable store.
	Term(ctx context.Context) (uint64, error)
	// Cover returns an index that covers every write acknowledged before the call, if this replica leads.
	Cover(ctx context.Context) (uint64, error)
	// Propose returns the outcome of each command, if this replica leads.
	Propose(ctx context.Context, commands [][]byte) (outcomes [][]byte, err error)
	// Report returns where this replica stands.
	Report(ctx context.Context) (*peerv1.ReportResponse, error)
	// ChangeMembership changes who belongs to the cluster, if this replica leads.
	ChangeMembership(ctx context.Context, change *peerv1.ChangeMembershipRequest) error
}

// PeerServerOptions say what other replicas are answered from. Backend is required.
type PeerServerOptions struct {
	Backend    PeerBackend
	Logger     *slog.Logger          // none: nothing is logged
	Registerer prometheus.Registerer // where metrics are registered. None: nowhere
}

// PeerServer answers the calls of other replicas.
type PeerServer struct {
	grpc *grpc.Server
}

// NewPeerServer returns a server that doesn't listen yet, or an error if Backend is missing.
func NewPeerServer(o PeerServerOptions) (*PeerServer, error) {
	if o.Backend == nil {
		return nil, errors.New("server: PeerServerOptions.Backend is missing: give what other replicas are answered from")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	metrics := newCallMetrics(func(string, error, time.Duration) {}) // a slow call is the business of the replica that asked
	s := &PeerServer{grpc: grpc.NewServer(
		grpc.MaxRecvMsgSize(maxPeerBytes),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.MaxConcurrentStreams(maxPeerCalls),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: peerPing / 2, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: peerPing, Timeout: peerPingTimeout}),
		grpc.UnaryInterceptor(counted(metrics, guardPeers(o.Logger))),
		grpc.WaitForHandlers(true),
	)}
	peerv1.RegisterPeerServiceServer(s.grpc, &peerService{backend: o.Backend})
	metrics.resolve(s.grpc.GetServiceInfo())
	if o.Registerer == nil {
		return s, nil
	}
	named := prometheus.WrapRegistererWithPrefix(peerMetrics, o.Registerer)
	for _, collector := range metrics.collectors() {
		if err := named.Register(collector); err != nil {
			return nil, fmt.Errorf("server: registering metrics of the peers: %w", err)
		}
	}
	return s, nil
}

// counted is an interceptor whose calls are counted.
func counted(m *callMetrics, inner grpc.UnaryServerInterceptor) grpc.UnaryServerInterceptor {
	reported := interceptors.UnaryServerInterceptor(m)
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		return reported(ctx, request, info, func(ctx context.Context, request any) (any, error) {
			return inner(ctx, request, info, handler)
		})
	}
}

// Serve answers calls on a listener until Stop, and then returns nil. It closes the listener. It may be called once.
func (s *PeerServer) Serve(l net.Listener) error {
	if err := s.grpc.Serve(l); !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

// Stop takes no more calls, and returns once those that run have ended, or are ended with the context: then its error is returned.
func (s *PeerServer) Stop(ctx context.Context) error {
	cut := context.AfterFunc(ctx, s.grpc.Stop)
	s.grpc.GracefulStop()
	if !cut() {
		s.grpc.Stop() // returns once the one that runs has
		return ctx.Err()
	}
	return nil
}

// guardPeers turns the errors and panics of handlers into statuses. Errors are the business of the replica that asked, which gets their
// words: between two leaders there are many, and none is a fault.
func guardPeers(log *slog.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (reply any, err error) {
		defer func() {
			if cause := recover(); cause != nil {
				stack := make([]byte, maxStackDump)
				stack = stack[:runtime.Stack(stack, false)]
				log.LogAttrs(ctx, slog.LevelError, "a replica's call panicked",
					slog.String("method", info.FullMethod), slog.Any("cause", cause), slog.String("stack", string(stack)))
				reply, err = nil, saidStatus(errPanic).Err()
			}
		}()
		if reply, err = handler(ctx, request); err != nil {
			return nil, saidStatus(err).Err()
		}
		return reply, nil
	}
}

// peerService implements the service over the backend.
type peerService struct {
	peerv1.UnimplementedPeerServiceServer
	backend PeerBackend
}

// Term answers with the current Raft term.
func (s *peerService) Term(ctx context.Context, _ *peerv1.TermRequest) (*peerv1.TermResponse, error) {
	term, err := s.backend.Term(ctx)
	return &peerv1.TermResponse{Term: term}, err
}

// Cover answers with a covering index.
func (s *peerService) Cover(ctx context.Context, _ *peerv1.CoverRequest) (*peerv1.CoverResponse, error) {
	index, err := s.backend.Cover(ctx)
	return &peerv1.CoverResponse{Index: index}, err
}

// Propose answers with the outcomes of commands.
func (s *peerService) Propose(ctx context.Context, r *peerv1.ProposeRequest) (*peerv1.ProposeResponse, error) {
	outcomes, err := s.backend.Propose(ctx, r.GetCommands())
	return &peerv1.ProposeResponse{Outcomes: outcomes}, err
}

// Report answers where this replica stands.
func (s *peerService) Report(ctx context.Context, _ *peerv1.ReportRequest) (*peerv1.ReportResponse, error) {
	return s.backend.Report(ctx)
}

// ChangeMembership changes who belongs to the cluster.
func (s *peerService) ChangeMembership(
	ctx context.Context, r *peerv1.ChangeMembershipRequest,
) (*peerv1.ChangeMembershipResponse, error) {
	return &peerv1.ChangeMembershipResponse{}, s.backend.ChangeMembership(ctx, r)
}
