package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// ask has somebody change the cluster, and returns what came of it: that may be anything.
func (r *run) ask(what func(context.Context, consentv1.ClusterServiceClient) error) error {
	whom := r.leader()
	if whom == nil {
		return errNobody
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return what(ctx, whom.members)
}

func (r *run) transfer(*rand.Rand) func() {
	if r.ask(func(ctx context.Context, c consentv1.ClusterServiceClient) error {
		_, err := c.TransferLeadership(ctx, &consentv1.TransferLeadershipRequest{})
		return err
	}) == nil {
		r.take()
	}
	return nil
}

func (r *run) demote(d *rand.Rand) func() {
	whom := r.follower(d)
	if whom == nil {
		return nil
	}
	if r.ask(func(ctx context.Context, c consentv1.ClusterServiceClient) error {
		_, err := c.DemoteMember(ctx, &consentv1.DemoteMemberRequest{Id: whom.id})
		return err
	}) == nil {
		r.take()
	}
	r.demoted = append(r.demoted, whom.id)
	return r.promote
}

// promote makes those voters again that were demoted. Whoever can't be now is later.
func (r *run) promote() {
	r.demoted = slices.DeleteFunc(r.demoted, func(id string) bool {
		return r.removed != nil && r.removed.id == id || r.ask(func(ctx context.Context, c consentv1.ClusterServiceClient) error {
			_, err := c.PromoteMember(ctx, &consentv1.PromoteMemberRequest{Id: id})
			return err
		}) == nil
	})
}

// join has a new replica join. It may take until all else is over.
func (r *run) join(*rand.Rand) func() {
	r.joins(r.step)
	return nil
}

// joins starts a replica under an id that no other has had. That it has joined in the end is the effect of a fault, if one is named.
func (r *run) joins(fault string) {
	r.added++
	o := newReplica(r.t, r.links, r.odd, fmt.Sprintf("m%d", r.added), r.dir)
	o.args = append(append(o.args, r.common...), "--join", r.addresses())
	r.joining = append(r.joining, joining{o, fault})
	r.load.Add(o.id, o)
	o.start()
}

// joining is a replica that isn't known to have joined.
type joining struct {
	*replica
	fault string
}

// remove takes a voter out of the cluster, who may lead, and has another one come in its place at the end, under a new id. One a run is
// enough.
func (r *run) remove(d *rand.Rand) func() {
	whom := r.follower(d)
	if d.IntN(3) == 0 {
		whom = r.known()
	}
	if whom == nil || r.removed != nil {
		return nil
	}
	r.loses(whom)
	_ = r.removeMember() // what isn't known to have happened is tried again in the end
	return func() { r.joins("") }
}

// loses takes a member off those that have to be well in the end.
func (r *run) loses(whom *replica) {
	r.removed, r.removal = whom, r.step
	r.replicas = slices.DeleteFunc(r.replicas, func(o *replica) bool { return o == whom })
}

func (r *run) removeMember() error {
	err := r.ask(func(ctx context.Context, c consentv1.ClusterServiceClient) error {
		_, err := c.RemoveMember(ctx, &consentv1.RemoveMemberRequest{Id: r.removed.id})
		return err
	})
	if reasonOf(err) == "UNKNOWN_MEMBER" {
		return nil
	}
	return err
}

// endRemoval waits until a member that was to be removed is, and has ended by itself with the reason. One whose disk was damaged need not
// have noticed: whatever it has answered is judged like all else.
func (r *run) endRemoval() {
	r.t.Helper()
	o := r.removed
	if o == nil {
		return
	}
	if r.damaged != "" {
		r.t.Logf("%s: it ended by itself: %t", r.damaged, o.ended())
		o.kill()
	}
	waitFor(r.t, o.id+" to be removed", func() bool { return r.removeMember() == nil })
	if r.damaged != "" {
		return
	}
	if o.process == nil {
		o.start()
	}
	waitFor(r.t, o.id+", which was removed, to end by itself", o.ended)
	if words := o.lastWords(); !strings.Contains(words, "has removed "+o.id) {
		r.t.Errorf("%s doesn't say that it was removed:\n%s", o.id, words)
	}
	r.took[r.removal]++
}
