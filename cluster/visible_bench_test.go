package cluster

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/consentd/consentd/consent"
)

// BenchmarkVisible writes fifty times a second to the leader of three replicas, and measures from each acknowledgement how long it takes until
// a follower answers from a state with the write. An iteration is a write.
func BenchmarkVisible(b *testing.B) {
	c := newRealCluster(b, 3)
	leader, followers := c.leader()
	took := make([][]time.Duration, len(followers))
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	b.ResetTimer()
	for range b.N {
		<-pace.C
		w := mustWrite(b, leader.Node, grantsOfNew(b, 1))
		acknowledged := time.Now()
		var all sync.WaitGroup
		for i, f := range followers {
			all.Go(func() {
				if _, err := f.View(context.Background(), consent.Consistency{AtLeast: w.Revision}); err != nil {
					b.Error(err)
				}
				took[i] = append(took[i], time.Since(acknowledged))
			})
		}
		all.Wait()
	}
	b.StopTimer()
	reportMS(b, "visible", append(took[0], took[1]...))
}
