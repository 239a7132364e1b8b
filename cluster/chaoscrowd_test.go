package cluster

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/consentd/consentd/client"
	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
	"google.golang.org/grpc"
)

// crowdedCache is the near cache, and who comes in its place, that is asked all the time for more than it has room for. So records of the load's
// subjects leave it and are fetched again all the time, or are found in its front though they have left.
const crowdedCache = "s4"

const (
	crowdPrefix = "crowd-"
	crowdSize   = 64 // subjects, of whom there is room for some 50
	crowdWords  = 15_000
	crowdPause  = time.Millisecond
)

// crowdedConn is a connection by which the crowd's records are large. The rest of what Fill says of them is a replica's, to whom they are
// subjects that nothing is known of.
type crowdedConn struct {
	*fickleConn
	large consent.Record
}

var _ grpc.ClientConnInterface = (*crowdedConn)(nil)

// Invoke implements grpc.ClientConnInterface.
func (c *crowdedConn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	err := c.fickleConn.Invoke(ctx, method, args, reply, opts...)
	if asked, ok := args.(*consentv1.FillRequest); ok && err == nil && strings.HasPrefix(asked.GetSubject(), crowdPrefix) {
		reply.(*consentv1.FillResponse).Record = c.large
	}
	return err
}

// largeRecord returns a record of a tenant's subject that has withdrawn very much.
func largeRecord(tb testing.TB, tenant uint32) consent.Record {
	tb.Helper()
	e := consent.Event{Kind: consent.Withdrawn, OccurredAt: consent.TimeOf(time.Now())}
	for i := range crowdWords {
		e.Scope.Permissions = append(e.Scope.Permissions, fmt.Sprintf("p%d", i))
	}
	names, err := (*consent.Names)(nil).AddScope(e.Scope)
	if err != nil {
		tb.Fatal(err)
	}
	record, _ := consent.Fold(nil, e, consent.FoldContext{Tenant: tenant, Names: names, Index: 1})
	if err := record.Validate(); err != nil || len(record) < crowdWords {
		tb.Fatalf("a record of %d words: %v", len(record), err)
	}
	return record
}

// crowd has a near cache be crowded until the function it returns was called.
func crowd(n *client.NearCache) (leave func()) {
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		pause := time.NewTicker(crowdPause)
		defer pause.Stop()
		for i := 0; ctx.Err() == nil; i = (i + 1) % crowdSize {
			if view, err := n.View(ctx, consent.Consistency{}); err == nil && view.Tenants["shop"] != nil {
				_, _, _ = n.Look(ctx, view.Tenants["shop"], fmt.Sprint(crowdPrefix, i)) // what becomes of it is nobody's concern
			}
			select {
			case <-pause.C:
			case <-ctx.Done():
			}
		}
	}()
	return func() { cancel(); <-gone }
}
