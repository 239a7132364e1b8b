package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/consentd/consentd/cluster"
	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/server"
)

const (
	// startInterval is how often a start looks whether the node may answer.
	startInterval = 10 * time.Millisecond
	// reminderInterval is how often a start that takes long says what it waits for, and longStart from when on that is a warning.
	reminderInterval = 5 * time.Second
	longStart        = 30 * time.Second
	// handOverTimeout is how long an end waits for another replica to lead. After that, the others elect one by themselves.
	handOverTimeout = 5 * time.Second
	// closeTimeout is how long an end waits for a node to close.
	closeTimeout = 10 * time.Second
)

// nodeOptions say how the node runs.
func (r *replica) nodeOptions() cluster.Options {
	s := r.config
	o := cluster.Options{
		DataDir: s.dataDir, NodeID: s.peers.nodeID, PseudonymKeyFile: s.keyFile, MaxStaleness: s.maxStaleness, Logger: r.log, Version: version,
		BootstrapExpect: s.peers.expect, Join: s.peers.join, Learner: s.peers.learner,
	}
	for _, listener := range r.listeners {
		o.Listen = append(o.Listen, addrOf(listener))
	}
	if !s.peers.alone() {
		o.Wire, o.Peers = r.neighbours.wire, r.neighbours.peers
	}
	return o
}

// start runs the node, waits until it may answer, and applies the policy, so that the first caller finds it. It returns false if a signal
// comes first.
func (r *replica) start(ctx context.Context, node *cluster.Node) (ready bool, err error) {
	if err := r.neighbours.answer(node, r.log, r.metrics, r.served); err != nil {
		return false, err
	}
	if running, err := r.runNode(ctx, node); err != nil || !running {
		return false, err
	}
	r.metrics.MustRegister(newNodeCollector(node))
	began, again := time.Now(), time.NewTicker(startInterval)
	defer again.Stop()
	reminder := time.NewTicker(reminderInterval)
	defer reminder.Stop()
	for ctx.Err() == nil {
		err := node.Ready()
		if err == nil {
			err = r.applyPolicy(ctx, node)
		}
		if err == nil || !notYet(err) && ctx.Err() == nil {
			return err == nil, err
		}
		select {
		case err := <-node.Failed():
			return false, &nodeFailure{err}
		case <-reminder.C:
			level := slog.LevelInfo
			if time.Since(began) >= longStart {
				level = slog.LevelWarn
			}
			r.log.Log(ctx, level, "not ready yet, and tried again", "why", err, "for", time.Since(began).Round(time.Second))
		case <-again.C:
		case <-ctx.Done():
		}
	}
	return false, nil
}

// runNode waits as long as the node waits for its cluster. It returns false if a signal comes first.
func (r *replica) runNode(ctx context.Context, node *cluster.Node) (running bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	started := make(chan error, 1)
	go func() { started <- node.Start(ctx) }()
	select {
	case err := <-started:
		if errors.Is(err, context.Canceled) {
			return false, nil
		}
		return err == nil, err
	case err := <-node.Failed():
		return false, &nodeFailure{err}
	case err := <-r.served:
		cancel()
		return false, fmt.Errorf("serving ended: %w", errors.Join(err, <-started))
	}
}

// notYet says whether the node may be able to in a moment.
func notYet(err error) bool {
	for _, passing := range []error{
		consent.ErrNotReady, consent.ErrStale, consent.ErrNotWritten, consent.ErrOverloaded, consent.ErrOutcomeUnknown,
		consent.ErrNoLeader,
	} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}

// applyPolicy makes the policy the newest, unless it is: then nothing is written, so that a start also succeeds on a full disk. With
// another policy it doesn't: the one before may allow what this one denies.
func (r *replica) applyPolicy(ctx context.Context, node *cluster.Node) error {
	if r.policy == nil {
		return nil
	}
	newest, err := node.Policy(ctx, r.cli.tenant, 0)
	if err == nil && bytes.Equal(newest.Document, r.policy) {
		r.log.Info("policy", "tenant", r.cli.tenant, "version", newest.Version, "changed", false)
		return nil
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("no random numbers for a request id: %w", err)
	}
	version, changed, err := node.PutPolicy(ctx, consent.PolicyPut{
		Tenant: r.cli.tenant, RequestID: consent.RequestID(id), Document: r.policy,
	})
	if err != nil {
		return fmt.Errorf("the policy %s can't be applied: %w", r.config.policy, err)
	}
	// The leader has it; this replica must too, before it says that it is ready.
	if _, err := node.View(ctx, consent.Consistency{AtLeast: version.Revision}); err != nil {
		return fmt.Errorf("the policy %s isn't here yet: %w", r.config.policy, err)
	}
	r.log.Info("policy", "tenant", r.cli.tenant, "version", version.Version, "changed", changed)
	return nil
}

// leave lets another replica lead while this one still answers, and then stops answering.
func (r *replica) leave(node *cluster.Node, services *server.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), handOverTimeout)
	defer cancel()
	if err := node.HandOver(ctx); err != nil {
		r.log.Warn("leadership couldn't be handed over: the others will elect a leader", "why", err)
	}
	r.log.Info("stopping: calls that run are finished", "at_most", r.front.config.drainTimeout.String())
	return r.drain(services)
}

// within closes what may hang with its disk. An error after the time says so; the process may end then, since whatever was acknowledged
// is on disk.
func within(limit time.Duration, closing func() error) error {
	closed := make(chan error, 1)
	go func() { closed <- closing() }()
	select {
	case err := <-closed:
		return err
	case <-time.After(limit):
		return fmt.Errorf("closing takes more than %s, so this process ends without: look at the disk; nothing acknowledged is lost", limit)
	}
}
