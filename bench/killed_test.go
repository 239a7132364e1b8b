package bench_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// BenchmarkLeaderKilled kills the leader of three processes by SIGKILL, and measures how long it takes until one of the others accepts a write
// that began after it. Every replica is written to and asked a check every two milliseconds meanwhile; the answers of the surviving ones that
// are STALE, or any other error, are counted. An iteration is a leader killed, started again, and healthy.
func BenchmarkLeaderKilled(b *testing.B) {
	if testing.Short() {
		b.Skip("an iteration takes some seconds")
	}
	all := startProcesses(b, 3)
	load := startLoad(all)
	defer load.stop()
	var took []time.Duration
	b.ResetTimer()
	for range b.N {
		leader := awaitHealthy(b, all)
		load.spare(leader)
		killed := time.Now()
		leader.kill()
		await(b, "a write to be accepted", func() bool { return load.firstAfter(killed) > 0 })
		took = append(took, load.firstAfter(killed))
		leader.start()
		leader.awaitReady()
		load.spare(nil)
	}
	b.StopTimer()
	load.stop()
	slices.Sort(took)
	part := func(share int) float64 { return took[min(len(took)*share/100, len(took)-1)].Seconds() }
	b.ReportMetric(part(50), "p50-s")
	b.ReportMetric(part(99), "p99-s")
	b.ReportMetric(part(100), "max-s")
	b.ReportMetric(float64(load.stale.Load()), "stale")
	b.ReportMetric(float64(load.checks.Load())/float64(b.N), "checks/op")
	b.ReportMetric(float64(load.failed.Load()), "failed-checks")
	b.ReportMetric(float64(load.refused.Load()), "failed-writes")
	if example := load.example.Load(); example != nil {
		b.Logf("one of the errors: %s", *example)
	}
}

// load is writes and checks at all replicas, and what came of them.
type load struct {
	spared  atomic.Pointer[process] // what comes of it isn't counted
	checks  atomic.Int64
	stale   atomic.Int64
	failed  atomic.Int64 // checks with another error
	refused atomic.Int64 // writes with an error
	example atomic.Pointer[string]

	mu       sync.Mutex
	accepted []span

	cancel context.CancelFunc
	all    sync.WaitGroup
}

// span is when a write began and was accepted.
type span struct{ began, accepted time.Time }

func startLoad(all []*process) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel}
	for i, p := range all {
		l.all.Go(func() { l.every(ctx, func(n int) { l.write(p, fmt.Sprintf("%s/%d@example.com", p.id, n)) }) })
		l.all.Go(func() { l.every(ctx, func(n int) { l.check(p, subjectID(i+n%1000)) }) })
	}
	return l
}

// every calls a function every two milliseconds, and doesn't wait for it.
func (l *load) every(ctx context.Context, call func(number int)) {
	pace := time.NewTicker(2 * time.Millisecond)
	defer pace.Stop()
	for number := 0; ctx.Err() == nil; number++ {
		<-pace.C
		l.all.Go(func() { call(number) })
	}
}

// spare leaves out what becomes of the calls to a replica from now on.
func (l *load) spare(p *process) { l.spared.Store(p) }

func (l *load) stop() {
	l.cancel()
	l.all.Wait()
}

func (l *load) write(p *process, subject string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	began := time.Now()
	_, err := p.records.WriteEvents(ctx, &consentv1.WriteEventsRequest{Events: []*consentv1.Event{{
		Subject: subject, Kind: consentv1.EventKind_EVENT_KIND_GRANTED, OccurredAt: timestamppb.New(began.Add(-time.Hour)),
		Scope:    &consentv1.Scope{Permissions: []string{permission}},
		Evidence: &consentv1.Evidence{NoticeVersion: 3, Method: consentv1.Method_METHOD_WEB_FORM, Source: "bench", Reference: "forms/1"},
	}}})
	if p == l.spared.Load() {
		return
	}
	if err != nil {
		l.refused.Add(1)
		l.keep(p, err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted = append(l.accepted, span{began, time.Now()})
}

// firstAfter returns how long after a moment the first write was accepted that had begun after it, or nothing as long as none was.
func (l *load) firstAfter(moment time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted = slices.DeleteFunc(l.accepted, func(s span) bool { return s.began.Before(moment) })
	var first time.Duration
	for _, s := range l.accepted {
		if after := s.accepted.Sub(moment); first == 0 || after < first {
			first = after
		}
	}
	return first
}

func (l *load) check(p *process, subject string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err := p.checks.Check(ctx, &consentv1.CheckRequest{Subject: subject, Permissions: []string{permission}})
	switch {
	case p == l.spared.Load():
		return
	case reasonOf(err) == "STALE":
		l.stale.Add(1)
	case err != nil:
		l.failed.Add(1)
		l.keep(p, err)
	}
	l.checks.Add(1)
}

// keep keeps an error to show.
func (l *load) keep(p *process, err error) {
	text := fmt.Sprintf("%s: %v", p.id, err)
	l.example.Store(&text)
}

func reasonOf(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}
