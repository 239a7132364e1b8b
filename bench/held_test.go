//go:build linux

package bench_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

// heldSubjects is how many subjects a replica holds that is asked about many at once.
func heldSubjects() int {
	if testing.Short() {
		return 1_000_000
	}
	return 10_000_000
}

// BenchmarkDecisions measures what a decision costs a replica that holds many, where many are asked at once.
func BenchmarkDecisions(b *testing.B) {
	replica := startHolding(b, heldSubjects())
	benchmarkBatch(b, replica)
	benchmarkSegment(b, replica)
}

// startHolding runs a replica, a process of its own that listens on a unix socket as well, and imports so many subjects.
func startHolding(tb testing.TB, size int) *process {
	tb.Helper()
	p := newAlone(tb)
	p.args = append(p.args, "--policy", "../examples/shop/policy.yaml")
	p.start()
	p.awaitReady()
	p.importSubjects(size)
	p.awaitRest()
	return p
}

// awaitRest waits until the process takes next to nothing of a processor: what an import leaves to be done isn't a decision's.
func (p *process) awaitRest() {
	p.tb.Helper()
	const look, little = time.Second, 50 * time.Millisecond
	for end := time.Now().Add(5 * patience); time.Now().Before(end); {
		before := used(p.tb, p.cmd.Process.Pid)
		<-time.After(look)
		if used(p.tb, p.cmd.Process.Pid)-before < little {
			return
		}
	}
	p.tb.Fatal("the process doesn't come to rest")
}

// importSubjects imports the subjects, the even ones confirmed and the odd ones withdrawn.
func (p *process) importSubjects(size int) {
	p.tb.Helper()
	stream, err := p.records.ImportEvents(p.tb.Context())
	if err != nil {
		p.tb.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() { sent <- sendSubjects(stream, size) }()
	acknowledged := uint64(0)
	for {
		reply, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			p.tb.Fatal(err)
		}
		for _, result := range reply.GetResults() {
			if result.GetStatus() != nil {
				p.tb.Fatalf("row %d: %v", result.GetRow(), result.GetStatus())
			}
		}
		acknowledged = reply.GetAcknowledgedRow()
	}
	if err := <-sent; err != nil || acknowledged != uint64(size) { //nolint:gosec // no size is negative
		p.tb.Fatalf("%d of %d subjects are imported; sending them: %v", acknowledged, size, err)
	}
}

func sendSubjects(stream consentv1.RecordService_ImportEventsClient, size int) error {
	const together = 1000
	head := &consentv1.Import{}
	if err := stream.Send(&consentv1.ImportEventsRequest{Message: &consentv1.ImportEventsRequest_Import{Import: head}}); err != nil {
		return err
	}
	for n := 0; n < size; {
		rows := &consentv1.ImportRows{}
		for ; n < size && len(rows.Rows) < together; n++ {
			events := grantOf(subjectID(n), time.Hour)
			if n%2 == 1 {
				events = events[1:]
				events[0].Kind = consentv1.EventKind_EVENT_KIND_WITHDRAWN
			}
			rows.Rows = append(rows.Rows, &consentv1.ImportRow{Row: uint64(n + 1), Events: events}) //nolint:gosec // counted from 0
		}
		if err := stream.Send(&consentv1.ImportEventsRequest{Message: &consentv1.ImportEventsRequest_Rows{Rows: rows}}); err != nil {
			return err
		}
	}
	return stream.CloseSend()
}

// connect returns a connection to a process over its unix socket.
func (p *process) connect() *grpc.ClientConn {
	p.tb.Helper()
	conn, err := grpc.NewClient(p.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		p.tb.Fatal(err)
	}
	p.tb.Cleanup(func() { _ = conn.Close() })
	return conn
}

// drawn returns the numbers of so many of the subjects held, at random: the same each time.
func drawn(size, from int) []int {
	random, numbers := rand.New(rand.NewPCG(3, 4)), make([]int, size)
	for i := range numbers {
		numbers[i] = random.IntN(from)
	}
	return numbers
}

// costs reports how many decisions a process gave for a second that it had of the processors, how many it gave in a second, and how long the
// calls took.
func (p *process) costs(b *testing.B, decisions int, ask func() []time.Duration) {
	b.Helper()
	before, began := used(b, p.cmd.Process.Pid), time.Now()
	took := ask()
	elapsed, spent := time.Since(began), used(b, p.cmd.Process.Pid)-before
	slices.Sort(took)
	at := func(part float64) float64 { return took[int(part*float64(len(took)-1))].Seconds() * 1e3 }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(decisions)/spent.Seconds(), "decisions/CPU-s")
	b.ReportMetric(float64(decisions)/elapsed.Seconds(), "decisions/s")
	b.ReportMetric(at(.5), "p50-ms")
	b.ReportMetric(at(.99), "p99-ms")
}
