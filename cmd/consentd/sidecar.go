package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/consentd/consentd/client"
	"github.com/consentd/consentd/server"
)

func newSidecarCommand(c *cli) *cobra.Command {
	var s sidecarConfig
	cmd := &cobra.Command{
		Use:   "sidecar",
		Short: "Run a sidecar, which answers beside an application from its own memory",
		Long: `Run a sidecar. It answers beside an application what a replica would, and holds the records of the
subjects that are asked about in memory, never older than the staleness bound. What it doesn't hold it
asks of the replicas of --upstream; writes and explanations are passed on to them. It keeps no data, and
needs no key.

It is ready once a replica has proven to it what the newest state is. While no replica can be reached it
answers from memory until the bound has passed, and then STALE, until one is back.

SIGTERM or an interrupt ends it in good order: it says that it no longer serves, and finishes what runs.`,
		Example: `  consentd sidecar --upstream 127.0.0.1:7433 --listen unix:///run/consentd/consentd.sock --ops-listen 127.0.0.1:7444
  consentd sidecar --upstream n1:7433,n2:7433,n3:7433 --upstream-tls-ca ca.pem --cache-size 1GiB --max-staleness 1s`,
		Args: noArguments,
		RunE: c.does(func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("addr") {
				return usageErrorf("--addr is whom other commands ask; a sidecar asks --upstream, and listens on --listen")
			}
			if cmd.Flags().Changed("tenant") {
				return usageErrorf("--tenant is whom other commands ask about; a sidecar answers for all tenants, or holds records of --tenants only")
			}
			return c.sidecar(cmd.Context(), &s)
		}),
	}
	s.add(cmd)
	return cmd
}

const (
	// readyInterval is how often a sidecar looks whether it can answer.
	readyInterval = 50 * time.Millisecond
	// otherMemory is what a sidecar may take beside its cache: calls that run, connections, and the runtime.
	otherMemory = 64 << 20
)

// heapOf returns what the Go heap of a sidecar is to stay within.
func heapOf(cache byteSize) int64 { return int64(cache) + int64(cache)/4 + otherMemory }

// sidecar is what runs while the command does.
type sidecar struct {
	front
	config *sidecarConfig
	near   *client.NearCache
}

func (c *cli) sidecar(ctx context.Context, config *sidecarConfig) (err error) {
	if err := config.validate(); err != nil {
		return err
	}
	conn, err := config.connect()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	s := &sidecar{front: c.newFront(&config.front), config: config}
	if err := s.listen(ctx); err != nil {
		return err
	}
	defer limitHeap(os.DirFS("/"), heapOf(config.cacheSize), s.log)()
	s.near, err = client.NewNearCache(client.NearOptions{
		Conn: conn, MaxBytes: int64(config.cacheSize), MaxStaleness: config.maxStaleness, Tenants: config.tenants, Logger: s.log,
	})
	if err != nil {
		s.abandon()
		return err
	}
	defer s.near.Close()
	s.metrics.MustRegister(newNearCollector(s.near))
	services, err := server.New(server.Options{
		State: s.near, Upstream: conn, Logger: s.log, Registerer: s.metrics, Ready: s.ready,
		MaxInFlight: int64(s.config.front.maxInFlight),
	})
	if err != nil {
		s.abandon()
		return err
	}
	ops := s.serveOps(s.ready)
	defer ops.Close() //nolint:errcheck // the process ends
	return s.run(ctx, services)
}

// ready says why the sidecar doesn't answer yet, or no longer.
func (s *sidecar) ready() error {
	if s.stopping.Load() {
		return errors.New("stopping")
	}
	return s.near.Ready()
}

// run answers until a signal, or a failure of the server.
func (s *sidecar) run(ctx context.Context, services *server.Server) error {
	served := make(chan error, 1)
	go func() { served <- services.Serve(s.listeners...) }()
	if err := removeReadyFile(s.front.config.readyFile); err != nil { // only now is one sure to be stale
		return errors.Join(err, s.drain(services))
	}
	s.log.Info("starting: waiting for a replica to prove what the newest state is", "upstream", s.config.upstream)
	again := time.NewTicker(readyInterval)
	defer again.Stop()
	turns, announced := turns{log: s.log}, false
	for {
		why := s.ready()
		switch {
		case announced:
			turns.see(time.Now(), why)
		case why == nil:
			announced = true
			if err := s.comeUp(services); err != nil {
				return errors.Join(err, s.leave(services))
			}
		}
		select {
		case <-again.C:
		case err := <-served:
			return fmt.Errorf("serving ended: %w", err)
		case <-ctx.Done():
			return s.leave(services)
		}
	}
}

// comeUp tells others that checks are answered now.
func (s *sidecar) comeUp(services *server.Server) error {
	services.UpdateHealth()
	if own, all := s.config.maxStaleness, s.near.ClusterBound(); own != 0 && own < all/2 {
		s.log.Warn("--max-staleness is so low that checks may be STALE at times: replicas renew their own proofs every eighth of the cluster's "+
			"bound", "max_staleness", own, "bound_of_the_cluster", all)
	}
	return s.announce()
}

// leave stops answering. Applications that end first find it there until then.
func (s *sidecar) leave(services *server.Server) error {
	s.log.Info("stopping: calls that run are finished", "at_most", s.front.config.drainTimeout.String())
	err := errors.Join(s.drain(services), removeReadyFile(s.front.config.readyFile))
	s.log.Info("stopped")
	return err
}
