package cluster_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/consentd/consentd/cluster"
	"github.com/consentd/consentd/consent"
	"github.com/google/uuid"
)

// A replica that starts in an empty directory becomes a cluster of one.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "consentd")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	node, err := cluster.Open(ctx, cluster.Options{DataDir: dir})
	if err != nil {
		panic(err)
	}
	defer node.Close()
	for node.Ready() != nil {
		<-time.After(10 * time.Millisecond)
	}
	result, err := node.Write(ctx, consent.Write{
		Tenant: "shop", RequestID: consent.RequestID(uuid.Must(uuid.NewV7())),
		Events: []consent.SubjectEvent{{Subject: "anna@example.org", Event: consent.Event{Kind: consent.Withdrawn}}},
	})
	if err != nil {
		panic(err)
	}
	view, err := node.View(ctx, consent.Consistency{AtLeast: result.Revision})
	fmt.Println(result.Effects[0] == consent.Applied, view.Revision == result.Revision, err)
	// Output: true true <nil>
}
