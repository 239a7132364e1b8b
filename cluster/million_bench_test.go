package cluster

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// BenchmarkMillion is about three replicas that hold a million subjects.
func BenchmarkMillion(b *testing.B) {
	size := 1_000_000
	if testing.Short() {
		size = 20_000
	}
	c := newRealCluster(b, 3)
	leader, followers := c.leader()
	began := subjects.Load()
	importCommands(b, leader.Node, size/importEvents)
	held := [2]int64{began + 1, subjects.Load()}
	b.Run("restart", func(b *testing.B) { benchmarkRestart(b, followers[0], size) })
	b.Run("join", func(b *testing.B) { benchmarkJoin(b, c, size) })
	b.Run("checks", func(b *testing.B) { benchmarkChecksBesideBackup(b, followers[1], held) })
}

// benchmarkRestart stops a member and measures from its start until it answers.
func benchmarkRestart(b *testing.B, r *realReplica, size int) {
	var took []time.Duration
	for range b.N {
		r.stop()
		began := time.Now()
		r.wantReady(r.start())
		took = append(took, time.Since(began))
	}
	reportMS(b, "ready", took)
	b.ReportMetric(median(took).Seconds()*1e6/float64(size), "s/million")
}

// benchmarkJoin adds a new learner while fifty writes a second go on, and measures from its start until it answers and has all that was
// acknowledged by then.
func benchmarkJoin(b *testing.B, c *realCluster, size int) {
	leader, _ := c.leader()
	if _, err := leader.TakeSnapshot(context.Background()); err != nil {
		b.Fatal(err)
	}
	stop := writeLightly(b, leader.Node)
	var took []time.Duration
	for range b.N {
		r := c.build()
		r.o.Join, r.o.Learner = c.addresses(), true
		c.replicas = c.replicas[:len(c.replicas)-1]
		r.o.NodeID = fmt.Sprintf("learner%d", subjects.Load())
		began := time.Now()
		if err := <-r.start(); err != nil {
			b.Fatal(err)
		}
		waitLong(b, "the new replica to answer", func() bool { return r.Ready() == nil })
		if err := r.store.WaitApplied(context.Background(), leader.raft.CommitIndex()); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
		if got := r.Stats().Subjects; got < size*9/10 {
			b.Fatalf("the new replica holds %d subjects of %d", got, size)
		}
		if err := leader.RemoveMember(context.Background(), r.o.NodeID); err != nil {
			b.Fatal(err)
		}
		r.stop()
	}
	stop()
	reportMS(b, "caught-up", took)
}

// writeLightly writes fifty times a second until it is stopped.
func writeLightly(b *testing.B, n *Node) (stop func()) {
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		pace := time.NewTicker(20 * time.Millisecond)
		defer pace.Stop()
		for {
			select {
			case <-pace.C:
				if _, err := n.Write(context.Background(), grantsOfNew(b, 1)); err != nil {
					b.Error(err)
				}
			case <-ended:
				return
			}
		}
	}()
	return func() { close(ended); <-done }
}

// waitLong is waitFor for what takes up to minutes.
func waitLong(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(5 * time.Minute)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatalf("waited 5m for %s", what)
		}
	}
}

// benchmarkChecksBesideBackup asks a replica a thousand checks a second through gRPC, by turns while it streams its state and while it doesn't.
// An iteration is a stream, and as much time without.
func benchmarkChecksBesideBackup(b *testing.B, r *realReplica, held [2]int64) {
	client := consentv1.NewPermissionServiceClient(r.dial())
	var with, without, streams []time.Duration
	for range b.N {
		began := time.Now()
		with = append(with, checkWhile(b, client, held, func() {
			if err := r.BackUp(context.Background(), io.Discard); err != nil {
				b.Error(err)
			}
		})...)
		stream := time.Since(began)
		streams = append(streams, stream)
		without = append(without, checkWhile(b, client, held, func() { <-time.After(max(stream, time.Second)) })...)
	}
	reportMS(b, "beside", with)
	reportMS(b, "alone", without)
	b.ReportMetric(float64(share(with, 0.99))/float64(share(without, 0.99)), "p99-ratio")
	b.ReportMetric(median(streams).Seconds(), "s/stream")
}

// checkWhile asks a check every millisecond until work is done, and returns how long the answers took.
func checkWhile(b *testing.B, client consentv1.PermissionServiceClient, held [2]int64, work func()) (took []time.Duration) {
	done := make(chan struct{})
	go func() { defer close(done); work() }()
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	var all sync.WaitGroup
	var mu sync.Mutex
	for subject := held[0]; ; subject += 7919 {
		select {
		case <-done:
			all.Wait()
			return took
		case <-pace.C:
		}
		if subject > held[1] {
			subject = held[0] + subject%7919
		}
		all.Go(func() {
			asked := time.Now()
			reply, err := client.Check(context.Background(), &consentv1.CheckRequest{
				Tenant: "shop", Subject: importedSubject(subject), Permissions: []string{"newsletter/email"},
			})
			if err != nil || reply.GetResults()[0].GetAnswer().GetDecision() != consentv1.Decision_DECISION_ALLOW {
				b.Errorf("subject %d: %v, %v", subject, reply, err)
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(asked))
		})
	}
}
