package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/consentd/consentd/consent"
	peerv1 "github.com/consentd/consentd/proto/peer/v1"
)

// step is what a look at the others leads to: exactly one of these.
type step struct {
	found []sighting // found a cluster with them
	join  []sighting // join the cluster of these members
	wait  string     // wait, for this
}

const (
	slowestDiscovery = time.Second // between two looks at the others
	// refusalTime is how long a replica that isn't taken in asks again. Reasons that pass, pass within it.
	refusalTime = 5 * time.Second
)

// form returns once this replica is bound to a cluster, so that Raft may run: it founds one alone, founds one with others, promises to be
// in one that another founds, or is taken into one that is there. Each step is durable before the next, and a start after a crash goes on
// where it was.
func (n *Node) form(ctx context.Context) error {
	defer n.waits.Store(nil)
	f := former{node: n, progress: progress{log: n.options.Logger}}
	pause := n.options.tuning.discovery
	for {
		if done, err := f.advance(ctx); done || err != nil {
			return err
		}
		select {
		case <-time.After(pause):
		case <-n.woken: // bound, by another replica or by hand
		case <-ctx.Done():
			return ctx.Err()
		}
		pause = min(2*pause, max(slowestDiscovery, n.options.tuning.discovery))
	}
}

// former forms a cluster around a replica.
type former struct {
	node     *Node
	progress progress
	refused  time.Time // since when this replica isn't taken in; zero if it wasn't refused
}

// advance does what can be done now, and returns whether the replica is bound.
func (f *former) advance(ctx context.Context) (done bool, err error) {
	n := f.node
	if err := n.failure.err(); err != nil { // of a promise that the disk didn't keep
		return false, err
	}
	standing := n.dir.standing()
	founds := standing.founder == n.dir.nodeID
	switch {
	case standing.state != stateNew && !founds:
		return true, nil
	case founds && n.logs.last != 0: // founded, but for the last step
		return true, n.bootstrap(nil)
	case n.options.foundsAlone():
		return true, n.foundAlone()
	}
	seen, err := n.look(ctx, n.options.Join)
	if err != nil {
		return false, err
	}
	next := seen.nextOfNew
	if founds {
		next = seen.nextOfFounder
	}
	s, err := next(n.options.expects())
	if err != nil {
		return false, err
	}
	return f.take(ctx, &seen, s)
}

// take takes a step.
func (f *former) take(ctx context.Context, seen *census, s step) (done bool, err error) {
	switch {
	case len(s.found) > 0:
		s.wait, err = f.node.foundWith(ctx, s.found)
	case len(s.join) > 0:
		s.wait, err = f.join(ctx, s.join)
	case len(f.node.options.Join) == 0:
		s.wait += ", or to be told by 'consentd cluster join' where one is"
	}
	if err != nil || s.wait == "" {
		return err == nil, err
	}
	what := s.wait + seen.silence()
	f.node.waits.Store(&what)
	f.progress.tell(s.wait, seen.progress()...)
	return false, nil
}

// join has members take this replica in, or returns why it has to wait. A refusal that lasts is an error.
func (f *former) join(ctx context.Context, members []sighting) (wait string, err error) {
	_, err = f.node.enrolAt(ctx, members)
	switch {
	case err == nil:
		return "", nil
	case f.node.failure.err() != nil:
		return "", err
	case !errors.Is(err, consent.ErrMembership):
		f.refused = time.Time{}
	case f.refused.IsZero():
		f.refused = time.Now()
	case time.Since(f.refused) > refusalTime:
		return "", fmt.Errorf("%w: %w", ErrForming, err)
	}
	return fmt.Sprintf("waiting to be taken into cluster %s: %s", members[0].GetClusterId(), err), nil
}

// bind binds this replica to a cluster, durably. n.forming is held.
func (n *Node) bind(clusterID, founder string) error {
	err := n.dir.bind(clusterID, founder)
	var elsewhere *boundError
	switch {
	case err == nil:
		select {
		case n.woken <- struct{}{}:
		default:
		}
		return nil
	case errors.As(err, &elsewhere):
		return refuse("%w", err)
	default:
		n.failure.report(err) // what the disk says after a restart isn't known
		return err
	}
}

// Introduce says who this replica is.
func (n *Node) Introduce(context.Context) (*peerv1.IntroduceResponse, error) {
	return n.introduction(), nil
}

func (n *Node) introduction() *peerv1.IntroduceResponse {
	standing := n.dir.standing()
	return &peerv1.IntroduceResponse{
		NodeId: n.dir.nodeID, Address: string(n.address()), State: states[standing.state], ClusterId: standing.clusterID,
		FounderId: standing.founder, BootstrapExpect: uint32(n.options.expects()), Version: n.options.Version, Instance: n.instance[:],
	}
}

var states = map[nodeState]peerv1.NodeState{
	stateNew:     peerv1.NodeState_NODE_STATE_NEW,
	stateJoining: peerv1.NodeState_NODE_STATE_JOINING,
	stateMember:  peerv1.NodeState_NODE_STATE_MEMBER,
}
