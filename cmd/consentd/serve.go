package main

import (
	"context"
	"errors"
	"fmt"
	"os"

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
start of a replica that is alone makes the key of the pseudonyms in pseudonym.key: keep a copy of it
elsewhere, because without it no record can be found again.

With --raft-listen it works together with others. The same flags are right for the first start, each
later one, and growth: --join with addresses of all, and --bootstrap-expect with how many begin. The
key is made once, by 'consentd keys new FILE', and copied to all of them.

SIGTERM or an interrupt ends it in good order: it hands over leadership, says that it no longer serves,
finishes what runs, and closes. A second one ends it at once, which loses nothing that was
acknowledged.`,
		Example: `  consentd serve --data-dir ./data --policy policy.yaml
  consentd serve --data-dir /var/lib/consentd --listen 127.0.0.1:7433 --listen unix:///run/consentd/consentd.sock
  consentd serve --data-dir /var/lib/consentd --node-id n1 --raft-listen 10.0.0.1:7435 --listen 10.0.0.1:7433 \
      --join 10.0.0.1:7433,10.0.0.2:7433,10.0.0.3:7433 --bootstrap-expect 3 --pseudonym-key-file /etc/consentd/pseudonym.key \
      --peer-tls-cert n1.pem --peer-tls-key n1.key --peer-tls-ca peers-ca.pem --allow-unauthenticated-network-access
  consentd serve --config /etc/consentd.yaml`,
		Args: noArguments,
		RunE: c.does(func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("addr") {
				return usageErrorf("--addr is whom other commands ask; serve listens on --listen")
			}
			if s.peers.expect == 0 && cmd.Flags().Changed("bootstrap-expect") {
				return usageErrorf("--bootstrap-expect 0 founds no cluster: leave it out to join one that is there, or say how many replicas found " +
					"one together, as 3")
			}
			if len(s.peers.join) == 0 && cmd.Flags().Changed("join") {
				return usageErrorf("--join is empty: name the --listen addresses of the replicas to join, as n1:7433,n2:7433; leave it out only to " +
					"found a new cluster")
			}
			return c.serve(cmd.Context(), &s)
		}),
	}
	s.add(cmd)
	return cmd
}

// replica is what runs while serve does.
type replica struct {
	front
	cli        *cli
	config     *serveConfig
	neighbours *neighbours
	policy     []byte // to apply; nil for none
	backend    backend
	operations operations
	served     chan error // why serving ended
}

func (c *cli) serve(ctx context.Context, s *serveConfig) error {
	if err := s.validate(); err != nil {
		return err
	}
	r := &replica{front: c.newFront(&s.front), cli: c, config: s, served: make(chan error, 2)}
	if err := r.prepare(ctx); err != nil {
		return err
	}
	defer limitHeap(os.DirFS("/"), 0, r.log)()
	ops := r.serveOps(r.ready)
	defer ops.Close() //nolint:errcheck // the process ends
	services, err := r.newServices()
	if err != nil {
		r.abandon()
		return errors.Join(err, r.neighbours.close())
	}
	go func() { r.served <- services.Serve(r.listeners...) }()
	return r.open(ctx, services)
}

// newServices makes what callers reach. Only a replica that others can reach is found by them.
func (r *replica) newServices() (*server.Server, error) {
	o := server.Options{
		State: &r.backend, Records: &r.backend, Policies: &r.backend, Cluster: &r.operations, Watching: &r.backend,
		Logger: r.log, Registerer: r.metrics, Ready: r.ready, MaxInFlight: int64(r.config.front.maxInFlight),
	}
	if !r.config.peers.alone() {
		o.Discovery = &r.operations
	}
	return server.New(o)
}

// open takes the data directory and answers from it, until it ends. Until it answers, callers are told that it doesn't yet.
func (r *replica) open(ctx context.Context, services *server.Server) error {
	node, err := cluster.New(r.nodeOptions())
	if err != nil {
		return errors.Join(err, r.drain(services), r.neighbours.close())
	}
	r.operations.node.Store(node)
	err = r.run(ctx, node, services)
	var failure *nodeFailure
	if errors.As(err, &failure) {
		return err // a node that failed may hang when it is closed
	}
	// In this order: others are answered as long as the node can; and once it is closed, the next process may be ready.
	err = errors.Join(err, r.neighbours.stop(), removeReadyFile(r.front.config.readyFile), within(closeTimeout, node.Close), r.neighbours.close())
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
	if err := r.listen(ctx); err != nil {
		return err
	}
	if r.neighbours, err = openNeighbours(ctx, &r.config.peers, r.log); err != nil {
		r.abandon()
	}
	return err
}

// ready says why the replica doesn't answer yet, or no longer.
func (r *replica) ready() error {
	node, err := r.backend.open()
	switch {
	case r.stopping.Load():
		return errors.New("stopping")
	case err != nil:
		return errors.New("starting: the records are being read, or other replicas are waited for")
	default:
		return node.Ready()
	}
}

// nodeFailure is a fault after which the process must not go on.
type nodeFailure struct{ err error }

func (f *nodeFailure) Error() string { return "this replica can't go on: " + f.err.Error() }

func (f *nodeFailure) Unwrap() error { return f.err }

// run answers until a signal, a failure of the node, or one of the server.
func (r *replica) run(ctx context.Context, node *cluster.Node, services *server.Server) error {
	// Only now is a ready file sure to be a stale one: until the directory and the addresses are this process's, it may be of another.
	if err := removeReadyFile(r.front.config.readyFile); err != nil {
		return errors.Join(err, r.drain(services))
	}
	ready, err := r.start(ctx, node)
	if err != nil {
		return errors.Join(err, r.drain(services))
	}
	if !ready {
		return r.leave(node, services)
	}
	r.backend.node.Store(node)
	services.UpdateHealth()
	if err := r.announce(); err != nil {
		return errors.Join(err, r.leave(node, services))
	}
	select {
	case err := <-r.served:
		return fmt.Errorf("serving ended: %w", err)
	case err := <-node.Failed():
		return &nodeFailure{err}
	case <-ctx.Done():
		return r.leave(node, services)
	}
}
