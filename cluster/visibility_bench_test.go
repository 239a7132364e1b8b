//go:build unix

package cluster

import (
	"fmt"
	"log/slog"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// BenchmarkVisibility tells how long after its acknowledgement a write is applied on followers, one write every 10 ms, and what a replica
// costs that has nothing to do: both hang on Raft's CommitTimeout. Replicas speak over TCP, in one process, with disks in memory.
func BenchmarkVisibility(b *testing.B) {
	for _, commit := range []time.Duration{2 * time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond, 200 * time.Millisecond} {
		b.Run(fmt.Sprintf("commit=%s", commit), func(b *testing.B) {
			c := newWiredCluster(b, 3, func(o *Options) { o.tuning.election, o.tuning.commit = 0, commit })
			before := cpuTime(b)
			<-time.After(3 * time.Second)
			idle := cpuTime(b) - before

			leader, followers := c.node(c.leader()), c.nodes(c.followers()...)
			var after []time.Duration
			for b.Loop() {
				<-time.After(10 * time.Millisecond)
				written := mustWrite(b, leader, grant(b, "anna"))
				acknowledged := time.Now()
				for _, n := range followers {
					if err := n.store.WaitApplied(b.Context(), written.Revision.Index); err != nil {
						b.Fatal(err)
					}
				}
				after = append(after, time.Since(acknowledged))
			}
			slices.Sort(after)
			b.ReportMetric(after[len(after)/2].Seconds()*1000, "p50-ms")
			b.ReportMetric(after[len(after)*99/100].Seconds()*1000, "p99-ms")
			b.ReportMetric(idle.Seconds()/3/3*100, "%core/replica")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// newWiredCluster is newCluster with Raft over TCP.
func newWiredCluster(tb testing.TB, voters int, set func(*Options)) *testCluster {
	tb.Helper()
	wires := map[string]*Wire{}
	var members []raft.Server
	for i := range voters {
		id := fmt.Sprintf("n%d", i+1)
		wires[id] = openWireAs(tb, id, WireOptions{})
		members = append(members, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(wires[id].Address())})
	}
	return newCluster(tb, voters, 0, func(o *Options) {
		set(o)
		net := o.tuning.transport
		o.tuning.members = members
		o.tuning.transport = func(id string) peerTransport {
			net(id) // which nobody uses
			return wires[id].transport(slog.New(slog.DiscardHandler))
		}
	})
}

// cpuTime returns what this process has used of all cores.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
