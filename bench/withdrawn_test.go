package bench_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/timestamppb"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

const (
	sidecars = 4
	pause    = 500 * time.Microsecond // between two checks of one caller
	denials  = 5                      // after so many in a row, nothing is expected to change
)

// BenchmarkWithdrawn measures how long after a withdrawal was acknowledged the last check is answered ALLOW by any of four sidecars, each of
// which held the record, and is asked twice in a millisecond. Zero, if all have heard before. The sidecars follow three replicas, which take
// turns in taking the withdrawals. All are processes. Beside it runs a light load: a hundred checks a second at each sidecar, and ten writes a
// second. An iteration is a withdrawal.
func BenchmarkWithdrawn(b *testing.B) {
	if testing.Short() {
		b.Skip("seven processes")
	}
	replicas := startProcesses(b, 3)
	awaitHealthy(b, replicas)
	replicas[0].know(subjects)
	aside := startSidecars(b, replicas)
	load := startLightLoad(b, replicas[0], aside)
	defer load()
	var took []time.Duration
	for b.Loop() {
		subject := fmt.Sprintf("withdrawn%d@example.com", len(took))
		took = append(took, withdraw(b, replicas[len(took)%len(replicas)], aside, subject))
	}
	slices.Sort(took)
	part := func(share int) float64 { return took[min(len(took)*share/100, len(took)-1)].Seconds() * 1e3 }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(part(50), "p50-ms")
	b.ReportMetric(part(99), "p99-ms")
	b.ReportMetric(part(100), "max-ms")
}

// startSidecars starts the sidecars, and returns a client of each over its unix socket.
func startSidecars(b *testing.B, replicas []*process) []consentv1.PermissionServiceClient {
	b.Helper()
	var all []consentv1.PermissionServiceClient
	for number := range sidecars {
		p := newSidecar(b, number, replicas)
		p.start()
		p.awaitReady()
		conn, err := grpc.NewClient(p.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close() })
		all = append(all, consentv1.NewPermissionServiceClient(conn))
	}
	return all
}

// startLightLoad asks and writes about other subjects until the function returned is called.
func startLightLoad(b *testing.B, replica *process, aside []consentv1.PermissionServiceClient) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	every := func(interval time.Duration, call func(number int) error) {
		all.Go(func() {
			pace := time.NewTicker(interval)
			defer pace.Stop()
			for number := 0; ctx.Err() == nil; number++ {
				<-pace.C
				if err := call(number); err != nil && ctx.Err() == nil {
					b.Error(err)
					return
				}
			}
		})
	}
	for _, s := range aside {
		every(time.Second/100, func(number int) error {
			_, err := isAllowed(ctx, s, subjectID(number%subjects))
			return err
		})
	}
	every(time.Second/10, func(number int) error {
		_, err := replica.records.WriteEvents(ctx, &consentv1.WriteEventsRequest{Events: grantOf(subjectID(number%subjects), time.Hour)})
		return err
	})
	return func() {
		cancel()
		all.Wait()
	}
}

// withdraw has a subject's consent withdrawn while every sidecar is asked about it, and returns how long after the acknowledgement the last of
// them said that it may be relied on.
func withdraw(b *testing.B, replica *process, aside []consentv1.PermissionServiceClient, subject string) time.Duration {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	if _, err := replica.records.WriteEvents(ctx, &consentv1.WriteEventsRequest{Events: grantOf(subject, time.Hour)}); err != nil {
		b.Fatal(err)
	}
	for _, s := range aside {
		await(b, "a sidecar to allow", func() bool {
			allowed, err := isAllowed(ctx, s, subject)
			return err == nil && allowed
		})
	}
	last := make([]time.Time, len(aside))
	var all sync.WaitGroup
	for i, s := range aside {
		all.Go(func() {
			var err error
			if last[i], err = lastAllowed(ctx, s, subject); err != nil {
				b.Error(err)
			}
		})
	}
	_, err := replica.records.WriteEvents(ctx, &consentv1.WriteEventsRequest{Events: []*consentv1.Event{{
		Subject: subject, Kind: consentv1.EventKind_EVENT_KIND_WITHDRAWN, OccurredAt: timestamppb.Now(),
		Scope: &consentv1.Scope{Permissions: []string{permission}},
	}}})
	acknowledged := time.Now()
	all.Wait()
	if err != nil || b.Failed() {
		b.Fatalf("withdrawing: %v", err)
	}
	latest := slices.MaxFunc(last, time.Time.Compare)
	return max(latest.Sub(acknowledged), 0)
}

// lastAllowed asks until the answer is no, and stays it, and returns when the last yes came.
func lastAllowed(ctx context.Context, s consentv1.PermissionServiceClient, subject string) (last time.Time, err error) {
	pace := time.NewTicker(pause)
	defer pace.Stop()
	for denied := 0; denied < denials; denied++ {
		allowed, err := isAllowed(ctx, s, subject)
		if err != nil {
			return last, err
		}
		if allowed {
			last, denied = time.Now(), -1
		}
		<-pace.C
	}
	return last, nil
}

func isAllowed(ctx context.Context, s consentv1.PermissionServiceClient, subject string) (bool, error) {
	reply, err := s.Check(ctx, &consentv1.CheckRequest{Subject: subject, Permissions: []string{permission}})
	if err != nil {
		return false, err
	}
	answer := reply.GetResults()[0].GetAnswer()
	if answer == nil {
		return false, fmt.Errorf("%s of %s: %v", permission, subject, reply.GetResults()[0].GetStatus())
	}
	return answer.GetDecision() == consentv1.Decision_DECISION_ALLOW, nil
}
