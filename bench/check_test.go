package bench_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/consentd/consentd/consent"
	consentv1 "github.com/consentd/consentd/proto/consent/v1"
)

func newRequestID() consent.RequestID { return consent.RequestID(uuid.Must(uuid.NewV7())) }

// BenchmarkCheck measures Check beside a handler that decodes the same and does nothing, in one run: over memory alone, and over a unix
// socket. Client and server share the machine's processors.
func BenchmarkCheck(b *testing.B) {
	for _, transport := range transports {
		for _, callers := range []int{1, 64} {
			for _, kind := range []struct {
				name  string
				start func(testing.TB, string) service
			}{{"empty", startEmpty}, {"check", startReplica}} {
				b.Run(fmt.Sprintf("%s/%d/%s", transport, callers, kind.name), func(b *testing.B) {
					s := kind.start(b, transport)
					s.run(b, callers)
				})
			}
		}
	}
}

// run has the callers share b.N checks, each of a random subject. What they allocate is reported to a fraction, which allocs/op rounds away.
func (s service) run(b *testing.B, callers int) {
	b.Helper()
	took := hdrhistogram.New(1, int64(time.Minute), 3)
	var mu sync.Mutex
	b.ReportAllocs()
	b.SetParallelism(max(1, callers/runtime.GOMAXPROCS(0)))
	b.ResetTimer()
	ask := func(next func() bool) {
		own := hdrhistogram.New(1, int64(time.Minute), 3)
		for next() {
			began := time.Now()
			if err := s.check(s.ids[rand.IntN(len(s.ids))]); err != nil {
				b.Error(err)
				return
			}
			_ = own.RecordValue(int64(time.Since(began)))
		}
		mu.Lock()
		defer mu.Unlock()
		took.Merge(own)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if callers == 1 {
		ask(b.Loop)
	} else {
		b.RunParallel(func(pb *testing.PB) { ask(pb.Next) })
	}
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(b.N), "allocs/check")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(b.N), "B/check")
	b.ReportMetric(float64(took.ValueAtPercentile(50))/1e3, "p50-µs")
	b.ReportMetric(float64(took.ValueAtPercentile(99))/1e3, "p99-µs")
}

func (s service) check(id string) error {
	reply, err := s.client.Check(context.Background(), &consentv1.CheckRequest{Subject: id, Permissions: []string{permission}})
	if err != nil {
		return err
	}
	if reply.GetResults()[0].GetAnswer() == nil {
		return fmt.Errorf("%s: %v", permission, reply.GetResults()[0].GetStatus())
	}
	return nil
}

// TestCheckAllocatesNothingMore holds that a Check allocates nothing on the server beyond an empty handler that decodes the same. The client
// neither writes nor reads messages, so that what it allocates is the same.
func TestCheckAllocatesNothingMore(t *testing.T) {
	if racing {
		t.Skip("the race detector makes pools forget; make test runs this without it")
	}
	services := []service{startEmpty(t, "memory"), startReplica(t, "memory")} // both run on, so that what runs beside counts on both sides
	fewest := []float64{math.Inf(1), math.Inf(1)}
	for range 10 {
		for i, s := range services {
			fewest[i] = min(fewest[i], allocations(t, s))
		}
	}
	t.Logf("an empty handler: %.2f allocations, Check: %.2f", fewest[0], fewest[1])
	if fewest[1] > fewest[0]+.7 { // what runs beside it allocates too
		t.Errorf("a Check allocates %.2f times, an empty handler %.2f", fewest[1], fewest[0])
	}
}

// rawCodec has a client send bytes, and look at none.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (rawCodec) Unmarshal(mem.BufferSlice, any) error { return nil }

// allocations returns how many objects the process allocates for a check, and for what runs beside it.
func allocations(t *testing.T, s service) float64 {
	t.Helper()
	const checks = 500
	questions := make([][]byte, checks)
	for n := range questions {
		var err error
		if questions[n], err = proto.Marshal(&consentv1.CheckRequest{Subject: s.ids[n], Permissions: []string{permission}}); err != nil {
			t.Fatal(err)
		}
	}
	return testing.AllocsPerRun(1, func() {
		for _, question := range questions {
			err := s.conn.Invoke(context.Background(), consentv1.PermissionService_Check_FullMethodName, question, nil, grpc.ForceCodecV2(rawCodec{}))
			if err != nil {
				t.Fatal(err)
			}
		}
	}) / checks
}
