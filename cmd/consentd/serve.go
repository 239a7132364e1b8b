package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/consentd/consentd/cluster"
	"github.com/consentd/consentd/server"
)

func newServeCommand(c *cli) *cobra.Command {
	var s serveConfig
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a replica",
		Long: `Run a replica. Everything it keeps lies in --data-dir, which one process at a time can use. The first
start makes the key of the pseudonyms in pseudonym.key: keep a copy of it elsewhere, because without
it no record can be found again.

SIGTERM or an interrupt ends it in good order: it says that it no longer serves, finishes what runs,
and closes. A second one ends it at once, which loses nothing that was acknowledged.`,
		Example: `  consentd serve --data-dir ./data --policy policy.yaml
  consentd serve --data-dir /var/lib/consentd --listen 127.0.0.1:7433 --listen unix:///run/consentd/consentd.sock
  consentd serve --config /etc/consentd.yaml`,
		Args: noArguments,
		RunE: c.does(func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("addr") {
				return usageErrorf("--addr is whom other commands ask; serve listens on --listen")
			}
			return c.serve(cmd.Context(), &s)
		}),
	}
	s.add(cmd)
	return cmd
}

// replica is what runs while serve does.
type replica struct {
	cli       *cli
	config    *serveConfig
	log       *slog.Logger
	listeners []net.Listener
	opsSocket net.Listener
	metrics   *prometheus.Registry
	policy    []byte // to apply; nil for none
	backend   backend
	stopping  atomic.Bool
}

func (c *cli) serve(ctx context.Context, s *serveConfig) error {
	if err := s.validate(); err != nil {
		return err
	}
	r := &replica{cli: c, config: s, log: c.newLogger(s.logLevel), metrics: prometheus.NewRegistry()}
	if err := r.prepare(ctx); err != nil {
		return err
	}
	ops := r.serveOps()
	defer ops.Close() //nolint:errcheck // the process ends
	services, err := server.New(server.Options{
		State: &r.backend, Records: &r.backend, Policies: &r.backend, Logger: r.log, Registerer: r.metrics, Ready: r.ready,
	})
	if err != nil {
		closeAll(r.listeners)
		return err
	}
	served := make(chan error, 1)
	go func() { served <- services.Serve(r.listeners...) }()
	return r.open(ctx, services, served)
}

// open reads the records and answers from them, until it ends. Until it answers, callers are told that it doesn't yet.
func (r *replica) open(ctx context.Context, services *server.Server, served <-chan error) error {
	s := r.config
	node, err := cluster.Open(ctx, cluster.Options{
		DataDir: s.dataDir, PseudonymKeyFile: s.keyFile, MaxStaleness: s.maxStaleness, Logger: r.log,
	})
	if err != nil {
		return errors.Join(err, r.drain(services))
	}
	r.metrics.MustRegister(nodeCollectors(node)...)
	err = r.run(ctx, node, services, served)
	var failure *nodeFailure
	if errors.As(err, &failure) {
		return err // a node that failed may hang when it is closed
	}
	err = errors.Join(err, removeReadyFile(s.readyFile), node.Close()) // in this order: once closed, the next process may be ready
	r.log.Info("stopped")
	return err
}

// prepare does what can fail for a mistake before the data is touched.
func (r *replica) prepare(ctx context.Context) (err error) {
	if r.config.policy != "" {
		if r.policy, err = r.cli.readPolicy(r.config.policy); err != nil {
			return err
		}
		if err := checkPolicy(r.config.policy, r.policy); err != nil {
			return err
		}
	}
	r.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r.listen(ctx)
}

// listen opens every address, or none.
func (r *replica) listen(ctx context.Context) error {
	for _, addr := range append(slices.Clone(r.config.listen), r.config.opsListen) {
		listener, err := server.Listen(ctx, addr, server.ListenOptions{AllowNonLoopback: r.config.anywhere})
		if err != nil {
			closeAll(r.listeners)
			return listenError(addr, err)
		}
		r.listeners = append(r.listeners, listener)
	}
	last := len(r.listeners) - 1
	r.listeners, r.opsSocket = r.listeners[:last], r.listeners[last]
	return nil
}

// ready says why the replica doesn't answer yet, or no longer.
func (r *replica) ready() error {
	node, err := r.backend.open()
	switch {
	case r.stopping.Load():
		return errors.New("stopping")
	case err != nil:
		return errors.New("starting: the records are being read")
	default:
		return node.Ready()
	}
}

// serveOps answers while the node is still opened, so that whoever starts the process can tell slow from dead.
func (r *replica) serveOps() *http.Server {
	ops := &http.Server{
		Handler:           server.OpsHandler(server.OpsOptions{Gatherer: r.metrics, Ready: r.ready, Profiling: r.config.pprof}),
		ReadHeaderTimeout: 5 * time.Second,
		ErrorLog:          slog.NewLogLogger(r.log.Handler(), slog.LevelWarn),
	}
	go func() {
		if err := ops.Serve(r.opsSocket); !errors.Is(err, http.ErrServerClosed) {
			r.log.Error("the ops address can't be served", "error", err)
		}
	}()
	return ops
}

// nodeFailure is a fault after which the process must not go on.
type nodeFailure struct{ err error }

func (f *nodeFailure) Error() string { return "this replica can't go on: " + f.err.Error() }

func (f *nodeFailure) Unwrap() error { return f.err }

// run answers until a signal, a failure of the node, or one of the server.
func (r *replica) run(ctx context.Context, node *cluster.Node, services *server.Server, served <-chan error) error {
	// Only now is a ready file sure to be a stale one: until the directory and the addresses are this process's, it may be of another.
	if err := removeReadyFile(r.config.readyFile); err != nil {
		return errors.Join(err, r.drain(services))
	}
	ready, err := r.start(ctx, node)
	if err != nil || !ready {
		return errors.Join(err, r.drain(services))
	}
	r.backend.node.Store(node)
	services.UpdateHealth()
	if err := r.announce(); err != nil {
		return errors.Join(err, r.drain(services))
	}
	select {
	case err := <-served:
		return fmt.Errorf("serving ended: %w", err)
	case err := <-node.Failed():
		return &nodeFailure{err}
	case <-ctx.Done():
		return r.drain(services)
	}
}
