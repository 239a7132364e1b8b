package cluster

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
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
	b.Run("checks", func(b *testing.B) { benchmarkBeside(b, followers[1], time.Millisecond, askOf(followers[1], held)) })
	b.Run("writes", func(b *testing.B) {
		benchmarkBeside(b, leader, 5*time.Millisecond, func() error {
			_, err := leader.Write(context.Background(), grantsOfNew(b, 1))
			return err
		})
	})
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

// besides are what checks and writes are measured beside.
var besides = []struct {
	name string
	work func(*realReplica) error
}{
	{"processor", spin},
	{"backup", func(r *realReplica) error { return r.BackUp(context.Background(), io.Discard) }},
	{"stream", streamSnapshot},
	{"snapshot", markSnapshot},
	{"grpc", backUpThroughGRPC},
}

// benchmarkBeside asks something of a replica every so often, by turns while it works and while it doesn't. An iteration is a work of at
// least a second, and as much time without.
func benchmarkBeside(b *testing.B, r *realReplica, every time.Duration, ask func() error) {
	if err := markSnapshot(r); err != nil {
		b.Fatal(err)
	}
	for _, beside := range besides {
		b.Run(beside.name, func(b *testing.B) {
			var with, without, works []time.Duration
			for range b.N {
				began := time.Now()
				with = append(with, askWhile(b, every, ask, func() {
					for time.Since(began) < time.Second {
						begun := time.Now()
						if err := beside.work(r); err != nil {
							b.Fatal(err)
						}
						works = append(works, time.Since(begun))
					}
				})...)
				took := time.Since(began)
				without = append(without, askWhile(b, every, ask, func() { <-time.After(took) })...)
			}
			reportMS(b, "beside", with)
			reportMS(b, "alone", without)
			b.ReportMetric(float64(share(with, 0.99))/float64(share(without, 0.99)), "p99-ratio")
			b.ReportMetric(median(works).Seconds(), "s/work")
		})
	}
}

// askWhile asks every so often until work is done, and returns how long the answers took.
func askWhile(b *testing.B, every time.Duration, ask func() error, work func()) (took []time.Duration) {
	done := make(chan struct{})
	go func() { defer close(done); work() }()
	pace := time.NewTicker(every)
	defer pace.Stop()
	var all sync.WaitGroup
	var mu sync.Mutex
	for {
		select {
		case <-done:
			all.Wait()
			return took
		case <-pace.C:
		}
		all.Go(func() {
			asked := time.Now()
			err := ask()
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(asked))
			if err != nil {
				b.Error(err)
			}
		})
	}
}

// askOf returns what asks a replica through gRPC for one imported subject after the other.
func askOf(r *realReplica, held [2]int64) func() error {
	client := consentv1.NewPermissionServiceClient(r.dial())
	var asked atomic.Int64
	return func() error {
		subject := held[0] + asked.Add(7919)%(held[1]-held[0])
		reply, err := client.Check(context.Background(), &consentv1.CheckRequest{
			Tenant: "shop", Subject: importedSubject(subject), Permissions: []string{"newsletter/email"},
		})
		if err != nil || reply.GetResults()[0].GetAnswer().GetDecision() != consentv1.Decision_DECISION_ALLOW {
			return fmt.Errorf("subject %d: %v, %w", subject, reply, err)
		}
		return nil
	}
}

// spin keeps a processor busy with nothing of ours.
func spin(*realReplica) error {
	var block [4096]byte
	for began := time.Now(); time.Since(began) < time.Second; {
		sum := sha256.Sum256(block[:])
		copy(block[:], sum[:])
	}
	return nil
}

// streamSnapshot makes the stream of the newest snapshot, as for a follower.
func streamSnapshot(r *realReplica) error {
	info := r.snapshots.latest()
	if info == nil {
		return errors.New("there is no snapshot")
	}
	stream, _, err := r.snapshots.materialise(info)
	if err != nil {
		return err
	}
	return stream.Close()
}

func markSnapshot(r *realReplica) error {
	_, err := r.TakeSnapshot(context.Background())
	return err
}

// backUpThroughGRPC takes a backup as the command does.
func backUpThroughGRPC(r *realReplica) error {
	stream, err := consentv1.NewClusterServiceClient(r.dial()).BackUp(context.Background(), &consentv1.BackUpRequest{})
	for err == nil {
		_, err = stream.Recv()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
