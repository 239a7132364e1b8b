package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/consentd/consentd/cache"
	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/grpc"
)

// NearCache answers from this process's own memory what a replica would, and never from a state older than the staleness bound. What it
// holds of a subject is exactly what the replicated state was at the revision that it names. It asks a replica for the records that it
// doesn't hold, and follows what changes by a stream from one of those that the connection leads to. Without any it answers until the bound
// has passed.
//
// It may be used by many goroutines.
type NearCache struct {
	cache *cache.Cache
	watch watch
	end   context.CancelFunc
	ended chan struct{} // closed once nothing of it runs
}

// NearOptions say what a NearCache is to be. Conn has to be given.
type NearOptions struct {
	// Conn leads to one or several replicas of a cluster. It stays the caller's, who closes it after the NearCache.
	Conn grpc.ClientConnInterface
	// MaxBytes is how much memory the records take, all in: cache.DefaultBytes for 0, and at least cache.MinBytes.
	MaxBytes int64
	// MaxStaleness lowers the cluster's staleness bound here. For 0, or more than it is, the cluster's counts.
	MaxStaleness time.Duration
	// Tenants are those that are asked for, whether or not they exist yet. None: all.
	Tenants []string
	// Logger is told when the stream of changes breaks; nil: nobody is.
	Logger *slog.Logger
	// Now is the clock, and has to give monotonic readings: time.Now for nil.
	Now func() time.Time
}

// NewNearCache returns a NearCache that begins to follow what changes, and returns consent.ErrNotReady until it has heard what is. It
// returns an error if the options make no sense.
func NewNearCache(o NearOptions) (*NearCache, error) {
	if o.Conn == nil {
		return nil, errors.New("a near cache needs Conn, a connection to replicas")
	}
	if o.MaxStaleness < 0 {
		return nil, fmt.Errorf("a staleness bound of %s: give a positive one, or 0 for the cluster's", o.MaxStaleness)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	n := &NearCache{ended: make(chan struct{})}
	var err error
	if n.cache, err = cache.New(cache.Options{MaxBytes: o.MaxBytes, Fill: n.fill, Now: o.Now}); err != nil {
		return nil, err
	}
	n.watch.rpc, n.watch.cache, n.watch.tenants = consentv1.NewWatchServiceClient(o.Conn), n.cache, o.Tenants
	n.watch.bounds.own, n.watch.rounds, n.watch.now, n.watch.log = o.MaxStaleness, newRounds(), o.Now, o.Logger
	ctx, end := context.WithCancel(context.Background())
	n.end = end
	go func() {
		defer close(n.ended)
		n.watch.run(ctx)
	}()
	return n, nil
}

// Close ends what runs, and waits for it. Whoever waits for a view or a record gets an error, and so does whoever asks for a record from
// now on.
func (n *NearCache) Close() {
	n.end()
	<-n.ended
	n.cache.Close()
}

// Look returns a subject's record, nil if nothing is known of the subject, and the View that it is exactly of, which is at least as new as
// any loaded before. If the View's tenant isn't t any more, its policy is another. The record's words must not be written to.
//
// What isn't here is asked of a replica, for as long as the bound if the context has no earlier deadline. Then it may also return
// consent.ErrStale, if the bound has passed since the last proof; consent.ErrNotReady if no replica can be reached, or the tenant is of
// another epoch than what is here; or the context's error.
func (n *NearCache) Look(ctx context.Context, t *consent.Tenant, subject string) (consent.View, consent.Record, error) {
	return n.cache.Look(ctx, t, subject)
}

// Record is Look for those who want the record alone.
func (n *NearCache) Record(ctx context.Context, t *consent.Tenant, subject string, _ *consent.Buffer) (consent.Record, error) {
	return n.cache.Record(ctx, t, subject)
}

// Held returns a subject's record as Look does, if it is here. It asks nobody.
func (n *NearCache) Held(t *consent.Tenant, subject string) (v consent.View, r consent.Record, here bool) {
	return n.cache.Held(t, subject)
}

// Ready returns nil while decisions may be given, and otherwise why not.
func (n *NearCache) Ready() error {
	v := n.cache.View()
	if v.Head == nil {
		return fmt.Errorf("%w: no replica has proven yet what the newest state is", consent.ErrNotReady)
	}
	if age, fresh := v.Age(n.watch.now()); !fresh {
		return fmt.Errorf("%w: it was last proven the newest %s ago, and %s is allowed", consent.ErrStale, age.Round(time.Millisecond), v.Bound)
	}
	return nil
}

// Reached returns what the changes heard of have come to, and whether any were heard of.
func (n *NearCache) Reached() (r consent.Revision, heard bool) {
	r = n.cache.Reached()
	return r, r != consent.Revision{}
}

// ClusterBound returns the cluster's staleness bound, 0 before a replica has told it. The one here may be lower.
func (n *NearCache) ClusterBound() time.Duration { return n.watch.bounds.all() }

// NearStats are what a NearCache has done since it was made, and what it holds.
type NearStats struct {
	cache.Stats
	Streams uint64 // of changes that were tried, first and again
	Resets  uint64 // how often such a stream had to begin anew: at first, behind a gap, and after a restore
}

// Stats returns what the near cache has done, and what it holds.
func (n *NearCache) Stats() NearStats {
	return NearStats{Stats: n.cache.Stats(), Streams: n.watch.streams.Load(), Resets: n.watch.resets.Load()}
}
