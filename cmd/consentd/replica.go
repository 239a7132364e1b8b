package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/consentd/consentd/cluster"
	"github.com/consentd/consentd/consent"
	"github.com/consentd/consentd/server"
)

// startInterval is how often a start looks whether the node may answer.
const startInterval = 10 * time.Millisecond

// start waits until the node may answer, and applies the policy, so that the first caller finds it. It returns false if a
// signal comes first.
func (r *replica) start(ctx context.Context, node *cluster.Node) (ready bool, err error) {
	again := time.NewTicker(startInterval)
	defer again.Stop()
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
		case <-again.C:
		case <-ctx.Done():
		}
	}
	return false, nil
}

// notYet says whether the node may be able to in a moment.
func notYet(err error) bool {
	for _, passing := range []error{
		consent.ErrNotReady, consent.ErrStale, consent.ErrNotWritten, consent.ErrOverloaded, consent.ErrOutcomeUnknown,
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
	r.log.Info("policy", "tenant", r.cli.tenant, "version", version.Version, "changed", changed)
	return nil
}

// announce tells whoever waits for it that the replica answers now, and where.
func (r *replica) announce() error {
	ready := readyOutput{OpsListen: addrOf(r.opsSocket), PID: os.Getpid()}
	for _, listener := range r.listeners {
		ready.Listen = append(ready.Listen, addrOf(listener))
	}
	if err := writeReadyFile(r.config.readyFile, ready); err != nil {
		return err
	}
	r.log.Info("ready", "listen", ready.Listen, "ops_listen", ready.OpsListen, "version", version)
	return nil
}

// drain finishes what runs. Calls that take too long are cut off, which is no fault of the replica's.
func (r *replica) drain(services *server.Server) error {
	r.stopping.Store(true)
	r.log.Info("stopping: calls that run are finished", "at_most", r.config.drainTimeout.String())
	ctx, cancel := context.WithTimeout(context.Background(), r.config.drainTimeout)
	defer cancel()
	err := services.Drain(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		r.log.Warn("calls were cut off that still ran", "after", r.config.drainTimeout.String())
		return nil
	}
	return err
}
